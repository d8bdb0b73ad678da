//go:build !race

package simulation

const manyHistories = 10000

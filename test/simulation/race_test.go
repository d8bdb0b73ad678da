//go:build race

package simulation

const manyHistories = 300

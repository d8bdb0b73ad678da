// Package simulation plays an installation under virtual time: the real agents, with all their goroutines, on models of
// Redis, of Consul and of the network between them. Faults come from a seed, and every guarantee is looked after at
// every step. See TestHistories.
package simulation

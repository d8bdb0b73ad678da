// Package checks turns observations of servers into verdicts and into the results of health checks. Every
// function is pure: there is no network here, no clock and no goroutine, and nothing of the project is
// imported. The agent converts what its driver observed and what Consul holds, and passes times as durations.
//
// What is not known is never held against a server: a driver that does not answer makes its servers unknown,
// which is a warning and never down.
package checks

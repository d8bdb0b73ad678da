package checks

import (
	"strings"
	"time"
)

// LatencyLimits are the latencies of PING above which a server is no longer well. 0 turns a limit off.
type LatencyLimits struct {
	Warning, Critical time.Duration
}

// DefaultLatencyLimits: a Redis that is well answers in well under a millisecond on a local network; a tenth of
// a second is felt by every user, and after a second common clients give up.
func DefaultLatencyLimits() LatencyLimits {
	return LatencyLimits{Warning: 100 * time.Millisecond, Critical: time.Second}
}

// Alive says whether the server answers, and how fast. Any reply is an answer; one that is an error is told
// with its mend.
func Alive(s Server, l LatencyLimits) Result {
	switch s.Link {
	case LinkUp:
		if s.Cause != "" {
			return refusal(s.Cause)
		}
		status := above(s.Latency, l.Warning, l.Critical)
		if status == Passing {
			return result(NameAlive, Passing, "PONG within %s", span(atMost(s.Latency)))
		}
		return result(NameAlive, status, "PONG in %s%s", span(s.Latency), limit(status, l.Warning, l.Critical, span))
	case LinkWaiting:
		return result(NameAlive, above(s.SilentFor, l.Warning, l.Critical),
			"waiting for a reply for %s%s", span(s.SilentFor), because(s.Cause))
	case LinkSilent:
		return result(NameAlive, Critical, "no reply for %s%s", span(s.SilentFor), because(s.Cause))
	case LinkGone:
		if s.Address == "" {
			return result(NameAlive, Critical, "connection refused: nothing listens%s", because(s.Cause))
		}
		return result(NameAlive, Critical, "connection refused: nothing listens on %s", s.Address)
	}
	return result(NameAlive, Warning, "%s", driverSilent)
}

// refusals are the errors that a server may reply to a PING and what is to be done. A server that loads
// serves nobody, so Consul should name it to nobody; the others still serve somebody.
var refusals = []struct {
	prefix string
	status Status
	mend   string
}{
	{"LOADING", Critical, "it reads its data set from disk and serves when that is done"},
	{"ERR max number of clients reached", Critical, "raise maxclients, or find who keeps connections open"},
	{"NOAUTH", Warning, "set the password of this node in the configuration"},
	{"WRONGPASS", Warning, "correct the username or password of this node in the configuration"},
	{"NOPERM", Warning, "grant the agent's user the right to this command (ACL SETUSER)"},
	{"BUSY", Warning, "a script runs for too long: SCRIPT KILL ends it if it has not written"},
	{"MISCONF", Warning, "it cannot save and takes no writes: see the check \"" + NamePersistence + "\""},
	{"MASTERDOWN", Warning, "its link to the master is down and replica-serve-stale-data is no"},
}

// refusal is the result for a server that answers with an error.
func refusal(cause string) Result {
	cause = strings.TrimPrefix(line(cause), "-")
	for _, r := range refusals {
		if strings.HasPrefix(cause, r.prefix) {
			return result(NameAlive, r.status, "it answers -%s: %s", strings.TrimRight(cause, ". "), r.mend)
		}
	}
	return result(NameAlive, Warning, "it answers -%s", cause)
}

// limit names the limit that a status other than Passing comes from.
func limit[T any](status Status, warning, critical T, write func(T) string) string {
	switch status {
	case Warning:
		return ", more than " + write(warning)
	case Critical:
		return ", more than " + write(critical)
	}
	return ""
}

package checks

import (
	"fmt"
	"strings"
	"time"
)

// Watch is what this agent and the others make of the master of a group.
type Watch struct {
	// Node and Address are of the record's master; Node is empty before the group was started.
	Node, Address string
	Epoch         uint64
	// Electing is true while masters are being changed; Cause is then the election's.
	Electing bool
	Cause    string
	// View is this agent's own, Latency that of its last PING.
	View    MasterView
	Latency time.Duration
	// Verdict is what this agent judged (JudgeMaster).
	Verdict Verdict
	// Busy is the cause of the veto of the master's agent; empty when there is none.
	Busy string
	// Votes are the agents that voted the master of this epoch down, Quorum is how many it takes.
	Votes  []string
	Quorum int
}

// ViewOfMaster is this agent's view of the master of its group. It is never critical: it is no fault of the
// node that carries the check, and Consul would leave that node out of DNS just when it is needed.
func ViewOfMaster(w Watch) Result {
	switch {
	case w.Node == "":
		return result(NameMaster, Warning, "no master: the group was not started yet")
	case w.Electing:
		return result(NameMaster, Warning, "the master %s of epoch %d is being changed%s%s", w.master(), w.Epoch,
			reason(w.Cause), w.voted())
	}
	status, words := w.words()
	if len(w.Votes) > 0 {
		status = Warning
	}
	return result(NameMaster, status, "%s of epoch %d %s%s", w.master(), w.Epoch, words, w.voted())
}

// words say what this agent sees.
func (w Watch) words() (Status, string) {
	switch link := w.View.Link; {
	case w.Verdict.Down:
		return Warning, fmt.Sprintf("is %s: %s%s", w.Verdict.Evidence, w.Verdict.Cause, w.busy())
	case w.Busy != "":
		return Warning, "is kept by its own agent: " + w.Busy
	case !w.View.known():
		return Warning, "is " + w.View.unheard()
	case link == LinkUp && w.View.Cause == "":
		return Passing, "answers within " + span(atMost(w.Latency))
	case link == LinkUp:
		return Warning, "is alive and answers -" + strings.TrimPrefix(w.View.Cause, "-")
	case link == LinkGone: // where the agent has not judged it yet
		return Warning, "is gone" + because(w.View.Cause)
	case link == LinkSilent || link == LinkWaiting && w.View.SilentFor > w.View.DownAfter/2:
		return Warning, fmt.Sprintf("has not answered for %s, down after %s", span(w.View.SilentFor), span(w.View.DownAfter))
	}
	return Passing, "last answered " + span(w.View.SilentFor) + " ago"
}

func (w Watch) master() string { return Expected{Master: w.Node, MasterAddress: w.Address}.master() }

// busy tells of a veto against a verdict.
func (w Watch) busy() string {
	if w.Busy == "" {
		return ""
	}
	return "; its own agent vetoes: " + w.Busy
}

// voted tells who voted for another master.
func (w Watch) voted() string {
	if len(w.Votes) == 0 {
		return ""
	}
	words := fmt.Sprintf("; voted down by %s (%d", strings.Join(w.Votes, ", "), len(w.Votes))
	if w.Quorum > 0 {
		words += fmt.Sprintf(" of %d needed", w.Quorum)
	}
	return words + ")"
}

package checks

import (
	"fmt"
	"time"
)

// Evidence is what a verdict rests on, in the words of failover.Evidence.
type Evidence string

const (
	// Gone: the connection ended and a new one was refused, or the master's own agent saw its process end.
	Gone Evidence = "gone"
	// Silent: no reply at all for down_after.
	Silent Evidence = "silent"
	// NotServing: it is not open though the record names it, by the word of its own agent.
	NotServing Evidence = "not serving"
)

// MasterView is what one observer knows of the master that a steady record names.
type MasterView struct {
	// Link, Cause and SilentFor are of the observer's own connection; see Server.
	Link      Link
	Cause     string
	SilentFor time.Duration
	// ObservedAgo is the age of the observation.
	ObservedAgo time.Duration
	// DownAfter is how long a master may be silent.
	DownAfter time.Duration

	// ReportedRunID, ReportedState and ReportedEpoch are what the master's own agent reported in Consul
	// (nodes/<node>); zero values if it reported nothing. The states are those of failover.NodeState.
	ReportedRunID string
	ReportedState string
	ReportedEpoch uint64
	// ReportedFor is how long this observer has seen the report in this state; zero means since just now.
	ReportedFor time.Duration

	// RecordRunID and Epoch are the record's.
	RecordRunID string
	Epoch       uint64
	// EpochSeenFor is how long this observer has known the record to be steady in this epoch.
	EpochSeenFor time.Duration
	// NotOpened is true when the record's lineage holds no opening of this epoch.
	NotOpened bool
	// Grace is how long a master may take to open, or to open again after it froze.
	Grace time.Duration
}

// Verdict is one observer's judgement of a master. Evidence and Cause are set when it is down.
type Verdict struct {
	Down     bool
	Evidence Evidence
	// Cause is one line for people.
	Cause string
}

// staleAfter is the age at which an observation says nothing any more, in excess of down_after. A driver
// repeats itself at least every 2 s (PingEvery), so one that has been quiet for this long hangs.
const staleAfter = 10 * time.Second

// JudgeMaster is the verdict of one observer; see "Detecting that a master is down" in the design. When there
// is evidence of several kinds, the strongest is named: gone, then not serving, then silent.
//
// Any reply means alive, an error too. What the driver does not know is never down: neither silence nor a
// refused connection can then be told from a fault of the driver.
func JudgeMaster(v MasterView) Verdict {
	if !v.known() {
		return Verdict{}
	}
	if v.Link == LinkGone {
		return down(Gone, "connection refused: nothing listens%s", because(v.Cause))
	}
	if verdict := v.reported(); verdict.Down {
		return verdict
	}
	if v.Link == LinkSilent && v.SilentFor >= v.DownAfter {
		return down(Silent, "no reply for %s%s", span(v.SilentFor), because(v.Cause))
	}
	return Verdict{}
}

// known tells whether the driver's observation says anything.
func (v MasterView) known() bool {
	switch v.Link {
	case LinkUp, LinkGone, LinkSilent, LinkWaiting:
		return v.ObservedAgo <= v.DownAfter+staleAfter
	}
	return false
}

// unheard says why known is false.
func (v MasterView) unheard() string {
	if v.ObservedAgo > v.DownAfter+staleAfter && v.Link != LinkUnknown && v.Link != "" {
		return "unknown: the driver last spoke of it " + span(v.ObservedAgo) + " ago"
	}
	return driverSilent
}

// reported judges by the word of the master's own agent.
func (v MasterView) reported() Verdict {
	thisRun := v.ReportedRunID == v.RecordRunID && v.RecordRunID != ""
	otherRun := v.ReportedRunID != "" && v.RecordRunID != "" && !thisRun
	switch {
	case v.ReportedState == "dead" && thisRun:
		return down(Gone, "its own agent reports that run %s has ended", short(v.RecordRunID))
	case otherRun && (v.ReportedEpoch >= v.Epoch || v.EpochSeenFor > v.Grace):
		// A master that was started again is frozen and may be empty: it is not the master of the record. A report from
		// before the epoch may be of the run before the one that was chosen.
		return down(NotServing, "it was started again: run %s, the record names run %s",
			short(v.ReportedRunID), short(v.RecordRunID))
	case v.EpochSeenFor <= v.Grace:
		return Verdict{}
	}
	switch v.ReportedState {
	case "open", "paused":
		return Verdict{}
	case "unknown", "loading":
		// The agent cannot tell, or the server will be back: an open master may well be in this state.
		// One that never opened in this epoch is not.
		if !v.NotOpened {
			return Verdict{}
		}
	default:
		// Its report of this epoch may be a moment old, such as that of a freeze for want of Consul which
		// the return of Consul ends: that takes milliseconds and costs no failover.
		if v.ReportedEpoch >= v.Epoch && v.ReportedState != "" {
			if v.ReportedFor <= v.Grace {
				return Verdict{}
			}
			return down(NotServing, "not open: its own agent reports %q for %s", v.ReportedState, span(v.ReportedFor))
		}
		// The record says that it has opened since: the end of its agent came before the report of that.
		if v.ReportedState != "" && !v.NotOpened {
			return Verdict{}
		}
	}
	return down(NotServing, "it has not opened for %s: %s", span(v.EpochSeenFor), v.lastWord())
}

// lastWord says what the master's own agent last reported.
func (v MasterView) lastWord() string {
	if v.ReportedState == "" {
		return "its agent reported nothing"
	}
	return fmt.Sprintf("its agent last reported %q in epoch %d", v.ReportedState, v.ReportedEpoch)
}

func down(e Evidence, format string, args ...any) Verdict {
	return Verdict{Down: true, Evidence: e, Cause: line(fmt.Sprintf(format, args...))}
}

// because adds the driver's cause where there is one.
func because(cause string) string {
	if cause == "" {
		return ""
	}
	return " (" + cause + ")"
}

// short is enough of a run id to tell two apart by eye.
func short(runID string) string {
	const enough = 8
	return runID[:min(enough, len(runID))]
}

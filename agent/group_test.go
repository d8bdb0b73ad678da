package agent

import (
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// The word that the master froze for want of Consul counts until its agent reports otherwise, and not against a report of an
// opening that came after it, however late the word comes.
func TestLateWordOfAFreeze(t *testing.T) {
	for _, c := range []struct {
		name   string
		report failover.Report
		want   failover.NodeState
	}{
		{"open as it was then", failover.Report{State: failover.StateOpen, Position: failover.Position{ReplID: "r1"}}, failover.StateFrozen},
		{"opened again since", failover.Report{State: failover.StateOpen, Position: failover.Position{ReplID: "r2", ReplID2: "r1"}}, failover.StateOpen},
		{"open as it was before an opening that was not reported", failover.Report{State: failover.StateOpen, Position: failover.Position{ReplID: "r0"}}, failover.StateFrozen},
		{"silent since", failover.Report{State: failover.StateUnknown, Position: failover.Position{ReplID: "r1"}}, failover.StateFrozen},
	} {
		g, now, _ := taking(t)
		g.nodes = nil
		s := state(10, 5, false)
		s.Nodes = map[string]failover.Report{"a": c.report}
		g.take(s, 0)
		g.noteReported()
		*now += time.Second
		g.hearFrozen(peers.FrozenNotice{Group: "redis", Node: "a", Epoch: 1, ReplID: "r1"})
		g.noteReported()
		if got := g.masterView().ReportedState; got != string(c.want) {
			t.Errorf("%s: counts as %s, want %s", c.name, got, c.want)
		}
	}
}

// Once a later opening was reported, the word of the freeze before it is forgotten: the opening after that one does not name it.
func TestWordOfAFreezeIsForgotten(t *testing.T) {
	g, now, _ := taking(t)
	g.nodes = nil
	report := func(index uint64, p failover.Position) {
		s := state(index, 5, false)
		s.Nodes = map[string]failover.Report{"a": {State: failover.StateOpen, Position: p}}
		g.take(s, 0)
		g.noteReported()
	}
	report(10, failover.Position{ReplID: "r1"})
	*now += time.Second
	g.hearFrozen(peers.FrozenNotice{Group: "redis", Node: "a", Epoch: 1, ReplID: "r1"})
	report(11, failover.Position{ReplID: "r2", ReplID2: "r1"})
	report(12, failover.Position{ReplID: "r3", ReplID2: "r2"})
	if got := g.masterView().ReportedState; got != string(failover.StateOpen) {
		t.Errorf("counts as %s", got)
	}
}

// A word that comes after the freeze behind it, and after the opening behind that, is old as well: it froze at a lower offset.
func TestWordOfAFreezeBeforeTheLast(t *testing.T) {
	g, now, _ := taking(t)
	g.nodes = nil
	s := state(10, 5, false)
	s.Nodes = map[string]failover.Report{"a": {State: failover.StateOpen, Position: failover.Position{ReplID: "r3", ReplID2: "r2", Offset2: 20}}}
	g.take(s, 0)
	g.noteReported()
	*now += time.Second
	for offset, want := range map[int64]failover.NodeState{10: failover.StateOpen, 30: failover.StateFrozen} {
		g.hearFrozen(peers.FrozenNotice{Group: "redis", Node: "a", Epoch: 1, ReplID: "r1", Offset: offset})
		g.noteReported()
		if got := g.masterView().ReportedState; got != string(want) {
			t.Errorf("frozen at %d: counts as %s, want %s", offset, got, want)
		}
	}
}

// A master that was reported open has opened, whatever its agent knows of it now, and though the record does not have it yet.
func TestReportOfAnOpeningIsRemembered(t *testing.T) {
	g, _, _ := taking(t)
	g.nodes = nil
	for i, c := range []struct {
		report failover.Report
		opened bool
	}{
		{failover.Report{RunID: "run-a", State: failover.StateOpen, Epoch: 0}, false},
		{failover.Report{RunID: "run-a", State: failover.StateUnknown, Epoch: 1}, false},
		{failover.Report{RunID: "run-z", State: failover.StateOpen, Epoch: 1}, false},
		{failover.Report{RunID: "run-a", State: failover.StateOpen, Epoch: 1}, true},
		{failover.Report{RunID: "run-a", State: failover.StateUnknown, Epoch: 1}, true},
	} {
		s := state(uint64(10+i), 5, false)
		s.Record.RunID, s.Record.Lineage = "run-a", nil
		s.Nodes = map[string]failover.Report{"a": c.report}
		g.take(s, 0)
		g.noteReported()
		if opened := !g.masterView().NotOpened; opened != c.opened {
			t.Errorf("after %+v: opened %v, want %v", c.report, opened, c.opened)
		}
	}
}

// The veto of a busy master stands for a moment after it has answered, until the others have heard it too; not when it is silent for
// good.
func TestVetoOutlastsTheVotes(t *testing.T) {
	g, now, _ := taking(t)
	n := g.nodes["a"]
	began := state(10, 5, false)
	began.Nodes = map[string]failover.Report{"a": {State: failover.StateOpen}}
	g.take(began, 0)
	s := failover.DefaultSettings()
	s.DownAfter, s.BusyAfter = failover.Duration(100*time.Millisecond), failover.Duration(2*time.Second)
	g.view.State.Settings = &s
	n.proc = running{}
	verdict := func(link plugin.Link, silent, after time.Duration) failover.Verdict {
		*now += after
		g.view.Now = *now
		n.observe(plugin.Observation{Link: link, SilentFor: silent}, &servers{}, *now)
		g.judge()
		return g.view.Judgement.Verdict
	}
	for _, c := range []struct {
		name          string
		link          plugin.Link
		silent, after time.Duration
		want          failover.Verdict
	}{
		{"well", plugin.LinkUp, 0, time.Second, ""},
		{"silent", plugin.LinkSilent, 300 * time.Millisecond, time.Second, failover.Busy},
		{"has answered, long after it was last looked at", plugin.LinkUp, 0, 900 * time.Millisecond, failover.Busy},
		{"has answered a while ago", plugin.LinkUp, 0, vetoLasts, ""},
		{"silent once more", plugin.LinkSilent, 300 * time.Millisecond, time.Second, failover.Busy},
		{"its driver has ended", plugin.LinkUnknown, 0, 300 * time.Millisecond, failover.Busy},
		{"its driver ended a while ago", plugin.LinkUnknown, 0, vetoLasts, ""},
		{"silent for good", plugin.LinkSilent, 2*time.Second + 1, time.Millisecond, failover.Down},
	} {
		if got := verdict(c.link, c.silent, c.after); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// running is a process that works.
type running struct{ Process }

func (running) Ended() bool                       { return false }
func (running) Stat() (byte, time.Duration, bool) { return 'R', time.Second, true }

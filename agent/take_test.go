package agent

import (
	"os"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// taking is a group of agent a, which has node a, at a time that the test moves.
func taking(t *testing.T) (g *group, now *time.Duration, confirmed *int) {
	dir, err := os.MkdirTemp("", "taking")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the epoch is written beside the group, perhaps after the test
	epochs, err := openEpochs(dir)
	if err != nil {
		t.Fatal(err)
	}
	now, confirmed = new(time.Duration), new(int)
	*now = time.Second
	g = &group{
		name: "redis", agent: "a", log: hclog.NewNullLogger(), epochs: epochs, unknown: make(chan struct{}, 1),
		nodes: map[string]*node{"a": {name: "a"}}, now: func() time.Duration { return *now }, confirm: func() { *confirmed++ },
	}
	g.view.Highest = 1 // which need not be written down
	return g, now, confirmed
}

func state(index, record uint64, voted bool) failover.State {
	s := failover.State{Index: index, Record: &failover.Record{Epoch: 1, Phase: failover.Steady, Master: "a"}, RecordIndex: record}
	if voted {
		s.Votes = map[string]failover.Vote{"a": {Epoch: 1}}
	}
	return s
}

func TestTakeDropsWhatIsOlderThanAnOwnWrite(t *testing.T) {
	g, _, _ := taking(t)
	if !g.take(state(10, 5, false), 0) {
		t.Fatal("the first state was not taken")
	}
	if !g.wrote(12) {
		t.Fatal("a write after what was taken does not count")
	}
	if g.take(state(11, 5, false), 0) || !g.missed {
		t.Errorf("a state from before the own write was taken, missed %v", g.missed)
	}
	if !g.take(state(12, 5, true), 0) || g.missed {
		t.Errorf("the state with the own write was not taken, missed %v", g.missed)
	}
}

// The answer to a write comes when a state has been taken in which it was undone already.
func TestWriteThatIsAnsweredLate(t *testing.T) {
	g, _, _ := taking(t)
	g.take(state(13, 5, false), 0)
	if g.wrote(12) {
		t.Error("what was written before the newest state is taken to be in it no more")
	}
}

// A state with an older record is left to a consistent read of it, and taken when that has told that Consul went back.
func TestTakeLeavesAnOlderRecordToALeaseRead(t *testing.T) {
	g, now, confirmed := taking(t)
	g.take(state(100, 100, false), 0)
	if g.take(state(300, 50, false), 0) || *confirmed != 1 {
		t.Fatalf("taken, or not looked at: %d reads were asked for", *confirmed)
	}
	seen := g.recordSeen.Load()
	*now += time.Second
	g.takeLease(failover.Lease{Begun: *now, Record: &failover.Record{Epoch: 1}, Index: 50}, seen)
	if g.view.Highest != 2 {
		t.Errorf("the highest epoch is %d, want 2: the record is not to be trusted", g.view.Highest)
	}
	if !g.missed || !g.take(state(301, 50, false), *now) {
		t.Error("what Consul has now is not taken")
	}
	*now += time.Second
	g.takeLease(failover.Lease{Begun: *now, Record: &failover.Record{Epoch: 3}, Index: 400}, g.recordSeen.Load())
	if g.view.Highest != 3 || g.view.State.RecordIndex != 400 {
		t.Errorf("a record made anew is not taken: %d, index %d", g.view.Highest, g.view.State.RecordIndex)
	}
}

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
		if got := g.masterView().ReportedState; got != string(c.want) {
			t.Errorf("%s: counts as %s, want %s", c.name, got, c.want)
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
		n.observe(plugin.Observation{Link: link, SilentFor: silent}, keptServer{}, *now)
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
		{"has answered", plugin.LinkUp, 0, time.Millisecond, failover.Busy},
		{"has answered a while ago", plugin.LinkUp, 0, vetoLasts, ""},
		{"silent once more", plugin.LinkSilent, 300 * time.Millisecond, time.Second, failover.Busy},
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

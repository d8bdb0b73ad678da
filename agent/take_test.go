package agent

import (
	"context"
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
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

// Everything is looked at when a lease read says anything that the one before did not, or when that was old enough for something
// to wait for another.
func TestLeaseThatIsOnlyProlonged(t *testing.T) {
	g, now, _ := taking(t)
	g.take(state(100, 100, false), 0)
	read := func(index, seen uint64) bool {
		return g.takeLease(failover.Lease{Begun: *now, Record: g.view.State.Record, Index: index}, seen)
	}
	half := g.view.Fence() / 2
	for _, c := range []struct {
		what        string
		later       time.Duration
		index, seen uint64
		look        bool
	}{
		{"the first lease", 0, 100, 100, true},
		{"one that is prolonged while it is young", half - time.Millisecond, 100, 100, false},
		{"one that is prolonged when it is old", half, 100, 100, true},
		{"another record", time.Millisecond, 120, 100, true},
		{"a read that was overtaken", time.Millisecond, 110, 100, true},
		{"a record that went back", time.Millisecond, 90, 120, true},
	} {
		if *now += c.later; read(c.index, c.seen) != c.look {
			t.Errorf("%s: everything is looked at: %v, want %v", c.what, !c.look, c.look)
		}
	}
}

// reading is a store that is read from.
type reading struct {
	store
	reads chan string
}

func (r reading) ReadGroup(_ context.Context, group string, _ bool) (failover.State, error) {
	r.reads <- group
	return failover.State{}, errors.New("whatever it would answer")
}

// A record that another agent has written is read when the watch has not brought it for a moment, and once.
func TestRecordThatWasTold(t *testing.T) {
	g, now, _ := taking(t)
	r := reading{reads: make(chan string, 9)}
	g.store, g.running, g.news = r, map[string]bool{}, make(chan func() bool, 9)
	told := func(index uint64) time.Duration {
		g.hearRecord(index)
		g.view.Now = *now
		return g.readTold(t.Context())
	}
	g.take(state(10, 5, false), 0)
	if wake := told(5); wake != math.MaxInt64 || len(r.reads) > 0 {
		t.Errorf("a record that is known wakes at %s, and %d were read", wake, len(r.reads))
	}
	if wake := told(7); wake != *now+watchFirst || len(r.reads) > 0 {
		t.Errorf("a new record wakes at %s, want %s, and %d were read", wake, *now+watchFirst, len(r.reads))
	}
	*now += watchFirst
	if wake := told(0); wake != math.MaxInt64 || <-r.reads != "redis" {
		t.Errorf("after that it wakes at %s", wake)
	}
	delete(g.running, failover.Reread{}.Key())
	if wake := told(0); wake != math.MaxInt64 || len(r.reads) > 0 {
		t.Errorf("read once, it wakes at %s", wake)
	}
	clear(g.nodes)
	if wake := told(9); wake != math.MaxInt64 {
		t.Errorf("a witness wakes at %s", wake)
	}
}

package cli

import (
	"io"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// What an order came to is seen from the states that follow it, also when some are missed.
func TestFollowerSeesTheOutcome(t *testing.T) {
	order := failover.Order{ID: "1", Kind: failover.OrderSwitchover, Target: "b"}
	refused := order
	refused.Refused = "b is not in sync"
	state := func(o *failover.Order, r *failover.Record) failover.State { return failover.State{Order: o, Record: r} }
	steady := func(epoch uint64, master string) *failover.Record {
		return &failover.Record{Epoch: epoch, Phase: failover.Steady, Master: master, Lineage: []failover.Opening{{Epoch: epoch}}}
	}
	electing := &failover.Record{Epoch: 1, Phase: failover.Electing, Master: "a", Election: &failover.Election{Leader: "a"}}
	unopened := steady(2, "b")
	unopened.Lineage[0].Epoch = 1
	for _, c := range []struct {
		name           string
		states         []failover.State
		done           bool
		after          uint64
		refused, amiss string
	}{
		{name: "not written yet", states: []failover.State{state(nil, steady(1, "a"))}},
		{name: "waits", states: []failover.State{state(&order, steady(1, "a"))}},
		{name: "another's election is called off", states: []failover.State{state(&order, electing), state(&order, steady(1, "a"))}},
		{name: "refused", states: []failover.State{state(&refused, steady(1, "a"))}, done: true, refused: refused.Refused},
		{name: "under way", states: []failover.State{state(&order, steady(1, "a")), state(nil, electing), state(nil, unopened)}},
		{name: "done", states: []failover.State{state(&order, steady(1, "a")), state(nil, electing), state(nil, steady(2, "b"))}, done: true, after: 2},
		{name: "done, all missed", states: []failover.State{state(nil, steady(2, "b"))}, done: true, after: 2},
		{name: "another's election had an outcome", states: []failover.State{state(&order, steady(2, "b"))}},
		{name: "refused after another's election", states: []failover.State{state(&order, steady(2, "b")), state(&refused, steady(2, "b"))}, done: true,
			refused: refused.Refused},
		{name: "called off in the same epoch", states: []failover.State{state(&order, steady(1, "a")), state(nil, steady(1, "a"))}, done: true,
			amiss: "it was called off, and a is still master of epoch 1"},
		{name: "called off by another choice", states: []failover.State{state(nil, steady(2, "a"))}, done: true, after: 2,
			amiss: "it was called off, and a was chosen again"},
		{name: "another node took over", states: []failover.State{state(nil, steady(2, "c"))}, done: true, after: 2,
			amiss: "c became master, and not b"},
	} {
		f := follower{cli: &CLI{Stdout: io.Discard}, order: order, before: 1, master: "a"}
		var done bool
		for _, s := range c.states {
			done = f.see(s)
		}
		if done != c.done || f.done != c.done || f.after != c.after || f.refused != c.refused || f.amiss != c.amiss {
			t.Errorf("%s: done %v, epoch %d, refused %q, amiss %q", c.name, done, f.after, f.refused, f.amiss)
		}
	}
}

// A node is drained when it is not master and its agent will not let it become one.
func TestUndrained(t *testing.T) {
	nodes := func(ineligible string) map[string]failover.Report {
		return map[string]failover.Report{"a": {Node: "a", Ineligible: ineligible}}
	}
	record := func(phase failover.Phase, master string) *failover.Record {
		return &failover.Record{Phase: phase, Master: master}
	}
	for want, s := range map[string]failover.State{
		"":                          {Record: record(failover.Steady, "b"), Nodes: nodes("drained")},
		"a master is being elected": {Record: record(failover.Electing, "b"), Nodes: nodes("drained")},
		"a is still master":         {Record: record(failover.Steady, "a"), Nodes: nodes("drained")},
		"its agent has not said yet that it is in maintenance": {Record: record(failover.Steady, "b"), Nodes: nodes("")},
	} {
		if got := undrained(s, "a"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := undrained(failover.State{Record: record(failover.Electing, "b")}, "a"); got != "" {
		t.Errorf("a group without it: %q", got)
	}
}

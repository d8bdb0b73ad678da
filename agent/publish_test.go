package agent

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/checks"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// Consul is told of another status or of other words at once, of figures alone once a minute, and seldomer by an agent
// of many nodes.
func TestFiguresAreToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &board{says: map[string]string{}}
		p := newPublisher(c, nil)
		service := []catalog.Service{{ID: "redis", Checks: []catalog.Check{{ID: "memory"}}}}
		there, said := map[string]catalog.Service{}, map[string]spoken{}
		for _, step := range []struct {
			after  time.Duration
			status checks.Status
			says   string
			told   string
			nodes  int // that the agent has from then on
		}{
			{0, checks.Passing, "2 MiB used", "passing 2 MiB used", 1},
			{time.Second, checks.Passing, "3 MiB used", "passing 2 MiB used", 1},
			{time.Second, checks.Warning, "9 MiB used", "warning 9 MiB used", 1},
			{time.Second, checks.Warning, "9 MiB used; fragmentation 1.6", "warning 9 MiB used; fragmentation 1.6", 1},
			{figuresEvery, checks.Warning, "8 MiB used; fragmentation 1.6", "warning 8 MiB used; fragmentation 1.6", 1},
			{4 * figuresEvery, checks.Warning, "7 MiB used; fragmentation 1.6", "warning 8 MiB used; fragmentation 1.6", 5 * figuresNodes},
			{figuresEvery, checks.Warning, "7 MiB used; fragmentation 1.6", "warning 7 MiB used; fragmentation 1.6", 5 * figuresNodes},
		} {
			for i := range step.nodes {
				p.nodes[strconv.Itoa(i)] = &published{}
			}
			time.Sleep(step.after)
			results := map[string]checks.Result{"memory": {Status: step.status, Output: step.says}}
			if err := p.bring(t.Context(), there, said, service, results); err != nil {
				t.Fatal(err)
			}
			if got := c.says["memory"]; got != step.told {
				t.Errorf("%s %s: Consul was told %q, want %q", step.status, step.says, got, step.told)
			}
		}
		// A service that comes again has checks that have said nothing yet.
		results := map[string]checks.Result{"memory": {Status: checks.Warning, Output: "7 MiB used; fragmentation 1.6"}}
		for _, want := range [][]catalog.Service{nil, service} {
			if err := p.bring(t.Context(), there, said, want, results); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.says["memory"]; got != "warning 7 MiB used; fragmentation 1.6" {
			t.Errorf("registered again, Consul was told %q", got)
		}
	})
}

// A group that has changed masters waits with what it has to tell while others are about to, for some seconds at most.
func TestOneChangeWaitsForTheOthersToBeTold(t *testing.T) {
	p := newPublisher(nil, nil)
	change := func(name string, phase failover.Phase) *group {
		g := &group{name: name}
		g.view.Now = time.Hour
		g.view.Memory.EpochSeen = g.view.Now
		g.view.State.Record = &failover.Record{Epoch: 2, Phase: phase, Lineage: []failover.Opening{{Epoch: 2}}}
		return g
	}
	one, other, calm := change("one", failover.Steady), change("other", failover.Electing), change("calm", failover.Steady)
	calm.view.Memory.EpochSeen -= heldFor
	if p.holds(one) {
		t.Error("it waits though nobody else changes")
	}
	if p.holds(other) {
		t.Error("it waits for itself")
	}
	if !p.holds(one) {
		t.Error("it does not wait for the other")
	}
	if p.holds(calm) {
		t.Error("a group that has long changed waits")
	}
	other.view.State.Record.Phase, other.view.State.Record.Lineage = failover.Steady, nil
	p.holds(other)
	if !p.holds(one) {
		t.Error("it does not wait for the other's new master to open")
	}
	other.view.Now += other.view.Fence() + turnFor
	p.holds(other)
	if p.holds(one) {
		t.Error("it waits for a change that comes to nothing")
	}
	p.holds(change("other", failover.Electing))
	one.view.Now += heldFor
	if p.holds(one) {
		t.Error("it waits for ever")
	}
}

// What others wait for does not wait: that an earlier master is registered as what it is now, that a server has ended, that an agent
// leaves, and what is said for the first time.
func TestWhatOthersWaitForIsToldAtOnce(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(d *published, n *node, m *failover.Member)
		waits  bool
	}{
		{"a replica that follows another master", func(*published, *node, *failover.Member) {}, true},
		{"the earlier master, that was told of as such", func(_ *published, _ *node, m *failover.Member) { m.MasterOf = 4 }, false},
		{"the earlier master, told of since", func(_ *published, _ *node, m *failover.Member) { m.MasterOf = 3 }, true},
		{"a server that has ended", func(_ *published, n *node, _ *failover.Member) { n.dead = true }, false},
		{"a server whose agent leaves", func(_ *published, n *node, _ *failover.Member) { n.leaving = "the agent ends" }, false},
		{"the first of a server", func(d *published, _ *node, _ *failover.Member) { d.shown = 0 }, false},
	} {
		d, n, m := &published{shown: 1, face: face{epoch: 4}}, &node{name: "a"}, failover.Member{}
		c.change(d, n, &m)
		g := &group{}
		g.view.State.Record = &failover.Record{Epoch: 5, Eligible: map[string]failover.Member{"a": m}}
		if got := d.mayWait(g, n); got != c.waits {
			t.Errorf("%s: may wait: %v", c.what, got)
		}
	}
}

// board takes down what checks say.
type board struct {
	registrar
	says map[string]string
}

func (b *board) Register(context.Context, catalog.Service) error { return nil }

func (b *board) Deregister(context.Context, string) error {
	clear(b.says)
	return nil
}

func (b *board) SetCheck(_ context.Context, id, status, output string) {
	b.says[id] = status + " " + output
}

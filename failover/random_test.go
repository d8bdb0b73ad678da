package failover

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	histories = flag.Int("histories", 1000, "how many random histories are played")
	seed      = flag.Uint64("seed", 0, "play this history alone")
)

// TestRandomHistories plays random faults and holds every step to what must never happen, and the end to what must.
func TestRandomHistories(t *testing.T) {
	first, last := uint64(1), uint64(*histories)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		if w, err := history(s); err != nil {
			t.Fatalf("seed %d: %v\n%s", s, err, w)
		}
	}
}

// history plays one.
func history(seed uint64) (*world, error) {
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld([]string{"a", "b", "c", "d", "e"}[:1+r.IntN(5)]...)
	w.agent("witness", "")
	for _, a := range w.agents {
		a.prio, a.zone = []int{0, 10, 100, 100, 100}[r.IntN(5)], []string{"", "east", "west"}[r.IntN(3)]
	}
	w.agents[0].prio = 100
	seen := watcher{masters: map[uint64]string{}, data: map[string]int{}}
	often := 4 + r.IntN(60)
	if r.IntN(5) > 0 { // else the faults begin before the group is started
		if err := w.until(time.Minute); err != nil {
			return w, err
		}
		for range 5 {
			w.write()
			w.tick()
		}
		seen.filled = true
	}
	w.impede(r)
	for range 60 + r.IntN(700) {
		if r.IntN(often) == 0 {
			w.fault(r)
		}
		w.write()
		w.tick()
		w.wait()
		if err := seen.look(w); err != nil {
			return w, err
		}
	}
	w.mendAll()
	overruled := w.now + time.Minute
	for end := w.now + 2*time.Minute; w.now < end; w.tick() {
		if w.now >= overruled && w.tooFew() {
			// So many have lost their count that durability forbids every choice: that is its promise, and an operator's to waive.
			w.note("ORDER: a failover that accepts the loss of writes")
			w.acked, w.index, overruled = nil, w.index+1, w.now+5*time.Minute
			w.consul.Order, w.consul.OrderIndex = &Order{ID: "2", Kind: OrderFailover, AcceptLoss: true, By: "an operator"}, w.index
		}
		if err := seen.look(w); err != nil {
			return w, err
		}
		if w.whole() == nil {
			return w, nil
		}
		for _, s := range w.servers { // a supervisor starts what an agent has ended
			if !s.alive {
				w.boot(s.name)
			}
		}
	}
	if w.ruined() {
		return w, nil
	}
	for _, a := range w.agents {
		w.note("%s waits: %q", a.name, Decide(&a.view).Waits)
		w.note("%+v", a.view.State.Nodes[a.node])
	}
	return w, fmt.Errorf("not whole in the end: %w", w.whole())
}

// tooFew tells whether fewer members are counted than durability asks for, and the run of the old master has ended.
func (w *world) tooFew() bool {
	r, counted := w.consul.Record, 0
	for name, m := range r.Eligible {
		if s := w.servers[name]; s.alive && m.RunID == s.run && !s.half {
			counted++
		}
	}
	return r.Phase == Electing && w.servers[r.Master].run != r.RunID && counted < r.needs()
}

// ruined tells whether an operator has to rule: no run that counts is left, and what the servers hold are halves of full
// resyncs, or histories of which the record knows nothing.
func (w *world) ruined() bool {
	r, data := w.consul.Record, false
	for _, s := range w.inOrder {
		data = data || s.half || len(s.data) > 0
		counted := r.Eligible[s.name].RunID == s.run || s.name == r.Master && r.RunID == s.run
		if !s.half && (counted || len(s.data) > 0 && r.knows(s.position())) {
			return false
		}
	}
	return data
}

// impede makes a world less than ideal, each in a way of its own.
func (w *world) impede(r *rand.Rand) {
	s := w.consul.Settings
	s.Durability = []string{"none", "none", "wait:1", "wait:2"}[r.IntN(4)]
	s.ParallelSyncs = 1 + r.IntN(2)
	s.FenceAfter = Duration([]time.Duration{500, 1000, 3000}[r.IntN(3)] * time.Millisecond)
	s.DownAfter = Duration([]time.Duration{100, 300, 1000}[r.IntN(3)] * time.Millisecond)
	s.FailoverTimeout = Duration(time.Duration(1+r.IntN(9)) * time.Second)
	slow, stale, lost, lag := r.Float64()*0.5, r.Float64()*0.7, r.Float64()*0.2, r.IntN(4)
	ms := func(n int) time.Duration { return time.Duration(r.IntN(n)) * time.Millisecond }
	w.skip = func(a *simAgent) bool { // but is never late by more than the margins of a lease allow
		if a.skipped++; r.Float64() >= slow || a.skipped > 3 {
			a.skipped = 0
		}
		return a.skipped > 0
	}
	w.blind = func(*simAgent) bool { return r.Float64() < stale }
	w.loses = func() bool { return r.Float64() < lost }
	w.loads = func() time.Duration { return ms(300) }
	if lag > 0 {
		w.lags = func(n int) int { return r.IntN(n/lag + 1) }
	}
	if hang := r.IntN(400); hang > 100 {
		w.hangs = func() time.Duration { return ms(hang) * time.Duration(r.IntN(20)/19) }
	}
	switch r.IntN(4) {
	case 1:
		w.delay = func() time.Duration { return ms(30) }
	case 2:
		w.delay = func() time.Duration { return ms(200) }
	case 3:
		w.delay = func() time.Duration {
			if r.IntN(20) == 0 {
				return ms(3000)
			}
			return ms(20)
		}
	}
}

// fault makes one thing go wrong, or right again. Assumed, as G2 does: the agent of a server that may be open runs, or its
// machine is dead. So an agent dies alone only while nobody has anything against its server.
func (w *world) fault(r *rand.Rand) {
	a := w.agents[r.IntN(len(w.agents))]
	if c := w.consul.Record; c != nil && r.IntN(2) == 0 {
		a = w.agentOf(c.Master)
	}
	s := w.servers[a.node]
	switch n := r.IntN(18); {
	case n == 0 && s != nil:
		keep := r.IntN(2) == 0
		w.note("FAULT: kill %s, keeping its data: %v", s.name, keep)
		w.kill(s.name, keep)
	case n <= 2 && s != nil && !s.alive:
		w.note("FAULT: start %s", s.name)
		w.boot(s.name)
	case n == 3 && s != nil && s.alive && a.alive:
		w.note("FAULT: stop %s", s.name)
		s.stopped, w.troubled = true, w.now
	case n == 4 && s != nil && s.alive:
		w.note("FAULT: continue %s", s.name)
		s.stopped = false
	case n == 5 && a.alive && (s == nil || w.mayLose(a)):
		w.note("FAULT: kill %s", a.name)
		w.killAgent(a)
	case n <= 7 && !a.alive:
		w.note("FAULT: start %s", a.name)
		w.startAgent(a)
	case n == 8 && a.alive:
		a.cut, w.troubled = !a.cut, w.now
		w.note("FAULT: cut %s: %v", a.name, a.cut)
		if a.cut {
			w.endSession(a)
		}
	case n == 9:
		w.down, w.troubled = !w.down, w.now
		w.note("FAULT: Consul away: %v", w.down)
	case n == 10:
		target := ""
		if r.IntN(2) == 0 && s != nil {
			target = s.name
		}
		w.note("FAULT: order a switchover to %q", target)
		_ = w.command([]string{"order", []string{"switchover", "failover"}[r.IntN(2)], target})
	case n == 11 && s != nil:
		keep := r.IntN(2) == 0
		w.note("FAULT: restart %s, keeping its data: %v", s.name, keep)
		w.kill(s.name, keep)
		w.boot(s.name)
	case n == 12 && s != nil && s.alive && !s.half && s.loading == 0:
		w.note("FAULT: %s saves its data", s.name)
		s.disk = s.dataset.copy()
	case n == 13 && s != nil:
		w.note("FAULT: %s dies with its machine", s.name)
		w.kill(s.name, r.IntN(2) == 0)
		if a.alive {
			w.killAgent(a)
		}
	case n == 14 && a.alive && !a.cut:
		w.note("FAULT: %s loses its session", a.name)
		w.endSession(a)
	case n >= 16 && a.alive:
		a.away, w.troubled = !a.away, w.now
		w.note("FAULT: %s does not reach Consul: %v", a.name, a.away)
		if a.away && r.IntN(2) == 0 {
			w.endSession(a)
		}
	case n == 15 && s != nil && r.IntN(2) == 0:
		a.why = []string{"", "it is in maintenance"}[r.IntN(2)]
		w.note("FAULT: %s must not be chosen: %q", s.name, a.why)
	}
}

// mayLose tells whether an agent may die alone.
func (w *world) mayLose(a *simAgent) bool {
	s, c := w.servers[a.node], w.consul
	if !s.alive {
		return true
	}
	calm := !w.down && !a.cut && !a.away && !s.stopped && w.now-w.troubled > 5*time.Second && c.Leader == "" && len(Count(c).Down) == 0
	calm = calm && c.Nodes[a.node].State == StateOpen && c.Nodes[a.node].RunID == s.run
	return !s.open && !a.local.MaybeOpen || calm && c.Record != nil && c.Record.Phase == Steady && c.Order == nil
}

// mendAll ends every fault.
func (w *world) mendAll() {
	w.note("MEND")
	w.down, w.skip, w.blind, w.loses, w.lags, w.delay, w.hangs = false, nil, nil, nil, nil, nil, nil
	for _, a := range w.agents {
		a.cut, a.away, a.why = false, false, ""
		if !a.alive {
			w.startAgent(a)
		}
		if s := w.servers[a.node]; s != nil {
			s.stopped = false
			if !s.alive {
				w.boot(s.name)
			}
		}
	}
}

package failover

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	histories = flag.Int("histories", 3000, "how many random histories are played")
	seed      = flag.Uint64("seed", 0, "play this history alone")
)

// TestRandomHistories plays random faults and holds every step to what must never happen, and the end to what must.
func TestRandomHistories(t *testing.T) {
	if *seed != 0 {
		if w, err := history(*seed); err != nil {
			t.Fatalf("seed %d: %v\n%s", *seed, err, w)
		}
		return
	}
	for s := uint64(1); s <= uint64(*histories); s++ {
		if w, err := history(s); err != nil {
			t.Fatalf("seed %d: %v\n%s", s, err, w)
		}
	}
}

// history plays one.
func history(seed uint64) (*world, error) {
	r := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "b", "c", "d", "e"}[:2+r.IntN(4)]
	w := newWorld(names...)
	w.agent("witness", "")
	w.consul.Settings.ParallelSyncs = 1 + r.IntN(2)
	slow, stale := r.Float64()*0.7, r.Float64()*0.7
	w.skip = func(*simAgent) bool { return r.Float64() < slow }
	w.blind = func(*simAgent) bool { return r.Float64() < stale }
	seen := watcher{masters: map[uint64]string{}}
	for range 60 + r.IntN(400) {
		if r.IntN(12) == 0 {
			w.fault(r)
		}
		w.write()
		w.tick()
		if err := seen.look(w); err != nil {
			return w, err
		}
	}
	w.mendAll()
	for end := w.now + 10*time.Minute; w.now < end; w.tick() {
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
	return w, fmt.Errorf("not whole in the end: %w; record %+v", w.whole(), w.consul.Record)
}

// fault makes one thing go wrong, or right again. Assumed, as G2 does: the agent of a server that may be open runs, or its
// machine is dead. So an agent dies alone only while its server and its machine are well.
func (w *world) fault(r *rand.Rand) {
	a := w.agents[r.IntN(len(w.agents))]
	s := w.servers[a.node]
	well := a.alive && !a.cut && (s == nil || !s.stopped)
	switch n := r.IntN(12); {
	case n == 0 && s != nil:
		keep := r.IntN(2) == 0
		w.note("FAULT: kill %s, keeping its data: %v", s.name, keep)
		w.kill(s.name, keep)
	case n <= 2 && s != nil && !s.alive:
		w.note("FAULT: start %s", s.name)
		w.boot(s.name)
	case n == 3 && s != nil && s.alive && a.alive:
		w.note("FAULT: stop %s", s.name)
		s.stopped = true
	case n == 4 && s != nil && s.alive:
		w.note("FAULT: continue %s", s.name)
		s.stopped = false
	case n == 5 && well && !w.down:
		w.note("FAULT: kill %s", a.name)
		w.killAgent(a)
	case n <= 7 && !a.alive:
		w.note("FAULT: start %s", a.name)
		w.startAgent(a)
	case n == 8 && a.alive:
		a.cut = !a.cut
		w.note("FAULT: cut %s: %v", a.name, a.cut)
		if a.cut {
			w.endSession(a)
		}
	case n == 9 && w.allAlive():
		w.down = !w.down
		w.note("FAULT: Consul away: %v", w.down)
	case n == 10:
		target := ""
		if r.IntN(2) == 0 && s != nil {
			target = s.name
		}
		w.note("FAULT: order a switchover to %q", target)
		_ = w.command([]string{"order", []string{"switchover", "failover"}[r.IntN(2)], target})
	case n == 11 && s != nil:
		w.note("FAULT: restart %s without data", s.name)
		w.kill(s.name, false)
		w.boot(s.name)
	}
}

func (w *world) allAlive() bool {
	for _, a := range w.agents {
		if !a.alive {
			return false
		}
	}
	return true
}

// mendAll ends every fault.
func (w *world) mendAll() {
	w.note("MEND")
	w.down, w.skip, w.blind = false, nil, nil
	for _, a := range w.agents {
		a.cut = false
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

// watcher remembers what it takes to tell that something happened that must never happen.
type watcher struct {
	epoch   uint64
	masters map[uint64]string
	data    map[string]int
}

func (o *watcher) look(w *world) error {
	if open := w.openServers(); len(open) > 1 {
		return fmt.Errorf("G2: %v are open at once", open)
	}
	data := map[string]int{}
	for name, s := range w.servers {
		data[name] = len(s.data)
		// A replica whose data vanish in a resync was wiped by a master that has none.
		if m := w.servers[s.master]; m != nil && s.linkUp && len(s.data) == 0 && o.data[name] > 0 {
			return fmt.Errorf("G6: %s had %d writes and was wiped by %s", name, o.data[name], m.name)
		}
	}
	o.data = data
	syncing := 0
	r := w.consul.Record
	if r == nil {
		return nil
	}
	for _, m := range r.Eligible {
		if m.Syncing != "" {
			syncing++
		}
	}
	if limit := w.consul.Settings.ParallelSyncs; syncing > limit {
		return fmt.Errorf("%d full resyncs at a time, want %d at most", syncing, limit)
	}
	if r.Epoch < o.epoch {
		return fmt.Errorf("the epoch went back from %d to %d", o.epoch, r.Epoch)
	}
	o.epoch = r.Epoch
	if before, ok := o.masters[r.Epoch]; ok && before != r.Master {
		return fmt.Errorf("epoch %d has two masters: %s and %s", r.Epoch, before, r.Master)
	}
	o.masters[r.Epoch] = r.Master
	return r.check()
}

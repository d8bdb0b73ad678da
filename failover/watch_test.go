package failover

import (
	"fmt"
	"strings"
	"time"
)

// watcher remembers what it takes to tell that something happened that must never happen.
type watcher struct {
	epoch   uint64
	masters map[uint64]string
	data    map[string]int
	filled  bool // every replica had data in the beginning
}

func (o *watcher) look(w *world) error {
	if w.broken != nil {
		return w.broken
	}
	if open := w.openServers(); len(open) > 1 {
		return fmt.Errorf("G2: %v are open at once", open)
	}
	for _, s := range w.inOrder {
		// A replica whose data vanish in a resync was wiped by a master that has none.
		if o.filled && s.alive && s.linkUp && len(s.data) == 0 && o.data[s.name] > 0 {
			return fmt.Errorf("G6: %s had %d writes and was wiped by %s", s.name, o.data[s.name], s.master)
		}
		o.data[s.name] = len(s.data)
		a := w.agentOf(s.name)
		limit := time.Duration(w.consul.Settings.FenceAfter) + 100*time.Millisecond
		if s.open && !s.paused && s.takesOrders() && a.alive && a.cut && len(w.consul.Record.Eligible) > 0 && a.cutSince != 0 && w.now-a.cutSince > limit {
			return fmt.Errorf("G5: %s is open and its agent has not reached Consul since %s", s.name, w.now-a.cutSince)
		}
	}
	return o.lookAtRecord(w)
}

func (o *watcher) lookAtRecord(w *world) error {
	r := w.consul.Record
	if r == nil {
		return nil
	}
	syncing := 0
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
	if before, ok := o.masters[r.Epoch]; ok && before != r.Master+r.RunID {
		return fmt.Errorf("epoch %d has two masters: %s and %s", r.Epoch, before, r.Master+r.RunID)
	}
	o.masters[r.Epoch] = r.Master + r.RunID
	return r.check()
}

// judgeCommit compares what the chosen server holds with what the others do that have reported for the attempt: nobody
// who counts may have a write that the chosen one lacks, unless the rules set it aside.
func (w *world) judgeCommit(c Commit) {
	r := w.consul.Record
	chosen := w.servers[c.Record.Master]
	if c.Record.Epoch == r.Epoch || chosen.run != c.Record.RunID || !chosen.alive {
		return
	}
	for _, candidate := range c.History.Candidates {
		// What the leader knew may be older than what is now, and need not be in Consul.
		s := w.servers[candidate.Node]
		unknown := strings.HasPrefix(candidate.Refused, "no report") || candidate.Position != s.position()
		if unknown || s == chosen || !s.alive || s.open || s.half || strings.Contains(candidate.Refused, "maintenance") {
			continue
		}
		restarted := chosen.name == r.Master && chosen.run != r.RunID || chosen.name != r.Master && chosen.run != r.Eligible[chosen.name].RunID
		if restarted && len(chosen.data) == 0 && len(s.data) > 0 && !w.foreign[s.name] {
			w.broken = fmt.Errorf("G6: %s is empty and was chosen, %s holds %d writes", chosen.name, s.name, len(s.data))
		}
		counted := r.Eligible[s.name].RunID == s.run && r.opening(s.replid) >= 0
		if s.name == r.Master {
			last, _ := r.newest()
			counted = r.Epoch < last.Epoch+2 && r.RunID == s.run && r.Election.Evidence != Silent && r.Election.Kind != ForOrder
		}
		here, _ := r.place(s.position())
		there, _ := r.place(chosen.position())
		if here.epoch < there.epoch || chosen.name == r.Master && chosen.run == r.RunID {
			continue // what it has besides was set aside when that epoch began
		}
		if target := r.Election.Target; counted && (target == "" || s.name == r.Master) && ahead(s.data, chosen.data) {
			w.broken = fmt.Errorf("%s was chosen at %v with %d writes, and %s has %d at %v; lineage %v, %s", chosen.name, chosen.position(),
				len(chosen.data), s.name, len(s.data), s.position(), r.Lineage, r.Election.Kind)
		}
	}
}

// ahead tells whether a holds newer writes than b. Writes are numbered in the order they were made: where two histories
// part, the later one goes on with the higher number.
func ahead(a, b []int) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i >= len(b) || a[i] > b[i]
		}
	}
	return false
}

package simulation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// judged says which guarantees every history is held to; see "Guarantees" in docs/architecture.md.
var judged = struct {
	tag        bool // G1, of the tag; that the name is one entry is how Consul keeps it
	alone      bool // G2
	durability bool // G3, where the record promises it
	switchover bool // G4
	lease      bool // G5, and more: no write is taken without a lease
	wiping     bool // G6
	rescue     bool // G7, the part that data which survive are kept
	only       bool // G8, the part that a dead agent or driver alone moves nothing
	outage     bool // G9
	rest       bool // that nobody works without end while there is nothing to be done
}{tag: true, alone: true, durability: true, switchover: true, lease: true, wiping: true, rescue: true, only: true, outage: true, rest: true}

// watchdog remembers what it takes to tell that something happened that must never happen. It is called under the
// world's lock.
type watchdog struct {
	epoch    uint64
	masters  map[uint64]string
	entered  map[string]time.Duration // since when each member of the record has been one
	filled   bool                     // the group was whole once, with data, and never since has all of it been lost
	restored bool                     // a snapshot was restored
	durable  []*op
	told     map[int]bool // acknowledged, since the last loss that an operator accepted
	saved    map[int]bool
	seen     totals
}

const (
	// resumeGrace is how long a machine that was paused may go on with what it was at: its server may answer what was
	// queued. agentGrace is the same for an agent that was started or paused.
	resumeGrace = 100 * ms
	agentGrace  = 500 * ms
)

// excused tells whether the assumption of G2 does not hold for an open server: its agent runs.
func (s *server) excused() bool {
	m, now := s.m, s.w.now()
	l := m.life
	tamed := s.config == plugin.FrozenAddress // else it may have been started open, by nobody's order
	return !tamed || m.still != nil || m.resumed > 0 && now < m.resumed+resumeGrace ||
		l == nil || l.still != nil || now < l.began+agentGrace || l.resumed > 0 && now < l.resumed+resumeGrace
}

// look is done at every step.
func (d *watchdog) look(w *world) {
	var open []string
	for _, s := range w.servers {
		if s.alive && s.open && !s.excused() {
			open = append(open, fmt.Sprintf("%s (%s)", s.name, s.run))
		}
	}
	if judged.alone && len(open) > 1 {
		w.fail("G2: %s are open at once", strings.Join(open, " and "))
	}
}

// opens judges a server that has just been opened.
func (d *watchdog) opens(s *server) {
	w := s.w
	d.look(w)
	r := w.consul.state.Record
	if r == nil || r.Phase != failover.Steady || r.Master != s.name || r.RunID != s.run {
		return
	}
	d.lookForDurable(s)
}

// lookForDurable looks whether a master has every write that it must have.
func (d *watchdog) lookForDurable(s *server) {
	if !judged.durability || len(d.durable) == 0 {
		return
	}
	has := map[int]bool{}
	for _, e := range s.log {
		has[e.id] = true
	}
	for _, o := range d.durable {
		if !has[o.id] {
			s.w.fail("G3: %s is master and lacks write %d, which %s acknowledged at offset %d after %d replicas had it",
				s.name, o.id, o.server.name, o.at, o.acks)
			return
		}
	}
}

// writes judges a write that a server has just taken: it must have a lease, or have had one until a moment ago.
func (d *watchdog) writes(s *server) {
	w := s.w
	if !judged.lease || s.excused() || w.consul.state.Record == nil {
		return
	}
	if r := w.consul.state.Record; r.Master == s.name && len(r.Eligible) == 0 {
		s.m.leased = w.now() // there is nobody whose promise it needs
	}
	fence := time.Duration(float64(w.settings.fenceAfter) / min(s.m.rate, 1))
	if late := w.now() - max(s.m.leased, s.m.promised()) - fence; late > 10*ms {
		w.fail("G5: %s takes a write, and its lease ended %s ago", s.name, late)
	}
}

// records notes since when each member has been one.
func (d *watchdog) records(r *failover.Record, now time.Duration) {
	if r == nil {
		return
	}
	maps.DeleteFunc(d.entered, func(name string, _ time.Duration) bool { _, ok := r.Eligible[name]; return !ok })
	for name := range r.Eligible {
		if _, ok := d.entered[name]; !ok {
			d.entered[name] = now
		}
	}
}

// acknowledges notes a write that a client was told to be done.
func (d *watchdog) acknowledges(o *op) {
	w := o.server.w
	o.acked = w.now()
	d.seen.Acked++
	d.told[o.id] = true
	if !o.waited {
		return
	}
	d.seen.Waited++
	if r := w.consul.state.Record; r != nil && promised(r) > 0 && o.acks >= promised(r) {
		d.durable = append(d.durable, o)
		d.filled = true
	}
}

// promised is the k of wait:k, 0 if the record promises nothing.
func promised(r *failover.Record) int {
	k, _ := failover.ParseDurability(r.Durability)
	return k
}

// saves notes what a server saved to a file.
func (d *watchdog) saves(s *server) {
	for _, e := range s.log {
		d.saved[e.id] = true
	}
}

// ends notes that a server ended: with the last of what the group had, an empty server has all there is.
func (d *watchdog) ends(w *world) {
	d.filled = d.filled && slices.ContainsFunc(w.servers, func(s *server) bool {
		return s.alive && s.keys() > 0 || s.disk != nil && s.disk.keys() > 0
	})
}

// asks judges how often an agent asks for its session, which it does whenever it looks at everything, and to write. Its shortest pause is one
// that does not last, between two looks at an offset.
func (d *watchdog) asks(l *life) {
	const window, most = 5 * time.Second, 2500
	w := l.m.w
	if w.now() > l.counted+window {
		l.asked, l.counted = 0, w.now()
	}
	if l.asked++; judged.rest && l.asked > most {
		w.fail("agent %s has asked for its session %d times in %s", l.m.name, l.asked, w.now()-l.counted)
	}
}

// closes judges the freeze of an open server, or its end by its agent.
func (d *watchdog) closes(s *server) {
	if r := s.w.consul.state.Record; r != nil && s.w.now()-s.m.leased > time.Duration(r.FenceAfter)/2 {
		s.w.only = "" // Consul did not answer in time either
	}
	if judged.outage && s.w.outage == s {
		s.w.fail("G9: %s is closed while Consul is away, though all agents answer each other", s.name)
	}
}

// resyncs judges a full resync that is about to replace what a replica has.
func (d *watchdog) resyncs(s, master *server) {
	// What Redis resyncs by itself with an old master that came back, while no agent knows to tell it otherwise, is nobody's deed.
	r, l := s.w.consul.state.Record, s.m.life
	if judged.rescue && r != nil && r.Master == master.name && l != nil && l.epoch == r.Epoch && s.w.now() > l.read+agentGrace {
		d.lookForDiscarded(s)
	}
	if image := s.up.image; judged.wiping && d.filled && image.keys() == 0 && s.keys() > 0 {
		s.w.fail("G6: %s had %d writes and is wiped by %s, which has none", s.name, s.keys(), master.name)
	}
}

// lookForDiscarded looks whether acknowledged writes are about to be lost that are in no file.
func (d *watchdog) lookForDiscarded(s *server) {
	has := map[int]bool{}
	for _, e := range s.up.image.log {
		has[e.id] = true
	}
	for _, e := range s.log {
		if d.told[e.id] && !has[e.id] && !d.saved[e.id] {
			s.w.fail("G7: %s had write %d, which was acknowledged and not saved, and is resynced from %s, which has not",
				s.name, e.id, s.up.from.name)
			return
		}
	}
}

// recordMoves judges a write of the record.
func (d *watchdog) recordMoves(w *world, before, after kept) {
	old, r := before.state.Record, after.state.Record
	syncing := 0
	for _, m := range r.Eligible {
		if m.Syncing != "" {
			syncing++
		}
	}
	if syncing > w.settings.parallelSyncs {
		w.fail("%d full resyncs at a time, want %d at most", syncing, w.settings.parallelSyncs)
	}
	if r.Epoch < d.epoch && !d.restored {
		w.fail("the epoch went back from %d to %d", d.epoch, r.Epoch)
	}
	d.epoch = max(d.epoch, r.Epoch)
	if was, ok := d.masters[r.Epoch]; ok && was != r.Master+" "+r.RunID && !d.restored {
		w.fail("epoch %d has two masters: %s and %s %s", r.Epoch, was, r.Master, r.RunID)
	}
	d.masters[r.Epoch] = r.Master + " " + r.RunID
	if e := after.entry; e.Service != "" && (e.Meta["node"] != r.Master || (e.Status == "passing") != (r.Phase == failover.Steady)) {
		w.fail("G1: the record says %s of %s, and the name says %s of %s", r.Phase, r.Master, e.Status, e.Meta["node"])
	}
	if judged.only && w.only != "" && r.Phase == failover.Electing && r.Election.Kind == failover.ForFailure {
		w.fail("G8: %s alone moves the master: %s", w.only, r.Election.Cause)
	}
	if old != nil && old.Phase == failover.Electing && r.Phase == failover.Steady {
		d.seen.Changes++
		if old.Election.AcceptLoss != "" {
			d.durable = nil
			clear(d.told)
		}
		d.handsOver(w, before.state, r)
	}
}

// handsOver judges the commit of a planned change.
func (d *watchdog) handsOver(w *world, s failover.State, r *failover.Record) {
	old, chosen := w.serverOf(s.Record.Master), w.serverOf(r.Master)
	if s.Record.Election.Kind != failover.ForSwitchover || old == chosen ||
		!old.alive || old.run != s.Record.RunID || !chosen.alive || chosen.run != r.RunID {
		return
	}
	d.seen.Planned++
	if judged.switchover && !chosen.holds(old.dataset) {
		w.fail("G4: a planned change from %s at %d to %s at %d", old.name, old.offset(), chosen.name, chosen.offset())
	}
}

// lookAtTags is done whenever Consul's catalog has changed.
func (d *watchdog) lookAtTags(w *world) {
	if !judged.tag {
		return
	}
	if ids := slices.DeleteFunc(w.holders(group, "master"), w.unattended); len(ids) > 1 {
		w.fail("G1: %s have the tag master and pass", strings.Join(ids, " and "))
	}
}

// unattended tells whether nobody could correct what a machine's Consul agent says of a service: its machine stands still, or was
// away and is back without its agent. When an agent alone is dead, the check that it does not refresh has to do.
func (w *world) unattended(id string) bool {
	for _, m := range w.machines {
		if r := m.local.services[id]; r != nil {
			l, now := m.life, w.now()
			return m.still != nil || m.resumed > 0 && now < m.resumed+resumeGrace || m.local.away > r.tended ||
				l != nil && l.resumed > 0 && now < l.resumed+resumeGrace
		}
	}
	return false
}

func (w *world) serverOf(node string) *server {
	for _, s := range w.servers {
		if s.name == node {
			return s
		}
	}
	return nil
}

// whole says what keeps the group from being as it should: the record steady, its master open, and every server that
// lives following it and counted.
func (w *world) whole() error {
	r := w.consul.state.Record
	switch {
	case r == nil:
		return errors.New("there is no record")
	case r.Phase != failover.Steady:
		return errors.New("the record is in phase " + string(r.Phase))
	case w.consul.entry.Service == "":
		return errors.New("nobody has put the name of the master back")
	}
	for _, s := range w.servers {
		switch {
		case s.name == r.Master && (!s.alive || !s.open || s.run != r.RunID):
			return fmt.Errorf("%s is master, alive %v, open %v, %s", s.name, s.alive, s.open, s.run)
		case s.name == r.Master || !s.alive:
		case s.master != w.serverOf(r.Master).address || s.up == nil || !s.up.up:
			return fmt.Errorf("%s follows %q, link up %v", s.name, s.master, s.up != nil && s.up.up)
		case r.Eligible[s.name].RunID != s.run:
			return fmt.Errorf("%s is not counted", s.name)
		case s.config != plugin.FrozenAddress:
			return fmt.Errorf("%s would not start frozen", s.name)
		}
	}
	return nil
}

// ruined tells whether an operator has to rule: no run that counts is left, and what the servers hold are
// histories of which the record knows nothing, or was to be replaced by a full resync that did not end. A server with an append-only file has such a one whenever it is
// started.
func (w *world) ruined() bool {
	r, data := w.consul.state.Record, false
	if r == nil {
		return false
	}
	for _, s := range w.servers {
		data = data || s.keys() > 0 || s.cold
		counted := r.Eligible[s.name].RunID == s.run || s.name == r.Master && r.RunID == s.run
		known := slices.ContainsFunc(r.Lineage, func(o failover.Opening) bool { return o.ReplID == s.replid || o.ReplID == s.replid2 })
		if !s.cold && (counted || s.keys() > 0 && known) {
			return false
		}
	}
	return data
}

// short tells whether fewer are left than the record's durability needs to choose a master: the old one is not in its
// run, and too many of the others are not in theirs, or have a history that the lineage does not know.
func (w *world) short() bool {
	r := w.consul.state.Record
	if r == nil || promised(r) == 0 || w.serverOf(r.Master).run == r.RunID && w.serverOf(r.Master).alive {
		return false
	}
	counted := 0
	for name, m := range r.Eligible {
		if s := w.serverOf(name); s.alive && s.run == m.RunID && !s.cold && known(r, s.position()) {
			counted++
		}
	}
	return counted < len(r.Eligible)-promised(r)+1
}

// known tells whether the lineage has what a position goes on from.
func known(r *failover.Record, p plugin.Position) bool {
	return slices.ContainsFunc(r.Lineage, func(o failover.Opening) bool { return o.ReplID == p.ReplID || o.ReplID == p.ReplID2 })
}

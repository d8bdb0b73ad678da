package agent

import (
	"context"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// take takes in what a read of the group's state answered. begun is when a consistent read was sent, or 0.
//
// Indexes alone do not order what was read of the group and what of all groups together, which has the highest of all of them:
// a consistent read that began after the newest was told is newer, whatever its index, if it has no older record.
//
// A record that is older than one that was known is left to a consistent read of it, which tells whether Consul went back.
func (g *group) take(s failover.State, begun time.Duration) (taken bool) {
	newer := begun > g.stateAt && s.RecordIndex >= g.view.State.RecordIndex
	old := s.Index < g.stateIndex && !newer
	back := s.RecordIndex < g.recordSeen.Load() && len(g.nodes) > 0
	if back {
		g.confirm()
	}
	if g.missed = (old || back) && failover.Kept(failover.IndexOrder); g.missed {
		return false
	}
	g.noteIndex(s.Index)
	g.taken = s.Index
	g.noteRecord(s.RecordIndex)
	g.view.State, g.view.Read = s, true
	if _, known := s.Agents[g.agent]; !known || s.Settings == nil {
		poke(g.unknown)
	}
	g.view.StateBegun = max(g.view.StateBegun, begun)
	g.noteEpoch()
	return true
}

// catchUp reads what an answer said that was not taken, should no newer one have come: Consul answers a watch once.
func (g *group) catchUp(ctx context.Context) {
	if g.missed && g.now() > g.stateAt+tick {
		g.missed = false
		g.start(ctx, failover.Reread{Why: "an answer came too late to be taken"})
	}
}

// wrote takes in the index of an own write, and tells whether what was taken since lacks it. An older answer to the watch must not
// take it back.
func (g *group) wrote(index uint64) bool {
	if index <= g.taken {
		return false
	}
	g.noteIndex(index)
	return true
}

// takeLease takes in what a consistent read of the record answered. seen is the index of the newest record that was known, from
// wherever, when the read was sent: Consul must have that or a newer one. Nothing needs to be looked at when it only prolongs a
// lease that is young, with which nothing waits for a read; one that is not taken may have to be asked for again.
func (g *group) takeLease(l failover.Lease, seen uint64) (look bool) {
	v := &g.view
	switch {
	case l.Begun < g.leaseRead && failover.Kept(failover.IndexOrder):
		return true
	case l.Index < seen:
		g.wentBack(l, seen)
		return true
	case l.Index < v.Lease.Index && failover.Kept(failover.IndexOrder):
		return true // it was under way at the same time as one that came later to Consul
	case l.Record == nil || l.Record.Epoch < v.Highest:
		// What cannot be trusted gives no lease, and takes none that has not ended.
		if l.Index >= v.State.RecordIndex {
			v.State.Record, v.State.RecordIndex = l.Record, l.Index
		}
		return true
	}
	young := v.Lease.Record != nil && g.now() < v.Lease.Begun+v.Fence()/2
	look = l.Index != v.Lease.Index || !young
	g.leaseRead, l.Extended, l.ExtendedFor = l.Begun, v.Lease.Extended, v.Lease.ExtendedFor
	g.noteRecord(l.Index)
	v.Lease = l
	if l.Index > v.State.RecordIndex {
		v.State.Record, v.State.RecordIndex = l.Record, l.Index
		// An older answer to the watch must not bring the record before it back.
		g.noteIndex(l.Index)
		g.noteEpoch()
		look = true
	}
	return look
}

// wentBack takes in that Consul has an older record than one that was known before, or none: a snapshot was restored, or
// the record was deleted. Even in the same epoch it is not to be trusted, until an operator makes one of a higher epoch.
func (g *group) wentBack(l failover.Lease, seen uint64) {
	v := &g.view
	g.log.Error("ALARM: Consul's record of the group went back or is gone", "had_index", seen, "index", l.Index)
	if l.Record != nil && l.Record.Epoch >= v.Highest {
		v.Highest = l.Record.Epoch + 1
	}
	v.State.Record, v.State.RecordIndex = l.Record, l.Index
	v.Lease.Index = l.Index // said once
	g.recordSeen.Store(l.Index)
	g.stateIndex, g.taken, g.missed = 0, 0, true
}

func (g *group) noteRecord(index uint64) { g.recordSeen.Store(max(index, g.recordSeen.Load())) }

func (g *group) noteIndex(index uint64) {
	if index >= g.stateIndex {
		g.stateIndex, g.stateAt = index, g.now()
	}
}

func (g *group) noteEpoch() {
	r := g.view.State.Record
	if r != nil {
		g.view.Highest = max(g.view.Highest, r.Epoch)
	}
}

// keepEpoch writes down the highest epoch that was seen, as long as data_dir does not have it.
func (g *group) keepEpoch(ctx context.Context) {
	epoch := g.view.Highest
	if g.epochs.get(g.name) >= epoch {
		return
	}
	g.do(ctx, "epoch", func(ctx context.Context) func() {
		if err := g.epochs.raise(g.name, epoch); err != nil {
			g.complain.warn(g.log, "cannot keep the highest epoch seen", "error", err)
			sleep(ctx, tick)
		}
		return nil
	})
}

// committed takes in the outcome of an own commit of the record: the group goes on from it at once, unless a newer one is known.
func (g *group) committed(r *failover.Record, index uint64) bool {
	if index < g.view.State.RecordIndex {
		return false
	}
	g.view.State.Record, g.view.State.RecordIndex = r, index
	g.wroteRecord = index
	g.noteIndex(index)
	g.noteRecord(index)
	g.noteEpoch()
	return true
}

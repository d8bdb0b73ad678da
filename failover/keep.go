package failover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// keep is the work of the master's agent while its master is open: it adds the opening to the lineage before
// anything is counted under it, enters new nodes as members before they may attach, hands out the turns for
// full resyncs, and counts a member's run once it has reached the master's offset of that moment.
func (v *View) keep(d *Decision) {
	r := v.State.Record
	n := v.local(r.Master)
	fence := v.Fence()
	if n == nil || !n.Known || n.Dead || n.State != StateOpen && n.State != StateFrozen || n.RunID != r.RunID || r.Phase != Steady ||
		v.Now >= v.Lease.Until(n.Name, n.RunID, max(v.Highest, r.Epoch), fence) {
		return
	}
	if v.waiting(OrderBootstrap, OrderRecord) != nil {
		d.do(v.refuse(fmt.Sprintf("the group has a record: %s is master of epoch %d", r.Master, r.Epoch)))
	}
	next := r.Clone()
	var why []string
	if n.State == StateFrozen {
		if r.reopened(n.Position) {
			next.Lineage = append(next.Lineage, opened(r.Epoch, n.Position))
			d.do(Amend{Record: next, Index: v.State.RecordIndex, Why: fmt.Sprintf("epoch %d had opened at %d", r.Epoch, max(n.Position.Offset2, 0))})
		}
		return
	}
	v.measure(d, n)
	newest, _ := r.newest()
	if r.opening(n.Position.ReplID) < 0 {
		next.Lineage = append(next.Lineage, opened(r.Epoch, n.Position))
		next.Lineage = next.Lineage[max(0, len(next.Lineage)-maxLineage):]
		why = append(why, fmt.Sprintf("epoch %d opened at %d", r.Epoch, max(n.Position.Offset2, 0)))
	} else if newest.Epoch == 0 && newest.ReplID == n.Position.ReplID && (n.Persisted || n.PersistFailed != "") {
		// Adopted while open, and not closed since: the history that it brought is the first epoch's.
		next.Lineage = append(next.Lineage, Opening{Epoch: r.Epoch, ReplID: newest.ReplID, Offset: newest.Offset})
		why = append(why, fmt.Sprintf("epoch %d goes on in the history it found", r.Epoch))
	}
	if next.Agent != v.Agent {
		next.Agent = v.Agent
		why = append(why, "its agent is "+v.Agent)
	}
	if v.State.Settings != nil { // what stands in for settings that are not known, or were deleted, promises nothing
		why = append(why, v.keepFence(next)...)
		why = append(why, v.keepDurability(next)...)
		v.sayDurability(d, next)
	}
	why = append(why, v.enter(next)...)
	why = append(why, v.countRuns(d, next, n)...)
	why = append(why, v.grantSyncs(next)...)
	if len(why) > 0 {
		d.do(Amend{Record: next, Index: v.State.RecordIndex, Why: strings.Join(why, "; ")})
	}
}

// opened is the opening that a master at this position is in.
func opened(epoch uint64, p Position) Opening {
	return Opening{Epoch: epoch, ReplID: p.ReplID, Offset: max(p.Offset2, 0), From: p.ReplID2}
}

// keepFence lets the lease in the record follow the settings. The master's agent keeps to the shorter of the two, and
// only it changes the record: so no leader ever waits less than a lease lasts.
func (v *View) keepFence(next *Record) (why []string) {
	if want := v.Settings().FenceAfter; next.FenceAfter != want {
		next.FenceAfter = want
		why = append(why, fmt.Sprintf("a lease lasts %s", time.Duration(want)))
	}
	return why
}

// enter makes members of the nodes that reported and may join.
func (v *View) enter(next *Record) (why []string) {
	for _, name := range v.nodeNames() {
		rep := v.State.Nodes[name]
		if _, ok := next.Eligible[name]; ok || name == next.Master || rep.RunID == "" || rep.State == StateDead {
			continue
		}
		if foreign(next, rep) == "" {
			next.Eligible[name] = Member{}
			if rep.Keys > 0 { // it may have been master, and forgotten
				next.Eligible[name] = Member{Deposed: next.Epoch, MasterOf: next.Epoch - 1}
			}
			why = append(why, name+" is a member")
		}
	}
	return why
}

// foreign says why a node that is no member must not attach: the resync would wipe data that the group does not
// have.
func foreign(r *Record, rep Report) string {
	if rep.Keys == 0 || r.knows(rep.Position) {
		return ""
	}
	return fmt.Sprintf("it holds %d keys of another history than the group's, which joining would wipe; "+
		"empty it (FLUSHALL) to let it join", rep.Keys)
}

// measure reads the master's offset for members whose goal is not noted yet. It must be read after the member's
// report: an older one may lie before a write that an earlier run of the member acknowledged.
func (v *View) measure(d *Decision, master *Local) {
	for _, goal := range v.Memory.Reach {
		if goal.Offset < 0 {
			d.do(Look{master.Name})
			return
		}
	}
}

// countRuns counts the runs that have reached the offset noted for them.
func (v *View) countRuns(d *Decision, next *Record, master *Local) (why []string) {
	for _, name := range v.nodeNames() {
		m, ok := next.Eligible[name]
		rep := v.State.Nodes[name]
		goal, noted := v.Memory.Reach[name]
		following := ok && rep.State == StateFollowing && rep.Epoch == next.Epoch
		if following && m.RunID == rep.RunID && m.Deposed > 0 && rep.Position.ReplID == master.Position.ReplID {
			m.Deposed = 0
			next.Eligible[name] = m
			why = append(why, name+" follows")
		}
		if !following || m.RunID == rep.RunID ||
			!noted || goal.RunID != rep.RunID || goal.Counted != m.RunID || goal.Offset < 0 || rep.Position.Offset < goal.Offset ||
			rep.Position.ReplID != master.Position.ReplID {
			continue
		}
		if sure := goal.Since + streamStarts; v.Now < sure {
			d.wake(sure)
			continue
		}
		next.Eligible[name] = Member{RunID: rep.RunID, MasterOf: m.MasterOf}
		why = append(why, name+" has caught up")
	}
	return why
}

// grantSyncs gives the turns for full resyncs to members that cannot continue by a partial one.
func (v *View) grantSyncs(next *Record) (why []string) {
	running, back := 0, map[string]bool{}
	for _, name := range v.nodeNames() {
		m, ok := next.Eligible[name]
		if !ok || m.Syncing == "" {
			continue
		}
		rep := v.State.Nodes[name]
		synced := rep.State == StateFollowing && rep.Epoch == next.Epoch
		// A run that has ended, or whose agent cannot tell, leaves its turn to somebody else.
		late := v.Now >= v.Memory.Turns[name].Since+turnFor
		if synced || late || rep.RunID != m.Syncing || rep.State == StateDead || rep.State == StateUnknown {
			m.Syncing, back[name] = "", true
			next.Eligible[name] = m
			why = append(why, name+" gives its turn back")
			continue
		}
		running++
	}
	if _, open := next.Open(); !open {
		return why
	}
	waiting := v.nodeNames()
	// Whoever had a turn and made nothing of it stands behind the others.
	slices.SortStableFunc(waiting, func(a, b string) int {
		return cmp.Compare(v.Memory.Turns[a].Missed, v.Memory.Turns[b].Missed)
	})
	for _, name := range waiting {
		m, ok := next.Eligible[name]
		rep := v.State.Nodes[name]
		if running >= max(1, v.Settings().ParallelSyncs) {
			break
		}
		if !ok || m.Syncing != "" || back[name] || rep.State != StateFrozen && rep.State != StateStray || next.resyncs(rep.Position) ||
			rep.Epoch != next.Epoch || rep.Hold != "" {
			continue
		}
		// What it has is discarded from now on, so it is not counted until it has caught up.
		m.Syncing, m.RunID = rep.RunID, ""
		next.Eligible[name] = m
		why = append(why, name+" may begin a full resync")
		running++
	}
	return why
}

func (v *View) nodeNames() []string { return slices.Sorted(maps.Keys(v.State.Nodes)) }

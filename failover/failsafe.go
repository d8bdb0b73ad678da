package failover

import (
	"fmt"
	"slices"
	"time"
)

// Consul's absence is not a reason to stop Redis. A master may stay open past the end of its lease while the agents of
// all members promise, again and again, to open nothing: then nobody else can be open, whatever Consul says meanwhile. A
// quorum of them would not do.

// Proposed is every member of every set that the master's agent may have written in an epoch, and every length of the lease.
type Proposed struct {
	Epoch uint64
	// Members has the index of the record that the last set with that member was to replace: of a later record it is known
	// what became of it. Leases is the same for the lengths.
	Members map[string]uint64
	Leases  map[Duration]uint64
}

// Propose notes the members and the lease of a record before it is sent, to replace the one of that index.
func (v *View) Propose(r *Record, index uint64) {
	if v.Proposed.Epoch != r.Epoch || v.Proposed.Members == nil {
		v.Proposed = Proposed{Epoch: r.Epoch, Members: map[string]uint64{}, Leases: map[Duration]uint64{}}
	}
	if r.FenceAfter > 0 {
		v.Proposed.Leases[r.FenceAfter] = max(v.Proposed.Leases[r.FenceAfter], index)
	}
	for name := range r.Eligible {
		v.Proposed.Members[name] = max(v.Proposed.Members[name], index)
	}
}

// failsafe asks for promises when a good part of the lease of an open master has passed without a read.
func (v *View) failsafe(d *Decision, n *Local) {
	fence := v.Fence()
	ask := v.Lease.end(fence) - fence/2
	if v.Now < ask {
		d.wake(ask)
		return
	}
	agents, missing := v.promisers(n)
	if len(missing) > 0 {
		d.wait("Consul does not answer, and nobody can be asked in place of it for %v", missing)
		return
	}
	d.wait("Consul does not answer; %s stays open while the agents of all members promise to open nothing (%v)", n.Name, agents)
	d.do(AskPromises{Node: n.Name, RunID: n.RunID, Epoch: v.Lease.Record.Epoch, Agents: agents, For: fence})
	d.wake(v.Now + fence/8)
}

// promisers are the other agents whose promise a master needs to stay open, and the members that have none who could be
// asked.
func (v *View) promisers(n *Local) (agents, missing []string) {
	members := map[string]bool{}
	for name := range v.Lease.Record.Eligible {
		members[name] = true
	}
	if v.Proposed.Epoch == v.Lease.Record.Epoch {
		for name, index := range v.Proposed.Members {
			if index >= v.Lease.Index {
				members[name] = true
			}
		}
	}
	for name := range members {
		rep := v.State.Nodes[name]
		info, known := v.State.Agents[rep.Agent]
		switch {
		case name == n.Name || rep.Agent == v.Agent:
			// Of one's own nodes, only one is open at a time.
		case !known || info.Address == "":
			missing = append(missing, name)
		default:
			agents = append(agents, rep.Agent)
		}
	}
	slices.Sort(missing)
	slices.Sort(agents)
	if agents = slices.Compact(agents); !Kept(WholeSet) {
		agents = agents[:len(agents)/2]
	}
	return agents, missing
}

// Extend prolongs the lease of a master by promises that were asked for at begun and that all have given. A promise
// extends a lease that has not ended; it never revives one.
func (v *View) Extend(a AskPromises, begun time.Duration) {
	if !Kept(OnlyExtends) || v.Now < v.Lease.Until(a.Node, a.RunID, max(v.Highest, a.Epoch), v.Fence()) && v.Lease.Record.Epoch == a.Epoch {
		v.Lease.Extended, v.Lease.ExtendedFor = begun, a.For
	}
}

// GivePromise answers another master's agent: whether this agent may promise, or why not. A promise that is given holds
// for as long as the master's lease lasts, and longer by what clocks may differ.
func (v *View) GivePromise(epoch uint64, master, runID string, lease time.Duration) (why string) {
	r := v.Lease.Record
	if s := v.State.Record; s != nil && (r == nil || s.Epoch > r.Epoch || v.State.RecordIndex > v.Lease.Index && s.Epoch >= v.Highest) {
		r = s
	}
	switch {
	case r == nil:
		return "it has not read the record"
	case v.Highest > epoch || r.Epoch != epoch:
		return fmt.Sprintf("it knows epoch %d", max(v.Highest, r.Epoch))
	case (r.Phase != Steady || v.MayElect) && Kept(NoneAfterElecting):
		return fmt.Sprintf("a change of master has begun in epoch %d", r.Epoch)
	case r.Master != master || r.RunID != runID:
		return fmt.Sprintf("the master of epoch %d is %s in run %s", r.Epoch, r.Master, r.RunID)
	}
	v.Promise = max(v.Promise, v.Now+fenceWait(lease))
	return ""
}

// promised tells until when a node must not be opened, because another master may stay open by the promise of this
// agent. A master that was open in its epoch before needs not wait: whoever had the promise has ended.
func (v *View) promised() (until time.Duration, waits bool) {
	r := v.State.Record
	_, opened := r.Open()
	until = v.Promise
	if !Kept(KeepsPromise) {
		until = 0
	}
	if v.Started > 0 && Kept(WaitAfterStart) {
		until = max(until, v.Started+fenceWait(r.lease(v.Settings())))
	}
	return until, v.Now < until && r.Epoch > 1 && !opened
}

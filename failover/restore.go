package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// restore is what is done while the record cannot be trusted, because it is gone or older than one that was seen: all say
// so and what they have, and an operator names the node whose data hold from now on. The new record's epoch is above
// all that anybody has seen.
func (v *View) restore(d *Decision) {
	for i := range v.Local {
		v.report(d, &v.Local[i])
	}
	o := v.State.Order
	if o == nil || o.Refused != "" || !v.Session {
		return
	}
	switch {
	case o.Kind != OrderRecord:
		d.do(v.refuse("the record cannot be trusted: make it anew first, with rescue record"))
	case !v.lock(d, "makes the new record"):
	case v.Now < v.lostLease():
		d.wake(v.lostLease())
		d.wait("whoever was master by the lost record may have a lease yet")
	default:
		d.do(v.renew("", "after the record was lost"))
	}
}

// lostLease is when the lease ends at the latest that somebody may have by the record that was lost, by all that is known of its length.
func (v *View) lostLease() time.Duration {
	longest := v.Settings().FenceAfter
	for _, r := range []*Record{v.Lease.Record, v.State.Record} {
		if r != nil {
			longest = max(longest, r.FenceAfter)
		}
	}
	return max(v.Memory.Lost, v.Memory.LockSeen) + fenceWait(time.Duration(longest))
}

// closed is the old master of an election that is fenced, if it is closed whatever was reported of it, for whoever opens the target:
// by its own agent's word, or because its lease is over and the target's agent, as that of a member, promises it no longer one.
// Of others' agents nothing was asked: it may be open by the promises of all members.
func (v *View) closed(target string) string {
	r, attempt := v.State.Record, v.State.RecordIndex
	master, chosen := v.State.Nodes[r.Master], v.State.Nodes[target]
	_, member := r.Eligible[target]
	if master.Attempt == attempt && r.byItsAgent(master) && (master.State == StateFrozen || master.State == StateDead) || member && chosen.Attempt == attempt {
		return r.Master
	}
	return ""
}

// renew makes the record that an operator ordered, or refuses it. fenced is known to be closed, whatever was reported of it.
func (v *View) renew(fenced, why string) Action {
	o := v.State.Order
	r, refused := v.restored(o.Target, fenced)
	if r == nil {
		return v.refuse(refused)
	}
	return Create{Record: r, Index: v.State.RecordIndex, Order: v.State.OrderIndex, Why: fmt.Sprintf("ordered by %s, %s", o.By, why)}
}

// refuse answers the order that waits.
func (v *View) refuse(why string) RefuseOrder {
	refused := *v.State.Order
	refused.Refused = why
	return RefuseOrder{Order: refused, Index: v.State.OrderIndex}
}

// restored makes the record anew, or says why it cannot be made. Everybody else must be closed, by the word of its
// own agent, or follow somebody: a server that is open, perhaps by the promises of others, is the one to name.
func (v *View) restored(target, fenced string) (*Record, string) {
	s := v.State
	chosen, ok := s.Nodes[target]
	if !ok {
		return nil, fmt.Sprintf("no node of this group is named %q; there are %s", target, strings.Join(v.nodeNames(), ", "))
	}
	if !slices.Contains([]NodeState{StateOpen, StateStray, StateFrozen, StateFollowing}, chosen.State) {
		return nil, fmt.Sprintf("%s is %s", target, chosen.State)
	}
	var nodes []Report
	for _, name := range v.nodeNames() {
		rep := s.Nodes[name]
		nodes = append(nodes, rep)
		closed := []NodeState{StateFrozen, StateFollowing, StateSyncing, StateDead, StateLoading}
		if name != target && name != fenced && rep.Master == "" && !slices.Contains(closed, rep.State) {
			return nil, fmt.Sprintf("%s is %s by the last report of its agent: stop it first, or name it; if its machine is gone for good, "+
				"delete the group's nodes/%s in Consul's KV", name, rep.State, name)
		}
	}
	r := firstRecord(chosen, nodes)
	r.Epoch, r.Since, r.FenceAfter = v.seen()+1, v.Wall, v.Settings().FenceAfter
	for _, rep := range nodes {
		if rep.Node != target {
			// Whatever it has that the new master lacks is saved before it follows. Which of them was master is not known.
			r.Eligible[rep.Node] = Member{Deposed: r.Epoch, MasterOf: r.Epoch - 1}
		}
	}
	return r, ""
}

package failover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// lead is the part of the group's leader, and of those who would be: take the lock when there is something to
// lead, elect, wait until the old master is fenced, choose, commit, and give the lock back when the others follow.
// Who takes the lock otherwise than with the commit of an election reads everything again first.
func (v *View) lead(d *Decision) {
	need, why := v.needsLeader(d)
	switch {
	case !v.Session:
		if need {
			d.wait("cannot lead without a Consul session: %s", why)
		}
	case v.State.Leader == "" && need && v.State.Record.Phase == Steady && v.down():
		// The lock is taken with the commit, which rests on the very votes that were read.
		turn := v.Memory.QuorumSeen + v.turn()
		if v.Now < turn {
			d.wake(turn)
			d.wait("leaves the election to agents before it")
			return
		}
		v.elect(d)
	case v.State.Leader == "" && need:
		if turn := v.Memory.PlannedSeen + takeAfter; v.Memory.PlannedSeen > 0 && !v.takesOver() && v.Now < turn {
			d.wake(turn)
			d.wait("leaves the lock to the agents of those that may take over")
			return
		}
		v.take(d)
	case !v.leads():
		if need {
			d.wait("agent %s leads: %s", v.State.Leader, why)
		}
	case !need:
		d.do(ReleaseLock{why})
	case !v.informed():
		d.do(Reread{"it holds the lock now"})
	case v.State.Record.Phase == Electing:
		v.conduct(d)
	default:
		v.elect(d)
	}
}

// lock tells whether this agent holds the lock and has read everything since; if not, it sees to it, or waits for the one that has
// the lock and does what is to be done.
func (v *View) lock(d *Decision, does string) bool {
	switch {
	case v.State.Leader == "":
		v.take(d)
	case !v.leads():
		d.wait("agent %s %s", v.State.Leader, does)
	case !v.informed():
		d.do(Reread{"it holds the lock now"})
	default:
		return true
	}
	return false
}

// take takes the lock that nobody has. Where only the record was read anew, somebody may have it by now.
func (v *View) take(d *Decision) {
	if v.State.RecordIndex > v.State.Index {
		d.do(Reread{"the record is newer than what is known of the lock"})
	} else {
		d.do(AcquireLock{})
	}
}

// informed tells whether the state was read since this agent holds the lock.
func (v *View) informed() bool { return v.Memory.LockSeen != 0 && v.StateBegun >= v.Memory.LockSeen }

// needsLeader tells whether the lock is wanted, and for what, or why not.
func (v *View) needsLeader(d *Decision) (bool, string) {
	s := v.State
	tally := v.tally()
	switch {
	case s.Record.Phase == Electing:
		return true, fmt.Sprintf("a change of master is in progress: %s", s.Record.Election.Cause)
	case v.ordered():
		return true, fmt.Sprintf("%s was ordered by %s", s.Order.Kind, s.Order.By)
	case v.unwanted() != "":
		return true, v.unwanted() + ", and another can take over"
	case tally.Reached() && v.Settings().Paused:
		d.wait("%s is down by %s, but the group is paused", s.Record.Master, tally)
		return false, "the group is paused"
	case tally.Reached() && v.Now < v.cooldown(tally):
		d.wake(v.cooldown(tally))
		d.wait("%s is down by %s, but the last change of master, %s ago, was for the same kind of evidence: waiting until it has cooled down, "+
			"for another kind, or for an operator", s.Record.Master, tally, (v.Now - v.Memory.MasterSeen).Round(time.Second))
		return false, "the last change of master cools down"
	case tally.Reached():
		return true, fmt.Sprintf("%s is down by %s: %s", s.Record.Master, tally, tally.Cause)
	}
	if len(tally.Down) > 0 || tally.Vetoed != "" {
		d.wait("%s is not objectively down: %s", s.Record.Master, tally)
	}
	if v.leads() {
		if behind := v.behind(); len(behind) > 0 {
			limit := v.Memory.EpochSeen + time.Duration(v.Settings().FailoverTimeout)
			if v.Now < limit {
				d.wake(limit)
				return true, "waiting for " + strings.Join(behind, ", ") + " to follow"
			}
			return false, strings.Join(behind, ", ") + " did not follow in time"
		}
	}
	return false, "the group is steady"
}

// turn is how long this agent holds back from electing once the quorum is there: for each agent that comes before it, longer
// for one that has voted. First come the agents of the nodes that are likely to be chosen, since a leader whose own node is
// the next master opens it with the commit; last comes the agent of the old master.
func (v *View) turn() time.Duration {
	down := v.tally().Down
	var before time.Duration
	for _, agent := range v.electors() {
		switch {
		case agent == v.Agent:
			return before
		case slices.Contains(down, agent):
			before += v.Crowded(electAfter)
		default:
			before += voteAfter
		}
	}
	return before
}

// electors are the agents in the order in which they elect.
func (v *View) electors() []string {
	s := v.State
	type place struct {
		class, priority int
		name            string
	}
	places := make(map[string]place, len(s.Agents))
	for agent := range s.Agents {
		places[agent] = place{1, 0, agent}
	}
	for node, rep := range s.Nodes {
		here := place{0, rank(rep.Priority), node}
		if p, known := places[rep.Agent]; known && v.unready(node) == "" && (p.class > 0 || here.priority < p.priority || here.priority == p.priority && node < p.name) {
			places[rep.Agent] = here
		}
	}
	last := s.Nodes[s.Record.Master].Agent
	if _, known := places[last]; known {
		places[last] = place{2, 0, last}
	}
	return slices.SortedFunc(maps.Keys(places), func(a, b string) int {
		p, q := places[a], places[b]
		return cmp.Or(cmp.Compare(p.class, q.class), cmp.Compare(p.priority, q.priority), cmp.Compare(p.name, q.name))
	})
}

// takesOver tells whether an own node may be the next master of a planned change. If its agent leads, it opens with the commit.
func (v *View) takesOver() bool {
	target := ""
	if v.ordered() {
		target = v.State.Order.Target
	}
	return slices.ContainsFunc(v.Local, func(n Local) bool {
		return (target == "" || target == n.Name) && v.unready(n.Name) == ""
	})
}

// behind names the nodes that do not follow the master yet, and the master while it has not opened.
func (v *View) behind() (names []string) {
	r := v.State.Record
	if _, open := r.Open(); !open {
		names = append(names, r.Master)
	}
	for name, m := range r.Eligible {
		rep := v.State.Nodes[name]
		gone := rep.State == StateDead || rep.State == StateUnknown || rep.RunID == ""
		if !gone && (m.RunID != rep.RunID || rep.State != StateFollowing || rep.Epoch != r.Epoch) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// elect opens an attempt: from its commit on, nobody may be open.
func (v *View) elect(d *Decision) {
	s := v.State
	tally := v.tally()
	next := s.Record.Clone()
	next.Phase, next.Since = Electing, v.Wall
	e := &Election{Leader: v.Agent, Deadline: v.Settings().FailoverTimeout}
	next.Election = e
	order := uint64(0)
	switch {
	case v.down():
		e.Kind, e.Evidence, e.Votes, e.Detected = ForFailure, tally.Evidence, tally.Down, tally.Since
		e.Cause = fmt.Sprintf("%s: %s", tally.Evidence, tally.Cause)
	case v.ordered():
		if why := v.orderRefused(); why != "" {
			d.do(v.refuse(why))
			return
		}
		e.Kind, e.Target, e.OrderID, order = ForOrder, s.Order.Target, s.Order.ID, s.OrderIndex
		if s.Order.Kind == OrderSwitchover {
			e.Kind = ForSwitchover
		}
		if s.Order.AcceptLoss {
			e.AcceptLoss = s.Order.By
		}
		e.Cause = fmt.Sprintf("%s ordered by %s", s.Order.Kind, s.Order.By)
	case v.unwanted() != "":
		e.Kind, e.Cause = ForSwitchover, v.unwanted()
	default:
		return // it leads only until the others follow
	}
	d.do(Elect{Record: next, Index: s.RecordIndex, Votes: v.grounds(e.Votes, tally.Need), Order: order})
}

// grounds are the votes that an election rests on, each with its index: of those counted, as many as are needed, the strongest first.
func (v *View) grounds(counted []string, need int) map[string]uint64 {
	s := v.State
	best := slices.Clone(counted)
	slices.SortStableFunc(best, func(a, b string) int {
		return strength[s.Votes[b].Evidence] - strength[s.Votes[a].Evidence]
	})
	best = best[:min(need, len(best))]
	votes := make(map[string]uint64, len(best)+1)
	for _, agent := range best {
		votes[agent] = s.Votes[agent].Index // 0 while it has only been told
		if own := s.Nodes[s.Record.Master].Agent; s.Votes[agent].Evidence == Silent && own != "" {
			votes[own] = s.Votes[own].Index // it may be about to veto
		}
	}
	return votes
}

// down tells whether the master is to be replaced because a quorum says so.
func (v *View) down() bool {
	t := v.tally()
	return t.Reached() && !v.Settings().Paused && v.Now >= v.cooldown(t)
}

// cooldown is until when a quorum is not acted upon, because the last change of master was for the same kind of evidence:
// masters that change places every few seconds help nobody. A server that is gone is not waited for, unless it was the master before and was
// chosen again, and its agent does not say that it has ended: then only others cannot reach it.
func (v *View) cooldown(t Tally) time.Duration {
	r, wait := v.State.Record, time.Duration(v.Settings().Cooldown)
	if t.Evidence != r.Evidence || wait == 0 || t.Evidence == Gone && (!r.again() || v.ended()) {
		return 0
	}
	return v.Memory.MasterSeen + min(wait<<min(r.Repeats, 6), max(wait, maxCooldown))
}

// ordered tells whether an operator's order for a change of master waits.
func (v *View) ordered() bool { return v.waiting(OrderFailover, OrderSwitchover) != nil }

// waiting is the operator's order, if it is of one of these kinds and was not refused.
func (v *View) waiting(kinds ...OrderKind) *Order {
	if o := v.State.Order; o != nil && o.Refused == "" && slices.Contains(kinds, o.Kind) {
		return o
	}
	return nil
}

// unwanted says why the master should not stay it, because it has priority 0 or its operator says so, when another
// node could take over; else it is empty. One that its agent cannot command could not hand over: it would take writes until it is
// killed, and they would be lost. Handing over is tried less and less often while it comes to nothing.
func (v *View) unwanted() string {
	r := v.State.Record
	rep, ok := v.State.Nodes[r.Master]
	why := rep.Ineligible
	if rep.Priority == 0 {
		why = "it has priority 0"
	}
	if !ok || why == "" || rep.State != StateOpen || r.unheeded(rep) || v.Settings().Paused || v.Now < v.Memory.EpochSeen+settle<<min(r.Repeats, 6) {
		return ""
	}
	for name, other := range v.State.Nodes {
		if other.Priority != 0 && v.unready(name) == "" {
			return r.Master + " should not be master: " + why
		}
	}
	return ""
}

// orderRefused says why an operator's order cannot be carried out now.
func (v *View) orderRefused() string {
	s, r := v.State, v.State.Record
	target := s.Order.Target
	if !s.Order.meant(r) {
		return fmt.Sprintf("it was ordered in epoch %d, and %s is master of epoch %d since: order it anew if that is to be replaced",
			s.Order.Epoch, r.Master, r.Epoch)
	}
	if _, known := s.Nodes[target]; target != "" && !known {
		return fmt.Sprintf("no node of this group is named %q; there are %s", target, strings.Join(v.nodeNames(), ", "))
	}
	if target == r.Master {
		return fmt.Sprintf("%s is master already, since epoch %d", target, r.Epoch)
	}
	if s.Order.AcceptLoss {
		return ""
	}
	if state := s.Nodes[r.Master].State; state != StateOpen {
		return fmt.Sprintf("the master %s is %s, not open", r.Master, state)
	}
	var refusals []string
	for _, name := range v.nodeNames() {
		if name == r.Master || target != "" && name != target {
			continue
		}
		why := v.unready(name)
		if why == "" {
			return ""
		}
		refusals = append(refusals, name+": "+why)
	}
	return "no replica can take over: " + strings.Join(refusals, "; ")
}

// meant tells whether a change of master was ordered in the record's epoch.
func (o *Order) meant(r *Record) bool { return o.Epoch == 0 || o.Epoch == r.Epoch }

// unready says why a node could not take over from a living master now.
func (v *View) unready(name string) string {
	r := v.State.Record
	rep, m := v.State.Nodes[name], r.Eligible[name]
	switch {
	case name == r.Master:
		return "it is master"
	case rep.Ineligible != "":
		return rep.Ineligible
	case rep.State != StateFollowing:
		return fmt.Sprintf("it is %s", rep.State)
	case m.RunID == "" || m.RunID != rep.RunID:
		return "it has not caught up with the master"
	}
	return ""
}

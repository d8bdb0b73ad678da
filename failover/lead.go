package failover

import (
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
	case v.State.Leader == "" && need && v.State.Record.Phase == Steady && Count(v.State).Reached():
		// The lock is taken with the commit, which rests on the very votes that were read.
		turn := v.Memory.QuorumSeen + v.rank()*electAfter
		if v.Now < turn {
			d.wake(turn)
			d.wait("leaves the election to agents before it")
			return
		}
		v.elect(d)
	case v.State.Leader == "" && need:
		d.do(AcquireLock{})
	case !v.leads():
		if need {
			d.wait("agent %s leads: %s", v.State.Leader, why)
		}
	case !need:
		d.do(ReleaseLock{why})
	case v.StateBegun < v.Memory.LockSeen || v.Memory.LockSeen == 0:
		d.do(Reread{"it holds the lock now"})
	case v.State.Record.Phase == Electing:
		v.conduct(d)
	default:
		v.elect(d)
	}
}

// needsLeader tells whether the lock is wanted, and for what, or why not.
func (v *View) needsLeader(d *Decision) (bool, string) {
	s := v.State
	tally := Count(s)
	switch {
	case s.Record.Phase == Electing:
		return true, fmt.Sprintf("a change of master is in progress: %s", s.Record.Election.Cause)
	case v.unwanted():
		return true, fmt.Sprintf("%s has priority 0 and another can take over", s.Record.Master)
	case s.Order != nil && s.Order.Refused == "" && s.Order.Kind != OrderBootstrap:
		return true, fmt.Sprintf("%s was ordered by %s", s.Order.Kind, s.Order.By)
	case tally.Reached() && s.Settings != nil && s.Settings.Paused:
		d.wait("%s is down by %s, but the group is paused", s.Record.Master, tally)
		return false, "the group is paused"
	case tally.Reached():
		return true, fmt.Sprintf("%s is down by %s: %s", s.Record.Master, tally, tally.Cause)
	}
	if len(tally.Down) > 0 || tally.Vetoed != "" {
		d.wait("%s is not objectively down: %s", s.Record.Master, tally)
	}
	if v.leads() {
		if behind := v.behind(); len(behind) > 0 {
			limit := v.Memory.EpochSeen + time.Duration(v.settings().FailoverTimeout)
			if v.Now < limit {
				d.wake(limit)
				return true, "waiting for " + strings.Join(behind, ", ") + " to follow"
			}
			return false, strings.Join(behind, ", ") + " did not follow in time"
		}
	}
	return false, "the group is steady"
}

// rank is this agent's place among those whose votes made the quorum, or behind them all.
func (v *View) rank() time.Duration {
	down := Count(v.State).Down
	if i := slices.Index(down, v.Agent); i >= 0 {
		return time.Duration(i)
	}
	return time.Duration(len(down))
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
	tally := Count(s)
	next := s.Record.Clone()
	next.Phase, next.Since = Electing, v.Wall
	e := &Election{Leader: v.Agent, Deadline: v.settings().FailoverTimeout}
	next.Election = e
	order := uint64(0)
	switch {
	case tally.Reached() && !v.settings().Paused:
		e.Kind, e.Evidence, e.Votes = ForFailure, tally.Evidence, tally.Down
		e.Cause = fmt.Sprintf("%s: %s", tally.Evidence, tally.Cause)
	case s.Order != nil && s.Order.Refused == "" && s.Order.Kind != OrderBootstrap:
		if why := v.refuseOrder(); why != "" {
			refused := *s.Order
			refused.Refused = why
			d.do(RefuseOrder{Order: refused, Index: s.OrderIndex})
			return
		}
		e.Kind, e.Target, e.OrderID, order = ForOrder, s.Order.Target, s.Order.ID, s.OrderIndex
		if s.Order.Kind == OrderSwitchover {
			e.Kind = ForSwitchover
		}
		e.Cause = fmt.Sprintf("%s ordered by %s", s.Order.Kind, s.Order.By)
	case v.unwanted():
		e.Kind, e.Cause = ForSwitchover, fmt.Sprintf("%s has priority 0", s.Record.Master)
	default:
		return // it leads only until the others follow
	}
	votes := make(map[string]uint64, len(e.Votes))
	for _, agent := range e.Votes {
		if index := s.Votes[agent].Index; index > 0 {
			votes[agent] = index
		}
	}
	d.do(Elect{Record: next, Index: s.RecordIndex, Votes: votes, Order: order})
}

// unwanted tells whether the master has priority 0, which does not stay master, and another node could take over.
func (v *View) unwanted() bool {
	r := v.State.Record
	rep, ok := v.State.Nodes[r.Master]
	if !ok || rep.Priority != 0 || v.settings().Paused || v.Now < v.Memory.EpochSeen+settle {
		return false
	}
	for name, other := range v.State.Nodes {
		if other.Priority != 0 && v.unready(name) == "" {
			return true
		}
	}
	return false
}

// refuseOrder says why an operator's order cannot be carried out now.
func (v *View) refuseOrder() string {
	s, r := v.State, v.State.Record
	target := s.Order.Target
	if _, known := s.Nodes[target]; target != "" && !known {
		return fmt.Sprintf("no node of this group is named %q; there are %s", target, strings.Join(v.nodeNames(), ", "))
	}
	if target == r.Master {
		return fmt.Sprintf("%s is master already, since epoch %d", target, r.Epoch)
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

// conduct leads the attempt in progress to its commit.
func (v *View) conduct(d *Decision) {
	s, r := v.State, v.State.Record
	fenced, how, until := v.fencing()
	if !fenced && v.Now >= until {
		d.do(v.callOff())
		return
	}
	if !fenced {
		d.wake(until)
		d.wait("waiting until %s is fenced", r.Master)
		return
	}
	choice := Choose(s, false)
	limit := v.Memory.FencedSeen + gatherFor
	if missing := v.missing(); len(missing) > 0 && v.Now < limit {
		d.wake(limit)
		d.wait("waiting for the reports of %s", strings.Join(missing, ", "))
		return
	}
	if choice.Node == "" {
		deadline := v.Memory.Seen + time.Duration(r.Election.Deadline)
		if away := v.away(); len(away) > 0 && v.Now < deadline {
			d.wake(deadline)
			d.wait("waiting for %s before a run is chosen that does not count", strings.Join(away, ", "))
		} else {
			choice = Choose(s, true)
		}
	}
	if choice.Node == "" {
		d.wait("nobody can be chosen: %s", refusals(choice))
		return
	}
	d.do(v.commit(choice, how))
}

// callOff ends a planned change to which the master's agent said nothing: the record names the same run of the same
// master again, in the same epoch, so nothing has changed for anybody who may have left it open.
func (v *View) callOff() Commit {
	s, r := v.State, v.State.Record
	next := r.Clone()
	next.Phase, next.Election, next.Since = Steady, nil, v.Wall
	why := fmt.Sprintf("called off, because the agent of %s did not say that it is frozen", r.Master)
	// Its epoch has a history already: that of how this master came. The log has this.
	return Commit{Record: next, Index: s.RecordIndex, History: History{Why: why}}
}

// missing names the members, and the old master, that have not reported for this attempt and may still.
func (v *View) missing() (names []string) {
	for name := range v.State.Record.Eligible {
		rep := v.State.Nodes[name]
		if rep.Attempt != v.State.RecordIndex && rep.State != StateDead {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// away names the nodes that do not stand frozen for this attempt: a server that has ended may be started again with data
// that those who are here lack.
func (v *View) away() (names []string) {
	for _, name := range append(slices.Collect(maps.Keys(v.State.Record.Eligible)), v.State.Record.Master) {
		if rep := v.State.Nodes[name]; rep.Attempt != v.State.RecordIndex || rep.State != StateFrozen {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func refusals(c Choice) string {
	var s []string
	for _, k := range c.Candidates {
		if k.Refused != "" {
			s = append(s, k.Node+": "+k.Refused)
		}
	}
	return strings.Join(s, "; ")
}

// commit makes the record of the next epoch, and what the history will say of it.
func (v *View) commit(choice Choice, fenced string) Commit {
	s, r := v.State, v.State.Record
	chosen := s.Nodes[choice.Node]
	next := r.Clone()
	next.Epoch, next.Phase, next.Election, next.Since = r.Epoch+1, Steady, nil, v.Wall
	next.Master, next.RunID, next.Address = chosen.Node, chosen.RunID, chosen.Address
	for name, m := range next.Eligible {
		m.Syncing = ""
		next.Eligible[name] = m
	}
	if choice.Node != r.Master {
		delete(next.Eligible, choice.Node)
		next.Eligible[r.Master] = Member{RunID: r.RunID}
	}
	lost := int64(-1)
	if old := s.Nodes[r.Master]; old.Attempt == s.RecordIndex && old.State == StateFrozen && old.RunID == r.RunID {
		lost = max(0, old.Position.Offset-chosen.Position.Offset)
	}
	m := v.Memory
	steps := []Step{{"fence: " + fenced, Duration(m.FencedSeen - m.Seen)}, {"choose", Duration(v.Now - m.FencedSeen)}}
	if m.QuorumSeen > 0 && m.Seen >= m.QuorumSeen {
		steps = append([]Step{{"elect", Duration(m.Seen - m.QuorumSeen)}}, steps...)
	}
	return Commit{Record: next, Index: s.RecordIndex, History: History{
		Epoch: next.Epoch, Attempt: s.RecordIndex, Kind: r.Election.Kind, Cause: r.Election.Cause,
		Votes: r.Election.Votes, Leader: v.Agent, From: r.Master, To: choice.Node, Why: choice.Why,
		Candidates: choice.Candidates, Steps: steps, At: v.Wall, NotReplicated: lost,
	}}
}

package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// conduct leads the attempt in progress to its commit.
func (v *View) conduct(d *Decision) {
	s, r := v.State, v.State.Record
	if o := v.waiting(OrderFailover); o != nil && o.AcceptLoss && o.meant(r) && r.Election.AcceptLoss == "" {
		d.do(v.overrule(o))
		return
	}
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
	limit := v.Memory.FencedSeen + v.Crowded(gatherFor)
	if missing := v.missing(); len(missing) > 0 && v.Now < limit && !v.handedOver(choice, missing) {
		d.wake(limit)
		d.wait("waiting for the reports of %s", strings.Join(missing, ", "))
		return
	}
	if choice.Node == "" && r.needs() == 0 {
		deadline := v.Memory.Seen + time.Duration(r.Election.Deadline)
		if away := v.away(); len(away) > 0 && v.Now < deadline {
			d.wake(deadline)
			d.wait("waiting for %s before a run is chosen that does not count", strings.Join(away, ", "))
		} else {
			choice = Choose(s, true)
		}
	}
	if o := v.waiting(OrderRecord); choice.Node == "" && o != nil {
		d.do(v.renew(v.closed(o.Target), "where nobody could be chosen"))
		return
	}
	if choice.Node == "" {
		d.wait("nobody can be chosen: %s", refusals(choice))
		if r.needs() > 0 {
			d.wait("an operator may accept the loss of writes: consul-redis-sentinel failover GROUP -accept-data-loss")
		} else {
			d.wait("an operator may name the data to go on with: consul-redis-sentinel rescue record GROUP -master NODE")
		}
		return
	}
	d.do(v.commit(choice, how))
}

// handedOver tells whether a choice stands whatever those say who have not reported: it has all that the old master
// had, and none of them comes before it.
func (v *View) handedOver(c Choice, missing []string) bool {
	s, r := v.State, v.State.Record
	old, chosen := s.Nodes[r.Master], s.Nodes[c.Node]
	if c.Node == "" || c.Node == r.Master || old.Attempt != s.RecordIndex || old.RunID != r.RunID || old.State != StateFrozen ||
		chosen.Position.Offset != old.Position.Offset || chosen.Ineligible != "" {
		return false
	}
	return !slices.ContainsFunc(missing, func(name string) bool {
		return name == r.Election.Target || r.Election.Target == "" && rank(s.Nodes[name].Priority) < rank(chosen.Priority)
	})
}

// overrule begins another attempt of the election in progress, without the record's durability.
func (v *View) overrule(o *Order) Elect {
	next := v.State.Record.Clone()
	next.Election.AcceptLoss, next.Election.OrderID = o.By, o.ID
	next.Election.Target, next.Election.Leader = o.Target, v.Agent
	next.Election.Cause += "; " + o.By + " accepts the loss of writes"
	return Elect{Record: next, Index: v.State.RecordIndex, Order: v.State.OrderIndex}
}

// callOff ends a planned change to which the master's agent said nothing: the record names the same run of the same
// master again, in the same epoch, so nothing has changed for anybody who may have left it open.
func (v *View) callOff() Commit {
	s, r := v.State, v.State.Record
	next := r.Clone()
	next.Phase, next.Election, next.Since, next.CalledOff = Steady, nil, v.Wall, s.Nodes[r.Master].At
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
	next.Epoch, next.Phase, next.Election, next.Since, next.CalledOff = r.Epoch+1, Steady, nil, v.Wall, time.Time{}
	next.Master, next.RunID, next.Agent, next.Address = chosen.Node, chosen.RunID, chosen.Agent, chosen.Address
	again := r.Evidence == r.Election.Evidence && (r.Election.Kind == ForFailure || choice.Node == r.Master)
	if next.Evidence = r.Election.Evidence; again {
		next.Repeats = r.Repeats + 1
	} else {
		next.Repeats = 0
	}
	next.Lineage = append(next.Lineage, r.unwritten(chosen)...)
	for name, m := range next.Eligible {
		m.Syncing, m.Deposed = "", next.Epoch
		next.Eligible[name] = m
	}
	if choice.Node != r.Master {
		delete(next.Eligible, choice.Node)
		if Kept(OldMasterStays) {
			next.Eligible[r.Master] = Member{RunID: r.RunID, Deposed: next.Epoch, MasterOf: r.Epoch}
		}
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
		Votes: r.Election.Votes, Detected: r.Election.Detected, Leader: v.Agent, From: r.Master, To: choice.Node, Why: choice.Why,
		Candidates: choice.Candidates, Steps: steps, At: v.Wall, NotReplicated: lost,
	}}
}

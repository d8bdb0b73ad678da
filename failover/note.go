package failover

import "time"

// Note lays what was heard over the state, and takes into Memory what is new. It is called before each Decide.
func (v *View) Note() {
	v.heed()
	m, s := &v.Memory, v.State
	if r := s.Record; r != nil {
		if s.RecordIndex != m.Index {
			m.Index, m.Seen = s.RecordIndex, v.Now
			m.FencedSeen = 0
		}
		if r.Epoch != m.Epoch || r.Phase != m.Phase {
			if r.Epoch != m.Epoch {
				m.MasterSeen = v.Now
			}
			m.Epoch, m.Phase, m.EpochSeen = r.Epoch, r.Phase, v.Now
		}
		v.Highest = max(v.Highest, r.Epoch)
		v.noteElection(m)
		v.since(&m.PlannedSeen, r.Phase == Steady && (v.ordered() || v.unwanted() != ""))
		master := v.local(r.Master)
		v.since(&m.MasterDied, master != nil && master.Dead)
		v.noteReach(m)
		v.noteTurns(m)
	}
	v.noteFreezes(m)
	v.since(&m.Lost, s.Alarm(v.Highest) != "")
	switch {
	case !v.leads():
		m.LockSeen = 0
	case m.LockSeen == 0 && v.elects():
		m.LockSeen = v.StateBegun // what its own commit brought was seen before the answer to it
	case m.LockSeen == 0:
		m.LockSeen = v.Now
	}
	v.MayElect = v.MayElect && v.State.RecordIndex <= v.ElectOver
}

// elects tells whether the record is electing by a commit of this agent whose outcome has not been told yet.
func (v *View) elects() bool {
	r := v.State.Record
	return v.MayElect && r != nil && r.Phase == Electing && r.Election.Leader == v.Agent
}

// Leads notes that this agent took the lock with a commit that was sent at the given time. What was read before is not read
// again: the commit compared all that it rests on, and what comes after it carries its index.
func (v *View) Leads(begun time.Duration) {
	v.State.Leader = v.Agent
	v.Memory.LockSeen, v.StateBegun = begun, max(v.StateBegun, begun)
}

// noteFreezes notes since when a server may be open without a lease, and when the last lease ends that it had. Before
// there is a record nobody wants a freeze.
func (v *View) noteFreezes(m *Memory) {
	wanted, ends := map[string]time.Duration{}, map[string]time.Duration{}
	for _, n := range v.Local {
		if v.Highest == 0 || !n.MaybeOpen || n.Dead {
			continue
		}
		until := v.Lease.Until(n.Name, n.RunID, v.Highest, v.Fence())
		ends[n.Name] = max(until, m.LeaseEnds[n.Name])
		if v.Now >= until {
			if wanted[n.Name] = v.Now; m.FreezeWanted[n.Name] > 0 {
				wanted[n.Name] = m.FreezeWanted[n.Name]
			}
		}
	}
	m.FreezeWanted, m.LeaseEnds = wanted, ends
}

func (v *View) noteElection(m *Memory) {
	if v.State.Record.Phase == Steady {
		v.since(&m.QuorumSeen, Count(v.State).Reached())
	} else if fenced, _, _ := v.fencing(); fenced && m.FencedSeen == 0 {
		m.FencedSeen = v.Now
	}
}

// since keeps when something that holds was first seen, and 0 while it does not.
func (v *View) since(at *time.Duration, holds bool) {
	if !holds {
		*at = 0
	} else if *at == 0 {
		*at = v.Now
	}
}

// noteTurns notes, for the master's agent, since when each member has its turn for a full resync, and who let one pass.
func (v *View) noteTurns(m *Memory) {
	turns := make(map[string]Turn)
	for name, member := range v.State.Record.Eligible {
		t := m.Turns[name]
		switch {
		case member.Syncing == "":
			if late := t.Since + turnFor; t.RunID != "" && v.Now >= late {
				t.Missed = v.Now
			}
			t.RunID = ""
		case member.Syncing != t.RunID:
			t.RunID, t.Since, t.Begun = member.Syncing, v.Now, v.Now
		case v.State.Nodes[name].HalfSynced && v.Now < t.Begun+syncFor:
			t.Since = v.Now // it is at it
		}
		turns[name] = t
	}
	m.Turns = turns
}

// noteReach notes, for the master's agent, which offset each member has to reach that is not counted yet.
func (v *View) noteReach(m *Memory) {
	r := v.State.Record
	master := v.local(r.Master)
	if master == nil || r.Phase != Steady || master.State != StateOpen {
		m.Reach = nil
		return
	}
	reach := make(map[string]Reach)
	for name, member := range r.Eligible {
		rep := v.State.Nodes[name]
		if member.RunID == rep.RunID || rep.State != StateFollowing || rep.Epoch != r.Epoch {
			continue
		}
		goal, ok := m.Reach[name]
		if !ok || goal.RunID != rep.RunID || goal.Counted != member.RunID {
			goal = Reach{RunID: rep.RunID, Counted: member.RunID, Offset: -1, Since: v.Now}
		}
		if goal.Offset < 0 && master.LookedAt > goal.Since {
			goal.Offset = master.Position.Offset
		}
		reach[name] = goal
	}
	m.Reach = reach
}

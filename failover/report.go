package failover

import (
	"slices"
	"time"
)

// reportOf says of a node what its agent knows now.
func reportOf(v *View, n *Local) Report {
	rep := Report{
		Node: n.Name, Agent: v.Agent, Address: n.Address, Priority: n.Priority, Zone: n.Zone,
		Driver: n.Driver, Version: n.Version, TLS: n.TLS,
		RunID: n.RunID, State: n.State, Master: n.Master, Position: n.Position, Keys: n.Keys,
		HalfSynced: n.HalfSynced, Ineligible: n.Ineligible, At: v.Wall,
	}
	r := v.State.Record
	if r == nil || r.Epoch < v.Highest {
		rep.Highest = v.Highest
	} else if r.Phase == Steady && r.Master != n.Name {
		rep.Hold = r.hold(n)
	}
	switch {
	case n.Dead:
		rep.State = StateDead
	case n.Busy && n.MaybeOpen: // also when it has told nothing of itself on a connection that was made since
		rep.State = StateBusy
	case !n.Known:
		rep.State, rep.MaybeOpen = StateUnknown, n.MaybeOpen
	case r != nil && n.State == StateOpen && (r.Master != n.Name || r.RunID != n.RunID):
		rep.State = StateStray
	case r != nil && (n.State == StateFollowing || n.State == StateSyncing) && n.Master != r.Address:
		rep.State = StateStray
	}
	if r == nil {
		return rep
	}
	rep.Epoch = r.Epoch
	if r.Phase != Electing || r.Epoch < v.seen() { // the attempt of a record that went back was over long ago
		return rep
	}
	// What counts for an attempt is what was done for that attempt, not what was seen before it.
	attempt := v.State.RecordIndex
	switch {
	case n.Dead:
		rep.Attempt = attempt
	case n.Name != r.Master && n.Known && !Kept(FreezeReplicas):
		rep.Attempt, rep.State = attempt, StateFrozen
	case n.Frozen != nil && n.Frozen.Attempt == attempt && n.Frozen.RunID == n.RunID && !n.MaybeOpen:
		rep.Attempt, rep.State = attempt, StateFrozen
		rep.Position, rep.Keys, rep.Master = n.Frozen.Position, n.Frozen.Keys, ""
	case n.Paused != nil && n.Paused.Attempt == attempt && n.Paused.RunID == n.RunID && n.Known && !n.Paused.CaughtUp:
		rep.Attempt, rep.State, rep.Position = attempt, StatePaused, n.Paused.Position
	}
	return rep
}

// report writes what is new about a node. A mere move of the offset is news only while somebody waits for it:
// while the run is not counted yet.
func (v *View) report(d *Decision, n *Local) {
	now, last := reportOf(v, n), v.State.Nodes[n.Name]
	if v.passing(n, now, last) {
		for _, soon := range []time.Duration{v.Memory.EpochSeen + openingFor, v.Memory.MasterDied + v.Crowded(openingFor)} {
			if v.Now < soon {
				d.wake(soon)
			}
		}
		return
	}
	moves := false
	switch r := v.State.Record; {
	case r == nil, now.State == StateOpen: // opened again
		moves = now.Position.ReplID != last.Position.ReplID
	case now.State == StateFollowing:
		member, ok := r.Eligible[n.Name]
		moves = ok && member.RunID != n.RunID && now.Position != last.Position
	}
	same := now
	same.At = last.At
	if !moves && slices.Contains([]NodeState{StateFollowing, StateOpen, StateSyncing}, now.State) {
		same.Position = last.Position
	}
	same.Keys = last.Keys
	if (now.Keys == 0) != (last.Keys == 0) {
		same.Keys = now.Keys
	}
	// What is only heard so far, from this agent itself when it leads, is to be written all the same.
	_, unwritten := v.Heard.reportsUnder[n.Name]
	if same == last && !unwritten && !v.asksAgain(d, last) || v.tellsReport(d, n, now) {
		return
	}
	d.do(PutReport{now})
}

// unheeded tells whether a report is the one by which a planned change was called off.
func (r *Record) unheeded(rep Report) bool {
	return rep.Node == r.Master && !r.CalledOff.IsZero() && rep.At.Equal(r.CalledOff)
}

// asksAgain tells whether a report that is not heeded is to be made anew, by which its agent shows that it lives.
func (v *View) asksAgain(d *Decision, last Report) bool {
	r := v.State.Record
	if r == nil || r.Phase != Steady || !r.unheeded(last) {
		return false
	}
	due := v.Memory.EpochSeen + askAgain
	if v.Now < due {
		d.wake(due)
	}
	return v.Now >= due
}

// passing tells whether what a node is now is only on the way to what is worth reporting. A write to Consul that
// somebody waits for must not stand in line behind one that nobody needs.
func (v *View) passing(n *Local, now, last Report) bool {
	r := v.State.Record
	if r == nil || r.Epoch < v.seen() || now.State == StateUnknown {
		return false
	}
	if r.Phase == Electing {
		return now.Attempt == 0
	}
	opening := v.Now < v.Memory.EpochSeen+openingFor
	_, opened := r.Open()
	master := r.Master == n.Name && r.RunID == n.RunID
	switch {
	case now.State == StateDead && master:
		// The votes say the same, and the election that they bring asks for another report.
		return v.Now < v.Memory.MasterDied+v.Crowded(openingFor)
	case now.State == StateDead:
		return opening
	case last.State == StateDead && last.RunID == n.RunID:
		return false // an old report was written late: others vote by it
	case r.Master == n.Name && !master:
		return false // it is to be replaced at once
	case master:
		return opening && n.State == StateFrozen
	default:
		return opening && n.State == StateFrozen && (!opened || r.resyncs(n.Position)) // it follows in a moment
	}
}

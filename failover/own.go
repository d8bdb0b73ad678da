package failover

import (
	"fmt"
	"time"
)

// own compares one of the agent's own nodes with the record and says what makes them agree. The one rule stands
// here: open only under the lease, in every other case frozen or following the master of the record.
func (v *View) own(d *Decision, n *Local) {
	r := v.State.Record
	named := r.Phase == Steady && r.Master == n.Name
	switch {
	case r.Phase == Electing && r.Master == n.Name && r.Election.Kind != ForFailure:
		v.handOver(d, n)
	case r.Phase == Electing:
		v.stand(d, n)
	case named && (n.RunID == r.RunID || !Kept(MastersRun)) && !n.Dead:
		v.serve(d, n)
	case named && n.Known:
		// Another run than the record names is not master, whatever it holds.
		v.freeze(d, n, 0, fmt.Sprintf("this run is not the one that epoch %d names", r.Epoch), 0)
		d.wait("%s was restarted and waits for an election", n.Name)
	case n.State == StateOpen || n.MaybeOpen:
		v.freeze(d, n, 0, fmt.Sprintf("%s is master of epoch %d", r.Master, r.Epoch), 0)
	default:
		v.follow(d, n)
	}
}

// serve keeps the master of the record open for as long as its lease lasts, and no longer.
func (v *View) serve(d *Decision, n *Local) {
	r := v.State.Record
	fence := v.Fence()
	until := v.Lease.Until(n.Name, n.RunID, max(v.Highest, r.Epoch), fence)
	closing := until - freezeMargin(fence)
	if adopting := v.Memory.EpochSeen + fence/4; v.Lease.Record == nil && r.Epoch == 1 && v.Now < adopting {
		// The group was started with a master that was open before: it need not be closed for the moment
		// that its first lease takes. Whoever would replace it waits longer.
		d.do(Confirm{})
		d.wake(adopting)
		return
	}
	if v.Lease.Record == nil && !Kept(ReadOrFreeze) {
		return
	}
	if v.Now >= closing && Kept(LeaseEnds) {
		if n.State == StateOpen || n.MaybeOpen {
			v.freeze(d, n, 0, "its lease ends: Consul did not confirm the record in time", until)
		}
		d.do(Confirm{})
		d.wait("%s has no lease: waiting for a consistent read of the record", n.Name)
		return
	}
	d.wake(closing)
	if n.State == StateOpen || n.MaybeOpen {
		v.failsafe(d, n)
	}
	switch {
	case !n.Known:
		d.wait("%s is master; its driver or server does not answer", n.Name)
	case !n.Persisted && n.PersistFailed == "" && n.State == StateOpen && r.opening(n.Position.ReplID) < 0:
		// To persist it is one more opening, and a second one on top of one that is not written would be no known history.
		d.wait("%s is persisted when its last opening is in the record", n.Name)
	case !n.Persisted && n.PersistFailed == "":
		d.do(Persist{n.Name})
	case n.State == StateOpen:
	case r.reopened(n.Position):
		d.wait("%s opens again when its last opening is in the record", n.Name)
	case v.Now >= v.Lease.Begun+fence-freezeMargin(fence) && Kept(OpenByRead):
		// Promises keep open what is open; to open again takes a read.
		d.do(Confirm{})
		d.wait("%s opens again when Consul confirms the record", n.Name)
	case v.otherOpen(n.Name) != "":
		d.wait("%s opens when %s is frozen", n.Name, v.otherOpen(n.Name))
	default:
		if until, waits := v.promised(); waits {
			d.wake(until)
			d.wait("%s opens when what this agent promised to the master before it has ended", n.Name)
			return
		}
		d.do(OpenServer{Node: n.Name, RunID: n.RunID, Epoch: r.Epoch})
	}
}

// unsaved says of a server whose configuration file cannot be written that nothing makes it start frozen. It goes on: what it
// is now does not depend on the file.
func (v *View) unsaved(d *Decision, n *Local) {
	if n.PersistFailed != "" && !n.Dead {
		d.wait("%s may take writes, or follow a deposed master, when it is restarted: %s; let it write the file, or put \"replicaof 127.0.0.1 1\" there",
			n.Name, n.PersistFailed)
	}
}

// otherOpen names another node of this agent that may be open.
func (v *View) otherOpen(name string) string {
	for _, n := range v.Local {
		if n.Name != name && n.MaybeOpen && !n.Dead {
			return n.Name
		}
	}
	return ""
}

// stand freezes a node for an attempt. A replica that is still connected first takes what the old master has.
func (v *View) stand(d *Decision, n *Local) {
	attempt := v.State.RecordIndex
	if n.Name != v.State.Record.Master && !Kept(FreezeReplicas) {
		return
	}
	if v.drains(d, n) {
		return
	}
	confirm := freezeConfirm
	if v.State.Record.Election.Evidence == NotServing && !n.Busy {
		confirm = max(confirm, freezeMargin(v.Fence())) // it answers: what is slow is its agent or the machine
	}
	killAt := v.Memory.Seen + confirm
	if end := v.Memory.LeaseEnds[n.Name]; end > 0 {
		killAt = min(killAt, end) // the leader waits no longer than that
	} else {
		// A server that was started open, in the middle of it, has as long from then on.
		killAt = max(killAt, v.Memory.FreezeWanted[n.Name]+confirm)
	}
	v.freeze(d, n, attempt, v.State.Record.Election.Cause, killAt)
}

// drains tells whether a replica should go on replicating for a moment before it freezes.
func (v *View) drains(d *Decision, n *Local) bool {
	r := v.State.Record
	if n.Name == r.Master || !n.Known || n.State != StateFollowing || r.Election.Evidence == Gone {
		return false
	}
	limit := v.Memory.Seen + drainFor
	if r.Election.Kind != ForFailure {
		limit = v.Memory.Seen + pauseFor + drainFor
	}
	if r.Election.Kind != ForFailure {
		d.do(Look{n.Name}) // the link ends with the freeze of the master
	}
	if rep := v.State.Nodes[r.Master]; rep.Attempt == v.State.RecordIndex {
		switch {
		case rep.State == StateDead:
			return false
		case (rep.State == StatePaused || rep.State == StateFrozen) && n.Position.Offset >= rep.Position.Offset:
			return false
		case rep.State == StatePaused:
			d.do(Look{n.Name})
		case rep.State == StateFrozen:
			// The link ends with the freeze; what was on its way arrives within a round trip.
			limit = min(limit, v.Memory.Seen+drainFor)
			d.do(Look{n.Name})
		}
	}
	if v.Now >= limit {
		return false
	}
	d.wake(min(limit, v.Now+lookEvery))
	return true
}

// handOver is a living master's part in a planned change: hold writes back, wait until the replicas have acknowledged
// everything, or one reports that it has, then freeze. When none gets there in time it freezes all the same, and the leader, who has
// its position, calls the change off.
func (v *View) handOver(d *Decision, n *Local) {
	r, attempt := v.State.Record, v.State.RecordIndex
	cause := r.Election.Cause
	// What is not closed by the end of what would be a lease is ended; not before, for no leader goes on from this attempt without this
	// agent's word, and writes that are taken meanwhile would be lost. An operator may have accepted that.
	read := v.Memory.Seen
	if v.Lease.Index == attempt && r.Election.AcceptLoss == "" {
		read = max(read, v.Lease.Begun)
	}
	killAt := read + v.Fence()
	if n.RunID != r.RunID || !n.Known || n.Dead || n.State != StateOpen && n.Paused == nil {
		v.freeze(d, n, attempt, cause, killAt)
		return
	}
	paused := n.Paused != nil && n.Paused.Attempt == attempt
	if limit := v.Memory.Seen + pauseFor; !paused && v.Now < limit {
		// The pause outlives the wait for a replica and the freeze; the freeze ends it.
		d.do(Pause{Node: n.Name, Attempt: attempt, For: 2 * pauseFor})
		d.wake(limit)
		return
	}
	deadline := v.Memory.Seen + pauseFor
	if paused {
		deadline = n.Paused.Since + pauseFor
	}
	if v.Now < deadline && !n.Paused.CaughtUp && !v.caughtUp(n.Paused.Position) {
		d.wake(deadline)
		d.wait("%s holds writes back until a replica has everything", n.Name)
		return
	}
	v.freeze(d, n, attempt, cause, killAt)
}

// caughtUp tells whether a replica that may be chosen stands frozen at the position or past it.
func (v *View) caughtUp(p Position) bool {
	r := v.State.Record
	for name, rep := range v.State.Nodes {
		if name == r.Master {
			continue
		}
		wanted := r.Election.Target == "" || r.Election.Target == name
		if _, refused := admit(v.State, name, false); refused == "" && wanted && rep.Position.Offset >= p.Offset {
			return true
		}
	}
	return false
}

// freeze asks for a freeze until it is confirmed, and for the end of the process when it is not confirmed by
// killAt. Where no lease ends, killAt is 0: the server then has as long as at the end of one.
func (v *View) freeze(d *Decision, n *Local, attempt uint64, why string, killAt time.Duration) {
	if n.Dead {
		return
	}
	f := n.Frozen
	confirmed := f != nil && f.Attempt == attempt && f.RunID == n.RunID
	if attempt == 0 { // it may have been attached since
		confirmed = n.State == StateFrozen && (n.Known || confirmed)
	}
	if confirmed && !n.MaybeOpen {
		return
	}
	d.do(Freeze{Node: n.Name, Attempt: attempt, Why: why})
	if !n.MaybeOpen {
		return
	}
	if killAt == 0 {
		killAt = v.Memory.FreezeWanted[n.Name] + freezeMargin(v.Fence())
	}
	switch {
	case v.Now < killAt:
		d.wake(killAt)
	case n.Known && n.State == StateLoading: // it takes no command at all; started again, it would only load again
		d.wait("%s loads its data, and is frozen when it has", n.Name)
	case !Kept(KillStuck):
	case n.Killable:
		d.do(Kill{Node: n.Name, RunID: n.RunID, Why: "it did not confirm in time that it is frozen: " + why})
	default:
		d.wait("%s does not confirm that it is frozen, and may not be killed", n.Name)
	}
}

// follow attaches a node to the open master of the record, when it may.
func (v *View) follow(d *Decision, n *Local) {
	r := v.State.Record
	_, open := r.Open()
	member, isMember := r.Eligible[n.Name]
	attached := (n.State == StateFollowing || n.State == StateSyncing) && n.Master == r.Address
	if newest, _ := r.newest(); !open && newest.Epoch > 0 {
		// It was not frozen for the attempt that chose the same master again, which may come back with less than this has.
		attached = false
	}
	switch {
	case !n.Known || n.Dead:
		return
	case n.State == StateLoading:
		d.wait("%s loads its data", n.Name)
	case open && v.Lease.Index != v.State.RecordIndex && !attached:
		d.do(Confirm{})
	case !n.Persisted && n.PersistFailed == "":
		d.do(Persist{n.Name})
	case attached:
		if n.State == StateFollowing && isMember && member.RunID != n.RunID {
			due := n.LookedAt + lookSlowly
			if v.Now >= due {
				d.do(Look{n.Name})
				due = v.Now + lookSlowly
			}
			d.wake(due)
		}
	case !open:
		if n.State != StateFrozen {
			v.freeze(d, n, 0, "the master of the record has not opened yet", 0)
		}
		d.wait("%s waits for %s to open", n.Name, r.Master)
	case !isMember:
		d.wait("%s: %s", n.Name, v.notMember(n))
	case n.State != StateFrozen:
		// What it has does not move any more while it is decided what becomes of it.
		v.freeze(d, n, 0, fmt.Sprintf("it is to follow %s", r.Master), 0)
	case r.resyncs(n.Position):
		v.attach(d, n, "partial resync")
	case r.hold(n) != "":
		v.rescue(d, n)
	case member.Syncing == n.RunID:
		v.attach(d, n, "full resync")
	default:
		d.wait("%s waits for its turn for a full resync", n.Name)
	}
}

func (v *View) attach(d *Decision, n *Local, how string) {
	r := v.State.Record
	d.do(Follow{Node: n.Name, RunID: n.RunID, At: n.Position, Master: r.Address, Why: fmt.Sprintf("epoch %d, %s", r.Epoch, how)})
}

func (v *View) notMember(n *Local) string {
	if why := foreign(v.State.Record, reportOf(v, n)); why != "" {
		return why
	}
	return fmt.Sprintf("waits until the agent of %s has entered it as a member", v.State.Record.Master)
}

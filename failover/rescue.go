package failover

import "fmt"

// beyond is how many bytes a position holds that are no part of the group's history; false when the lineage does not
// know where they part.
func (r *Record) beyond(p Position) (int64, bool) {
	present := r.present()
	common, replID := p.Offset, p.ReplID
	if r.opening(replID) < 0 {
		// An opening of its own that never reached the lineage: all since then is beyond.
		common, replID = min(common, p.Offset2), p.ReplID2
	}
	for i := r.opening(replID); i >= 0; i = r.openingBefore(i, replID) {
		if end, ok := present[replID]; ok {
			return p.Offset - min(common, end), true
		}
		// An opening that nobody went on from: all since then is beyond as well.
		common, replID = min(common, r.Lineage[i].Offset), r.parent(i)
	}
	return 0, false
}

// hold says why a full resync must not discard what a node holds before it is saved to a file; empty when it may. Half of a
// resync is no history's, unless the master changed since the node last followed. Nor has a replica anything of its own
// that was restarted with a replication id which nobody knows, and has been attached to nobody since.
func (r *Record) hold(n *Local) string {
	bytes, known := r.beyond(n.Position)
	switch member := r.Eligible[n.Name]; {
	case !Kept(SaveFirst) || n.Keys == 0 || n.HalfSynced && member.Deposed == 0 || n.RescuedRun == n.RunID:
		return ""
	case member.Deposed > 0 && n.Position.Offset == 0:
		return "how much of its data the group's history lacks is unknown: it never had a replica, so it counted no bytes"
	case known && bytes > 0:
		return fmt.Sprintf("it has %d bytes that the group's history does not have", bytes)
	case known && member.Deposed > 0 && member.MasterOf > 0 && !r.continues(n.Position.ReplID):
		// From a data set on disk Redis opens without a backlog, and counts nothing until it has a replica.
		return fmt.Sprintf("how much of its data the group's history lacks is unknown: nobody went on from its replication id %s, and it may not have counted its bytes",
			n.Position.ReplID)
	case !known && (member.Deposed > 0 || n.Attached || r.knows(n.Position)):
		return fmt.Sprintf("how much of its data the group's history lacks is unknown: where its replication id %s parted from it is not in the lineage",
			n.Position.ReplID)
	}
	return ""
}

// rescue saves what the node holds; without a file there is no resync.
func (v *View) rescue(d *Decision, n *Local) {
	r := v.State.Record
	why := r.hold(n)
	bytes, known := r.beyond(n.Position)
	if !known || bytes == 0 { // it is held all the same, so they were not counted
		bytes = -1
	}
	d.do(Rescue{Node: n.Name, RunID: n.RunID, Epoch: max(r.Eligible[n.Name].Deposed, 1), Bytes: bytes, Why: why})
	if n.RescueFailed != "" {
		d.wait("%s is not resynced, because its data cannot be saved: %s; %s", n.Name, n.RescueFailed, why)
		return
	}
	d.wait("%s saves its data first: %s", n.Name, why)
}

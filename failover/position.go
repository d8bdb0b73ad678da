package failover

import "cmp"

// place is a position in the group's own history: how far a data set reaches into which epoch.
type place struct {
	epoch  uint64
	offset int64
}

func (a place) compare(b place) int {
	if c := cmp.Compare(a.epoch, b.epoch); c != 0 {
		return c
	}
	return cmp.Compare(a.offset, b.offset)
}

// place finds a position in the lineage: (epoch of the last byte, offset). It is false for a history that the
// lineage does not know.
//
// A replica takes the new replication id as soon as it is attached, and may lie before the offset at which that
// history began: what it has is then the history before. A server that was just opened and whose opening is not in
// the lineage yet is found by its second replication id, and only up to where the two histories part.
func (r *Record) place(p Position) (place, bool) {
	offset, i := p.Offset, r.opening(p.ReplID)
	if i < 0 {
		offset, i = min(p.Offset, p.Offset2), r.opening(p.ReplID2)
	}
	for ; i >= 0; i-- {
		if o := r.Lineage[i]; offset >= o.Offset {
			return place{o.Epoch, offset}, true
		}
	}
	return place{}, false
}

// opening returns where in the lineage a replication id stands, -1 if it does not.
func (r *Record) opening(replID string) int {
	for i := len(r.Lineage) - 1; i >= 0 && replID != ""; i-- {
		if r.Lineage[i].ReplID == replID {
			return i
		}
	}
	return -1
}

// knows tells whether the lineage has a position's history.
func (r *Record) knows(p Position) bool { return r.opening(p.ReplID) >= 0 || r.opening(p.ReplID2) >= 0 }

// resyncs tells whether a server at this position can be expected to continue from the master by a partial
// resync: it is in the master's present history, or in the one before and not beyond where they part.
func (r *Record) resyncs(p Position) bool {
	n := len(r.Lineage)
	if n == 0 || p.ReplID == "" {
		return false
	}
	newest := r.Lineage[n-1]
	return p.ReplID == newest.ReplID || n > 1 && p.ReplID == r.Lineage[n-2].ReplID && p.Offset <= newest.Offset
}

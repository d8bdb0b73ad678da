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
// lineage does not know, and for a server that has an epoch's replication id but lies before the first
// offset of that epoch.
//
// A server that was just opened and whose opening is not in the lineage yet is found by its second
// replication id, and only up to where the two histories part.
func (r *Record) place(p Position) (place, bool) {
	if o, ok := r.opening(p.ReplID); ok {
		return place{o.Epoch, p.Offset}, p.Offset >= o.Offset
	}
	if o, ok := r.opening(p.ReplID2); ok {
		offset := min(p.Offset, p.Offset2)
		return place{o.Epoch, offset}, offset >= o.Offset
	}
	return place{}, false
}

func (r *Record) opening(replID string) (Opening, bool) {
	if replID == "" {
		return Opening{}, false
	}
	for i := len(r.Lineage) - 1; i >= 0; i-- {
		if r.Lineage[i].ReplID == replID {
			return r.Lineage[i], true
		}
	}
	return Opening{}, false
}

// resyncs tells whether a server at this position can be expected to continue from the master by a partial
// resync: it is in the master's present history, or in the one before and not beyond where they part.
func (r *Record) resyncs(p Position) bool {
	n := len(r.Lineage)
	if n == 0 || p.ReplID == "" {
		return false
	}
	newest := r.Lineage[n-1]
	if p.ReplID == newest.ReplID {
		return p.Offset >= newest.Offset
	}
	return n > 1 && p.ReplID == r.Lineage[n-2].ReplID && p.Offset <= newest.Offset
}

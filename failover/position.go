package failover

import (
	"cmp"
	"math"
)

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
			if !Kept(EpochsCount) {
				return place{0, offset}, true
			}
			return place{o.Epoch, offset}, true
		}
	}
	return place{}, false
}

// opening returns where in the lineage a replication id stands, -1 if it does not.
func (r *Record) opening(replID string) int { return r.openingBefore(len(r.Lineage), replID) }

// openingBefore is the same among the openings before the i-th.
func (r *Record) openingBefore(i int, replID string) int {
	for i--; i >= 0 && replID != ""; i-- {
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
	newest, ok := r.newest()
	if !ok || p.ReplID == "" {
		return false
	}
	return p.ReplID == newest.ReplID || p.ReplID == r.parent(len(r.Lineage)-1) && p.Offset <= newest.Offset
}

// parent is the replication id that an opening of the lineage goes on from; empty when that is not known.
func (r *Record) parent(i int) string {
	if from := r.Lineage[i].From; from != "" || i == 0 {
		return from
	}
	return r.Lineage[i-1].ReplID // written before openings said so
}

// continues tells whether the group's history goes on from a replication id, or is in it.
func (r *Record) continues(replID string) bool {
	_, ok := r.present()[replID]
	return ok
}

// unwritten is the opening that a node is in and that never reached the record; none if there is no such. What is opened next would
// hide it. A replica parts from the history before where it stood when it followed, so offsets in the two compare as of one
// epoch; the master parts where it opened.
func (r *Record) unwritten(rep Report) []Opening {
	p := rep.Position
	newest, _ := r.newest()
	switch {
	case p.ReplID == "" || r.opening(p.ReplID) >= 0 || newest.ReplID == "" || p.ReplID2 != newest.ReplID:
		return nil
	case rep.Node == r.Master && rep.RunID == r.RunID:
		return []Opening{opened(r.Epoch, p)}
	}
	return []Opening{opened(newest.Epoch, p)}
}

// present is the group's history: for each replication id of it, up to which offset it is part of it.
func (r *Record) present() map[string]int64 {
	ends, end := map[string]int64{}, int64(math.MaxInt64)
	for i := len(r.Lineage) - 1; i >= 0; {
		o := r.Lineage[i]
		if _, seen := ends[o.ReplID]; !seen {
			ends[o.ReplID] = end
		}
		end = min(end, o.Offset)
		before := r.parent(i)
		for i--; i >= 0 && r.Lineage[i].ReplID != before; i-- {
			continue // an opening that nobody went on from
		}
	}
	return ends
}

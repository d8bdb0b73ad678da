package failover

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Choice is the outcome of looking for the next master.
type Choice struct {
	// Node is empty when nobody can be chosen.
	Node       string
	Why        string
	Candidates []Candidate
}

// Choose picks the next master from the reports of an attempt. The highest position wins, then a replica before
// the old master, one of which nobody says that it should not be master, the lower priority number, the zone of the old master, and the name.
//
// With uncounted it also looks at members whose run is not counted, such as replicas that were restarted: a
// last resort, for when every counted run has ended.
func Choose(s State, uncounted bool) Choice {
	r := s.Record
	var c Choice
	type entrant struct {
		Report
		place
	}
	var field []entrant
	refuse := func(out func(entrant) bool, why string) {
		field = slices.DeleteFunc(field, out)
		for i := range c.Candidates {
			k := &c.Candidates[i]
			if left := slices.ContainsFunc(field, func(e entrant) bool { return e.Node == k.Node }); !left && k.Refused == "" {
				k.Refused = why
			}
		}
	}
	names := []string{r.Master}
	for name := range r.Eligible {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		rep := s.Nodes[name]
		at, refused := admit(s, name, uncounted)
		c.Candidates = append(c.Candidates, Candidate{Node: name, Epoch: at.epoch, Position: rep.Position, Refused: refused})
		if refused == "" {
			field = append(field, entrant{rep, at})
		}
	}
	ofMaster := func(e entrant) bool { return e.Node == r.Master }
	others := len(field)
	if slices.ContainsFunc(field, ofMaster) {
		others--
	}
	if needs := r.needs(); needs > others {
		refuse(func(e entrant) bool { return !ofMaster(e) }, fmt.Sprintf("durability %s needs the reports of %d of the %d other nodes, %d are here",
			r.Durability, needs, len(r.Eligible), others))
	} else if needs > 0 && Kept(HighestOnly) {
		// Only the farthest has all of them for sure.
		top := slices.MaxFunc(field, func(a, b entrant) int {
			return cmp.Or(boolFirst(ofMaster(a), ofMaster(b)), a.place.compare(b.place))
		})
		refuse(func(e entrant) bool { return e.place.compare(top.place) < 0 }, fmt.Sprintf("%s reaches farther, and durability is %s", top.Node, r.Durability))
	}
	if target := r.Election.Target; target != "" {
		refuse(func(e entrant) bool { return e.Node != target && !ofMaster(e) }, target+" is wanted")
	}
	if len(field) > 1 {
		// An old master that the quorum could not reach, that refuses connections a second time though it runs, or that an operator
		// wants replaced, comes back only when nobody else can serve; but where no counted run is left, it may be the only one that
		// has what was written. One that has not opened when two changes of master in a row came to nothing gives way in any case.
		last, _ := r.newest()
		master := s.Nodes[r.Master]
		opened := master.RunID == r.RunID && r.opening(master.Position.ReplID) < 0 // which did not reach the lineage
		refuses := r.Election.Evidence == Gone && r.Evidence == Gone && r.again()
		replaced := !uncounted && (r.Election.Evidence == Silent || refuses || r.Election.Kind == ForOrder)
		if closed := r.Epoch >= last.Epoch+2 && !opened; replaced || closed {
			refuse(ofMaster, "it is the master to be replaced, and another can serve")
		}
	}
	_, lost := admit(s, r.Master, false)
	if e := r.Election; e.Target != "" && (len(field) == 0 || e.Kind == ForSwitchover && lost != "") {
		// The old master cannot hand over, or the node that is wanted cannot serve: a failover is due, with its rules.
		s.Record = r.Clone()
		s.Record.Election.Target = ""
		return Choose(s, uncounted)
	}
	if len(field) == 0 {
		return c
	}
	home := s.Nodes[r.Master].Zone
	slices.SortFunc(field, func(a, b entrant) int {
		return cmp.Or(
			-a.place.compare(b.place),
			boolFirst(!ofMaster(a), !ofMaster(b)),
			boolFirst(a.Ineligible == "", b.Ineligible == ""),
			cmp.Compare(rank(a.Priority), rank(b.Priority)),
			boolFirst(a.Zone == home, b.Zone == home),
			cmp.Compare(a.Node, b.Node),
		)
	})
	best := field[0]
	c.Node = best.Node
	c.Why = fmt.Sprintf("%s has epoch %d up to offset %d", best.Node, best.epoch, best.offset)
	if best.place == (place{}) && ofMaster(best) {
		c.Why = fmt.Sprintf("nobody has a history that is known, and %s holds what the old master comes back with", best.Node)
	} else if len(field) > 1 {
		next := field[1]
		switch {
		case best.place.compare(next.place) > 0:
			c.Why += fmt.Sprintf(", the highest; %s reaches %d of epoch %d", next.Node, next.offset, next.epoch)
		case next.Node == r.Master:
			c.Why += ", all that the old master has"
		case next.Ineligible != "":
			c.Why += fmt.Sprintf(", as %s has, of which one says: %s", next.Node, next.Ineligible)
		case best.Priority != next.Priority:
			c.Why += fmt.Sprintf(", as %s has, and priority %d before %d", next.Node, best.Priority, next.Priority)
		case (best.Zone == home) != (next.Zone == home):
			c.Why += fmt.Sprintf(", as %s has, and is in zone %q", next.Node, home)
		default:
			c.Why += fmt.Sprintf(", as %s has; the first by name", next.Node)
		}
	}
	return c
}

// admit says why a node cannot be chosen in this attempt, or where it stands in the lineage.
func admit(s State, name string, uncounted bool) (place, string) {
	r := s.Record
	rep, ok := s.Nodes[name]
	member := r.Eligible[name]
	at, known := r.place(rep.Position)
	if r.opening(rep.Position.ReplID) < 0 {
		switch {
		case name == r.Master && rep.RunID == r.RunID:
			// Its last opening did not reach the lineage, but nobody else has written since: it is the farthest.
			at, known = place{r.Epoch, rep.Position.Offset}, true
		case s.followedUnwritten(rep):
			// Where that opening parts from the newest of the lineage is not known, but all that was promised before lies before.
			newest, _ := r.newest()
			at, known = r.place(Position{ReplID: newest.ReplID, Offset: rep.Position.Offset})
		}
	}
	switch {
	case !ok:
		return at, "it has never reported"
	case rep.Attempt != s.RecordIndex && Kept(OneAttempt):
		return at, "no report for this attempt"
	case rep.State != StateFrozen:
		return at, fmt.Sprintf("it is %s", rep.State)
	case rep.HalfSynced:
		return at, "a full resync was begun and not finished"
	case name == r.Master && rep.RunID != r.RunID && !uncounted:
		return at, "it was restarted: this run is not the one that the record names"
	case name != r.Master && member.RunID == "" && !uncounted && Kept(CountedRuns):
		return at, "it has not caught up with the master since it joined"
	case name != r.Master && member.RunID != rep.RunID && !uncounted && Kept(CountedRuns):
		return at, "it was restarted and has not caught up since"
	case uncounted && rep.Keys == 0 && rep.RunID != member.RunID && rep.RunID != r.RunID && !onlyHistory(s, name):
		return at, "it was restarted empty, and not all the others are"
	case !known && uncounted && name != r.Master && member.RunID == rep.RunID:
		// It has done nothing but follow since it was counted: an opening that never reached the lineage, for one.
		return place{offset: rep.Position.Offset}, ""
	case !known && uncounted && onlyHistory(s, name):
		return place{offset: rep.Position.Offset}, ""
	case !known && uncounted && name == r.Master && rep.Keys > 0:
		// Restarted from an append-only file Redis has another history each time. What the master wrote there is the most there was.
		return place{}, ""
	case !known:
		return at, "its data are of an unknown history"
	}
	return at, ""
}

// followedUnwritten tells whether a replica followed an opening that is missing in the lineage and goes on from the newest there:
// by its second replication id, or as the master of the record is in it. Only the master is opened in its epoch, and not a third
// time before the second is in the lineage. In an epoch that has none there, it is the first, of a master that was the one before as
// well: a replica that nobody froze follows that by itself.
func (s State) followedUnwritten(rep Report) bool {
	newest, _ := s.Record.newest()
	master := s.Nodes[s.Record.Master]
	p, same := rep.Position, master.RunID == s.Record.RunID
	return p.ReplID2 != "" && p.ReplID2 == newest.ReplID || same && p.ReplID != "" && p.ReplID == master.Position.ReplID
}

// onlyHistory tells whether every member but this one reported for this attempt that it holds no key, or the same
// history, or, where this one holds any, half of a full resync: the farthest of these then holds all that there is.
func onlyHistory(s State, name string) bool {
	mine := s.Nodes[name]
	harmless := func(other string) bool {
		rep := s.Nodes[other]
		return other == name || rep.Attempt == s.RecordIndex && rep.State == StateFrozen &&
			(rep.Keys == 0 || rep.Position.ReplID == mine.Position.ReplID || rep.HalfSynced && mine.Keys > 0)
	}
	if !harmless(s.Record.Master) {
		return false
	}
	for other := range s.Record.Eligible {
		if !harmless(other) {
			return false
		}
	}
	return true
}

// rank orders priorities: a lower number first, and 0, which means "does not stay master", last.
func rank(priority int) int {
	if priority == 0 {
		return math.MaxInt
	}
	return priority
}

func boolFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

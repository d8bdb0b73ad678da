package failover

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// To ask less of WAIT holds at once, to ask more counts every member anew, and only when all are counted.
func TestKeepDurability(t *testing.T) {
	all := map[string]Member{"b": {RunID: "run-b"}, "c": {RunID: "run-c"}}
	none := map[string]Member{"b": {}, "c": {}}
	half := map[string]Member{"b": {RunID: "run-b"}, "c": {}}
	deposed := map[string]Member{"b": {RunID: "run-b", Deposed: 3}, "c": {RunID: "run-c"}}
	for _, c := range []struct {
		name      string
		now, want string
		members   map[string]Member
		then      string
		left      map[string]Member
	}{
		{"nothing new", "wait:1", "wait:1", all, "wait:1", all},
		{"one word for nothing", "none", "", all, "none", all},
		{"the first promise", "none", "wait:1", all, "wait:1", all},
		{"the first promise while one is not counted", "none", "wait:1", half, "wait:1", half},
		{"more", "wait:1", "wait:2", all, "wait:2", none},
		{"much more", "wait:1", "wait:5", all, "wait:5", none},
		{"more, and what else is known of a member stays", "wait:1", "wait:2", deposed, "wait:2", map[string]Member{"b": {Deposed: 3}, "c": {}}},
		{"more while one is not counted", "wait:1", "wait:2", half, "wait:1", half},
		{"more without members", "wait:1", "wait:2", map[string]Member{}, "wait:2", map[string]Member{}},
		{"less", "wait:2", "wait:1", all, "wait:1", all},
		{"less while one is not counted", "wait:2", "wait:1", half, "wait:1", half},
		{"no promise any more", "wait:1", "none", all, "none", all},
		{"no promise any more while one is not counted", "wait:2", "none", half, "none", half},
		{"what cannot be read", "wait:1", "wait:many", all, "wait:1", all},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := DefaultSettings()
			s.Durability = c.want
			v := &View{State: State{Settings: &s}}
			next := sampleRecord()
			next.Durability, next.Eligible = c.now, maps.Clone(c.members)
			why := v.keepDurability(next)
			if next.Durability != c.then || !maps.Equal(next.Eligible, c.left) {
				t.Errorf("durability %s with %v, want %s with %v", next.Durability, next.Eligible, c.then, c.left)
			}
			if told := len(why) > 0; told != (c.now != c.then) {
				t.Errorf("it says %q", why)
			}
		})
	}
}

// Settings that are not known, or were deleted, change no promise: neither the lease nor the durability of the record.
func TestUnknownSettingsChangeNoPromise(t *testing.T) {
	v := standing(func(v *View) {
		r := v.State.Record
		r.Durability, r.FenceAfter = "wait:1", Duration(500*time.Millisecond)
		v.State.Settings = nil
		v.Local[0].State, v.Local[0].MaybeOpen, v.Local[0].Position = StateOpen, true, Position{ReplID: "r2", Offset: 90, Offset2: 5, ReplID2: "r1"}
	})
	amends := 0
	for _, a := range Decide(v).Actions {
		if a, ok := a.(Amend); ok {
			amends++
			if a.Record.Durability != "wait:1" || a.Record.FenceAfter != Duration(500*time.Millisecond) {
				t.Errorf("%s: durability %s, a lease lasts %v", a.Why, a.Record.Durability, time.Duration(a.Record.FenceAfter))
			}
		}
	}
	if amends != 1 { // of the opening
		t.Errorf("%d amendments, want 1", amends)
	}
}

// The master's agent writes it down with what else is new, and counts the members again when each has reached what the master
// had by then.
func TestMoreDurabilityCountsAnew(t *testing.T) {
	v := standing(func(v *View) {
		r := v.State.Record
		r.Durability, r.Lineage = "wait:1", append(r.Lineage, Opening{Epoch: 2, ReplID: "r2", Offset: 5, From: "r1"})
		v.State.Settings.Durability = "wait:2"
		v.Local[0].State, v.Local[0].MaybeOpen, v.Local[0].Position = StateOpen, true, Position{ReplID: "r2", Offset: 90}
		for _, name := range []string{"a", "c"} {
			v.State.Nodes[name] = Report{Node: name, Agent: "agent-" + name, RunID: "run-" + name, State: StateFollowing, Epoch: 2,
				Position: Position{ReplID: "r2", Offset: 80}}
		}
	})
	amended := func() *Amend {
		for _, a := range Decide(v).Actions {
			if a, ok := a.(Amend); ok {
				return &a
			}
		}
		return nil
	}
	counted := func(r *Record) (names []string) {
		for name, m := range r.Eligible {
			if m.RunID != "" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	first := amended()
	if first == nil || first.Record.Durability != "wait:2" || len(counted(first.Record)) > 0 || !strings.Contains(first.Why, "durability is wait:2") {
		t.Fatalf("amended to %+v", first)
	}
	v.State.Record, v.State.RecordIndex = first.Record, 21
	v.Lease.Record, v.Lease.Index = first.Record, 21
	pass := func(by time.Duration) {
		v.Now += by
		v.Lease.Begun = v.Now
		v.Note()
	}
	pass(time.Second)
	if !does[Look](v) {
		t.Fatal("the master's offset is not read for those who are to be counted")
	}
	v.Local[0].LookedAt, v.Local[0].Position.Offset = v.Now+time.Millisecond, 100
	pass(streamStarts)
	if again := amended(); again != nil {
		t.Errorf("amended to %+v while nobody has reached the master's offset", again.Record)
	}
	alter(&v.State, "a", func(r *Report) { r.Position.Offset = 100 })
	pass(time.Second)
	if again := amended(); again == nil || !slices.Equal(counted(again.Record), []string{"a"}) {
		t.Errorf("amended to %+v, want that a is counted, who has reached 100, and not c", again)
	}
}

// Whoever is forgotten may have been one of those that acknowledged a write: of the others as many must report as before, until
// the master has counted all of them anew.
func TestForgottenMembersAcknowledged(t *testing.T) {
	r := sampleRecord()
	r.Phase, r.Election, r.Durability = Steady, nil, "wait:2"
	r.Eligible["d"] = Member{RunID: "run-d"}
	if got := r.needs(); got != 2 {
		t.Fatalf("of three members %d must report, want 2", got)
	}
	r.Forget("d")
	if got := r.needs(); got != 2 {
		t.Errorf("of two, one forgotten, %d must report, want 2", got)
	}
	r.Forget("c")
	if got := r.needs(); got != 1 {
		t.Errorf("of one, two forgotten, %d must report, want 1", got)
	}
	s := DefaultSettings()
	s.Durability = "wait:2"
	v := &View{State: State{Settings: &s}}
	r.Eligible["e"] = Member{}
	if why := v.keepDurability(r); len(why) > 0 || r.Forgotten != 2 {
		t.Errorf("counted anew while e is not counted: %v", why)
	}
	r.Eligible["e"] = Member{RunID: "run-e"}
	if why := v.keepDurability(r); len(why) != 1 || r.Forgotten != 0 || len(r.uncounted()) != 2 {
		t.Errorf("not counted anew: %v, %+v", why, r)
	}
	if got := r.needs(); got != 1 {
		t.Errorf("of two that are counted anew %d must report, want 1", got)
	}
}

// The only member that is left may have what it acknowledged with others that were forgotten, or before more were asked for. It goes on
// being waited for.
func TestTheOnlyMemberMayHaveAcknowledged(t *testing.T) {
	for was, anew := range map[string]int{"wait:1": 1, "wait:2": 0} {
		r := sampleRecord()
		r.Phase, r.Election, r.Durability = Steady, nil, was
		r.Forget("c")
		s := DefaultSettings()
		s.Durability = "wait:2"
		v := &View{State: State{Settings: &s}}
		if why := v.keepDurability(r); len(why) != anew || len(r.uncounted()) != anew {
			t.Errorf("%s: %v, %+v; want %d counted anew", was, why, r, anew)
		}
		for range 2 {
			if got := r.needs(); got != 1 {
				t.Errorf("%s: %d must report, want 1: %+v", was, got, r)
			}
			r.Eligible["b"] = Member{RunID: "run-b"}
			if why := v.keepDurability(r); len(why) > 0 {
				t.Errorf("%s: counted anew: %v", was, why)
			}
		}
		// Once as many as are asked for have been counted, nobody is missed any more.
		r.Eligible["e"] = Member{RunID: "run-e"}
		if why := v.keepDurability(r); len(why) != 1 || r.Forgotten != 0 {
			t.Errorf("%s: with a new member: %v, %+v", was, why, r)
		}
	}
}

// A member that is being waited for is waited for once more when it is counted anew: what was written since counts too.
func TestGoalOfOneCountedAnew(t *testing.T) {
	v := calm("a")
	rep := v.State.Nodes["b"]
	rep.RunID = "run-b2"
	v.State.Nodes["b"] = rep
	v.Note()
	v.Local[0].LookedAt, v.Local[0].Position.Offset = v.Now+1, 300
	v.Note()
	if goal := v.Memory.Reach["b"]; goal.Offset != 300 {
		t.Fatalf("the goal is %+v, want 300", goal)
	}
	v.Local[0].Position.Offset = 400
	v.Now += time.Second
	v.State.Record = v.State.Record.Clone()
	v.State.Record.countAnew(1)
	v.Note()
	v.Local[0].LookedAt = v.Now + 1
	v.Note()
	if goal := v.Memory.Reach["b"]; goal.Offset != 400 {
		t.Errorf("counted anew, the goal is %+v, want 400", goal)
	}
}

// What was chosen from an opening that never reached the record has it written down: others that were in it are found by it after
// the next opening too.
func TestChosenFromAnUnwrittenOpening(t *testing.T) {
	s := electing(func(s *State) {
		s.Nodes["a"] = Report{}
		for _, node := range []string{"b", "c"} {
			alter(s, node, func(r *Report) { r.Position = Position{ReplID: "r3b", Offset: 400, ReplID2: "r3", Offset2: 250} })
		}
		alter(s, "c", func(r *Report) { r.Position.Offset = 300 })
	})
	v := &View{Agent: "x", State: s}
	next := v.commit(Choose(s, false), "its lease has ended").Record
	next.Lineage = append(next.Lineage, opened(4, Position{ReplID: "r4", Offset: 400, ReplID2: "r3b", Offset2: 400}))
	if err := next.check(); err != nil {
		t.Fatal(err)
	}
	b, _ := next.place(Position{ReplID: "r3b", Offset: 400, ReplID2: "r3", Offset2: 250})
	c, _ := next.place(Position{ReplID: "r3b", Offset: 300, ReplID2: "r3", Offset2: 250})
	before, _ := next.place(Position{ReplID: "r3", Offset: 260})
	if b.compare(c) <= 0 || c.compare(before) <= 0 {
		t.Errorf("placed at %v, %v and %v, want each above the next", b, c, before)
	}
	if bytes, known := next.beyond(Position{ReplID: "r3b", Offset: 410, ReplID2: "r3", Offset2: 250}); !known || bytes != 10 {
		t.Errorf("410 of it are %d beyond, %v; want 10", bytes, known)
	}
}

// A member that is due to be counted by a goal of before is not counted by it in the pass in which all are counted anew.
func TestCountAnewAndCountInOnePass(t *testing.T) {
	v := calm("a")
	v.State.Settings.Durability, v.State.Record.Durability = "wait:2", "wait:2"
	v.State.Record.Eligible["d"] = Member{RunID: "run-d"}
	rep := v.State.Nodes["c"]
	rep.RunID = "run-c2"
	v.State.Nodes["c"] = rep
	v.Note()
	v.Local[0].LookedAt = v.Now + 1
	v.Now += 2 * streamStarts
	v.Lease.Begun = v.Now
	v.Note()
	amended := func() *Record {
		for _, a := range Decide(v).Actions {
			if a, ok := a.(Amend); ok {
				return a.Record
			}
		}
		return nil
	}
	if r := amended(); r == nil || r.Eligible["c"].RunID != "run-c2" {
		t.Fatalf("c is not due to be counted: %+v", r)
	}
	v.State.Record = v.State.Record.Clone()
	v.State.Record.Forget("d")
	if r := amended(); r == nil || r.Forgotten != 0 || len(r.uncounted()) != 2 {
		t.Errorf("counted by a goal of before: %+v", r)
	}
}

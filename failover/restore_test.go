package failover

import (
	"strings"
	"testing"
	"time"
)

// Where nobody can be chosen, an operator names the data to go on with; while somebody can, the order has to wait.
func TestOrderWhereNobodyCanBeChosen(t *testing.T) {
	lead := func(change func(*State)) *View {
		v := &View{Now: time.Hour, Agent: "agent-b", Session: true, Read: true, StateBegun: time.Hour, State: electing(change)}
		v.State.Leader = "agent-b"
		v.State.Order = &Order{Kind: OrderRecord, Target: "b", By: "me"}
		v.Memory.LockSeen, v.Memory.Seen = time.Minute, time.Minute
		v.Memory.FencedSeen = time.Minute
		v.Highest = v.State.Record.Epoch
		return v
	}
	unknown := func(s *State) { // and the machine of the old master is gone
		s.Record.Election.Evidence = Gone
		for _, n := range []string{"b", "c"} {
			alter(s, n, func(r *Report) {
				r.RunID, r.Position, r.Keys, r.State, r.Attempt = "new-"+n, Position{ReplID: "unknown-" + n, Offset: 7}, 1, StateFrozen, s.RecordIndex
			})
		}
	}
	v := lead(unknown)
	var made *Record
	for _, a := range Decide(v).Actions {
		if c, ok := a.(Create); ok {
			made = c.Record
		}
	}
	if made == nil || made.Master != "b" || made.RunID != "new-b" || made.Epoch <= v.State.Record.Epoch || made.Eligible["c"].Deposed == 0 {
		t.Errorf("makes %+v; it does %v, waits for %v", made, Decide(v).Actions, Decide(v).Waits)
	}
	if v := lead(func(*State) {}); does[Create](v) {
		t.Error("makes the record anew although somebody can be chosen")
	}
}

// What an operator's record is refused for.
func TestRestoredRecord(t *testing.T) {
	for _, c := range []struct {
		name, target, fenced string
		change               func(*State)
		refused              string
	}{
		{"the named one is open", "b", "", func(s *State) { alter(s, "b", func(r *Report) { r.State = StateOpen }) }, ""},
		{"all are closed", "b", "", nil, ""},
		{"nobody has that name", "z", "", nil, `no node of this group is named "z"`},
		{"it is dead", "b", "", func(s *State) { alter(s, "b", func(r *Report) { r.State = StateDead }) }, "b is dead"},
		{"another is open", "b", "", func(s *State) { alter(s, "c", func(r *Report) { r.State = StateOpen }) }, "c is open by the last report"},
		{"another may be open", "b", "", func(s *State) { alter(s, "c", func(r *Report) { r.State = StateUnknown }) }, "c is unknown by the last report"},
		{"another was open, and is fenced", "b", "c", func(s *State) { alter(s, "c", func(r *Report) { r.State = StateOpen }) }, ""},
	} {
		s := electing(func(s *State) {
			for _, n := range []string{"a", "b", "c"} {
				alter(s, n, func(r *Report) { r.State, r.Master = StateFrozen, "" })
			}
			if c.change != nil {
				c.change(s)
			}
		})
		v := &View{Agent: "agent-b", State: s}
		r, refused := v.restored(c.target, c.fenced)
		if (r == nil) != (c.refused != "") || !strings.Contains(refused, c.refused) {
			t.Errorf("%s: %+v, refused %q", c.name, r, refused)
		}
	}
}

// Of the old master it has to be known that it is closed: by its agent, or by the target's, which as that of a member has ceased to
// promise it a lease.
func TestClosedForWhomAnOperatorNames(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*State)
		want   string
	}{
		{"it has ended", nil, "a"},
		{"it is silent, and a member takes its place", func(s *State) { alter(s, "a", func(r *Report) { r.Attempt = 0 }) }, "a"},
		{"it is silent, and one takes its place of whom no promise was asked", func(s *State) {
			alter(s, "a", func(r *Report) { r.Attempt = 0 })
			delete(s.Record.Eligible, "b")
		}, ""},
		{"it is silent, and so is the member's agent", func(s *State) {
			alter(s, "a", func(r *Report) { r.Attempt = 0 })
			alter(s, "b", func(r *Report) { r.Attempt = 0 })
		}, ""},
		{"another agent has a server of that name", func(s *State) {
			s.Record.Agent = "agent-a"
			alter(s, "a", func(r *Report) { r.Agent, r.RunID, r.State = "agent-x", "run-x", StateFrozen })
			alter(s, "b", func(r *Report) { r.Attempt = 0 })
		}, ""},
	} {
		v := &View{State: electing(func(s *State) {
			if c.change != nil {
				c.change(s)
			}
		})}
		if got := v.closed("b"); got != c.want {
			t.Errorf("%s: %q is closed, want %q", c.name, got, c.want)
		}
	}
}

// A record that was lost may have given somebody a lease, which is waited for.
func TestRestoredAfterTheLease(t *testing.T) {
	v := &View{Now: time.Hour, Agent: "agent-b", Session: true, Read: true, Highest: 7, StateBegun: time.Hour, State: electing(func(s *State) {
		s.Record = nil
		for _, n := range []string{"a", "b", "c"} {
			alter(s, n, func(r *Report) { r.State, r.Master = StateFrozen, "" })
		}
	})}
	v.State.Leader, v.State.Order = "agent-b", &Order{Kind: OrderRecord, Target: "b", By: "me"}
	v.Note()
	v.StateBegun = v.Now
	if does[Create](v) {
		t.Error("made anew at once")
	}
	later(v, fenceWait(v.Fence()))
	if !does[Create](v) {
		t.Errorf("not made anew after the longest lease: %v", Decide(v).Waits)
	}
}

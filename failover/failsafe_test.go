package failover

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// The rules that take a rare order of events to matter, each in the situation that it is for.

// standing is the view of agent-b in epoch 2, whose node b the record names, and who has a lease since a while ago.
func standing(change func(v *View)) *View {
	now := time.Hour
	r := &Record{Epoch: 2, Phase: Steady, Master: "b", RunID: "run-b", Address: "b", FenceAfter: Duration(3 * time.Second),
		Eligible: map[string]Member{"a": {RunID: "run-a"}, "c": {RunID: "run-c"}}, Lineage: []Opening{{Epoch: 1, ReplID: "r1"}}}
	s := DefaultSettings()
	v := &View{Now: now, Agent: "agent-b", Session: true, Read: true, Highest: 2, StateBegun: now,
		State: State{Record: r, RecordIndex: 20, Settings: &s, Agents: map[string]AgentInfo{
			"agent-a": {Agent: "agent-a", Address: "a:1"}, "agent-b": {Agent: "agent-b", Address: "b:1"}, "agent-c": {Agent: "agent-c", Address: "c:1"}},
			Nodes: map[string]Report{"a": {Node: "a", Agent: "agent-a"}, "c": {Node: "c", Agent: "agent-c"}}},
		Lease: Lease{Begun: now - 100*time.Millisecond, Record: r, Index: 20},
		Local: []Local{{Name: "b", Address: "b", Known: true, RunID: "run-b", State: StateFrozen, Persisted: true, Killable: true,
			Position: Position{ReplID: "r1", Offset: 5}}},
	}
	if change != nil {
		change(v)
	}
	v.Note()
	return v
}

func does[A Action](v *View) bool {
	return slices.ContainsFunc(Decide(v).Actions, func(a Action) bool { _, ok := a.(A); return ok })
}

// situations are the rules and whether they hold in their situation.
var situations = map[Rule]func() error{
	KeepsPromise: func() error {
		v := standing(func(v *View) { v.Promise = v.Now + time.Second })
		if does[OpenServer](v) {
			return fmt.Errorf("opens while it has promised not to")
		}
		return nil
	},
	WaitAfterStart: func() error {
		v := standing(func(v *View) { v.Started = v.Now - time.Second })
		if does[OpenServer](v) {
			return fmt.Errorf("opens a second after a start, what its predecessor promised may hold")
		}
		return nil
	},
	OpenByRead: func() error {
		v := standing(func(v *View) {
			v.Lease.Begun, v.Lease.Extended = v.Now-4*time.Second, v.Now-time.Second
			v.Lease.ExtendedFor = 3 * time.Second
		})
		if does[OpenServer](v) {
			return fmt.Errorf("opens by a promise alone")
		}
		return nil
	},
	OnlyExtends: func() error {
		v := standing(func(v *View) {
			v.Lease.Begun = v.Now - 4*time.Second
			v.Local[0].State, v.Local[0].MaybeOpen = StateOpen, true
		})
		v.Extend(AskPromises{Node: "b", RunID: "run-b", Epoch: 2, For: v.Fence()}, v.Now-time.Second)
		if !does[Freeze](v) {
			return fmt.Errorf("a lease that had ended was revived by promises")
		}
		return nil
	},
	NoneAfterElecting: func() error {
		v := standing(func(v *View) {
			r := v.State.Record.Clone()
			r.Phase, r.Election, r.Master, r.RunID = Electing, &Election{Kind: ForFailure}, "a", "run-a"
			v.State.Record, v.State.RecordIndex = r, 21
		})
		if v.GivePromise(2, "a", "run-a", time.Second) == "" {
			return fmt.Errorf("promises after it has seen an election")
		}
		return nil
	},
	ReadOrFreeze: func() error {
		v := standing(func(v *View) {
			v.Lease = Lease{}
			v.Local[0].State, v.Local[0].MaybeOpen = StateOpen, true
		})
		if !does[Freeze](v) {
			return fmt.Errorf("an agent that has just started leaves a server open without a lease")
		}
		return nil
	},
	HighestOnly: func() error {
		r := standing(nil).State.Record.Clone()
		r.Phase, r.Durability, r.Election = Electing, "wait:1", &Election{Kind: ForOrder, Target: "c"}
		s := State{Record: r, RecordIndex: 21, Nodes: map[string]Report{
			"a": {Node: "a", RunID: "run-a", State: StateFrozen, Attempt: 21, Position: Position{ReplID: "r1", Offset: 9}},
			"c": {Node: "c", RunID: "run-c", State: StateFrozen, Attempt: 21, Position: Position{ReplID: "r1", Offset: 7}}}}
		if c := Choose(s, false); c.Node == "c" {
			return fmt.Errorf("c is chosen at 7 because an operator wants it, and a reaches 9: %s", c.Why)
		}
		return nil
	},
}

func TestRulesInTheirSituations(t *testing.T) {
	for rule, holds := range situations {
		if err := holds(); err != nil {
			t.Errorf("%s: %v", rule, err)
		}
	}
	if !does[OpenServer](standing(nil)) {
		t.Error("with nothing against it, b does not open: the situations prove nothing")
	}
}

// Whoever asks for a promise must be the master that the agent knows.
func TestGivePromise(t *testing.T) {
	follows := func(v *View) {
		r := v.State.Record.Clone()
		r.Master, r.RunID = "a", "run-a"
		v.State.Record, v.Lease.Record = r, r
	}
	for _, c := range []struct {
		what        string
		epoch       uint64
		master, run string
		change      func(*View)
		given       bool
	}{
		{"the master of its epoch", 2, "a", "run-a", nil, true},
		{"an older epoch", 1, "a", "run-a", nil, false},
		{"an epoch it does not know", 3, "a", "run-a", nil, false},
		{"another run", 2, "a", "run-0", nil, false},
		{"another node", 2, "c", "run-c", nil, false},
		{"while an election of its own may be committed", 2, "a", "run-a", func(v *View) { v.MayElect = true }, false},
		{"after the record went back", 2, "a", "run-a", func(v *View) { v.Highest = 3 }, false},
		{"before it has read anything", 2, "a", "run-a", func(v *View) { v.State.Record, v.Lease = nil, Lease{} }, false},
	} {
		v := standing(follows)
		if c.change != nil {
			c.change(v)
		}
		why := v.GivePromise(c.epoch, c.master, c.run, 3*time.Second)
		if (why == "") != c.given || (v.Promise > v.Now+3*time.Second) != c.given {
			t.Errorf("%s: %q, promised until %s from now", c.what, why, v.Promise-v.Now)
		}
	}
}

// The agents of all members are asked, also of those that may have been written only.
func TestWhoIsAsked(t *testing.T) {
	open := func(v *View) {
		v.Lease.Begun = v.Now - 2*time.Second
		v.Local[0].State, v.Local[0].MaybeOpen = StateOpen, true
		v.Local[0].Position = Position{ReplID: "r2", Offset: 5, ReplID2: "r1"}
	}
	asked := func(v *View) []string {
		for _, a := range Decide(v).Actions {
			if ask, ok := a.(AskPromises); ok {
				return ask.Agents
			}
		}
		return nil
	}
	if got := asked(standing(open)); !slices.Equal(got, []string{"agent-a", "agent-c"}) {
		t.Errorf("asks %v", got)
	}
	v := standing(open)
	more := v.State.Record.Clone()
	more.Eligible["d"] = Member{}
	v.Propose(more, v.Lease.Index)
	if got := asked(v); got != nil {
		t.Errorf("asks %v, though nobody can be asked for d, which may be a member", got)
	}
	v.State.Nodes["d"] = Report{Node: "d", Agent: "agent-d"}
	v.State.Agents["agent-d"] = AgentInfo{Agent: "agent-d", Address: "d:1"}
	if got := asked(v); !slices.Equal(got, []string{"agent-a", "agent-c", "agent-d"}) {
		t.Errorf("asks %v", got)
	}
	delete(v.State.Nodes, "d")
	v.Lease.Index++ // a later record, without it
	if got := asked(v); !slices.Equal(got, []string{"agent-a", "agent-c"}) {
		t.Errorf("asks %v, though d was forgotten", got)
	}
}

// Promises hold for as long as they were given for. A lease that is lengthened meanwhile does not lengthen them, and one that is
// shortened bounds them.
func TestPromisesKeepTheirLength(t *testing.T) {
	v := standing(nil)
	v.Extend(AskPromises{Node: "b", RunID: "run-b", Epoch: 2, For: 3 * time.Second}, v.Now)
	if got := v.Lease.Until("b", "run-b", 2, 10*time.Second); got != v.Lease.Begun+10*time.Second {
		t.Errorf("a read of a longer lease: until %v", got-v.Now)
	}
	v.Lease.Begun -= time.Hour
	for fence, want := range map[time.Duration]time.Duration{10 * time.Second: 3 * time.Second, time.Second: time.Second} {
		if got := v.Lease.Until("b", "run-b", 2, fence) - v.Now; got != want {
			t.Errorf("by promises alone, with a lease of %v: for %v, want %v", fence, got, want)
		}
	}
}

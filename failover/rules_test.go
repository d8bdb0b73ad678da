package failover

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What a choice makes of histories that did not reach the lineage.
func TestChooseUnwrittenHistories(t *testing.T) {
	frozen := func(s *State, node string, p Position) {
		alter(s, node, func(r *Report) { r.State, r.Position, r.Keys, r.Attempt = StateFrozen, p, 1, 9 })
	}
	all := func(s *State, p Position) {
		for _, n := range []string{"a", "b", "c"} {
			frozen(s, n, p)
		}
		alter(s, "a", func(r *Report) { r.RunID = "another" })
	}
	// cameBack leaves no counted run, an empty replica, and a restarted master that has more.
	cameBack := func(s *State) {
		s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
		all(s, Position{ReplID: "r3", Offset: 250})
		alter(s, "b", func(r *Report) { r.Keys = 0 })
		alter(s, "a", func(r *Report) { r.RunID, r.Position.Offset = "another", 260 })
	}
	for _, c := range []struct {
		name      string
		change    func(*State)
		uncounted bool
		want, why string
	}{
		{"a master that was just opened has the writes that nobody else has", func(s *State) {
			s.Record.Epoch, s.Record.Election.Kind, s.Record.Election.Evidence = 4, ForSwitchover, ""
			frozen(s, "a", Position{ReplID: "x", Offset: 260, ReplID2: "r3", Offset2: 250})
		}, false, "a", "the highest"},
		{"a replica of a master that was opened again, by the word of the master's agent", func(s *State) {
			alter(s, "a", func(r *Report) { r.Position = Position{ReplID: "x", Offset: 260, ReplID2: "r3", Offset2: 240} })
			frozen(s, "b", Position{ReplID: "x", Offset: 255, ReplID2: "r3", Offset2: 249})
			frozen(s, "c", Position{ReplID: "x", Offset: 254, ReplID2: "r3", Offset2: 250})
		}, false, "b", "up to offset 255"},
		{"without that word too, for nobody else is opened in the master's epoch", func(s *State) {
			frozen(s, "b", Position{ReplID: "x", Offset: 255, ReplID2: "r3", Offset2: 249})
			frozen(s, "c", Position{ReplID: "x", Offset: 254, ReplID2: "r3", Offset2: 250})
		}, false, "b", "up to offset 255"},
		{"a replica of a master that did not open by the record, and was the one before as well", func(s *State) {
			s.Record.Epoch = 4
			frozen(s, "b", Position{ReplID: "x", Offset: 255, ReplID2: "r3", Offset2: 240})
			frozen(s, "c", Position{ReplID: "r3", Offset: 250})
		}, false, "b", "b has epoch 3 up to offset 255"},
		{"of two such replicas the farther", func(s *State) {
			s.Record.Epoch = 4
			frozen(s, "b", Position{ReplID: "x", Offset: 255, ReplID2: "r3", Offset2: 249})
			frozen(s, "c", Position{ReplID: "x", Offset: 254, ReplID2: "r3", Offset2: 250})
		}, false, "b", "b has epoch 3 up to offset 255"},
		{"but not one that had not come to the newest opening yet", func(s *State) {
			s.Record.Epoch = 4
			frozen(s, "b", Position{ReplID: "x", Offset: 150, ReplID2: "r3", Offset2: 150})
			frozen(s, "c", Position{ReplID: "r2", Offset: 160})
		}, false, "c", "b reaches 150 of epoch 2"},
		{"a counted run of an unknown history is a last resort", func(s *State) {
			frozen(s, "b", Position{ReplID: "x", Offset: 5})
			delete(s.Nodes, "c")
		}, true, "b", ""},
		{"restarted runs that all have the same unknown history", func(s *State) {
			s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
			all(s, Position{ReplID: "x", Offset: 5})
			frozen(s, "c", Position{ReplID: "x", Offset: 6})
		}, true, "c", ""},
		{"not while one of them has another", func(s *State) {
			s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
			all(s, Position{ReplID: "x", Offset: 5})
			frozen(s, "c", Position{ReplID: "y", Offset: 6})
			alter(s, "a", func(r *Report) { r.State = StateDead })
		}, true, "", "b: its data are of an unknown history"},
		{"not while one of them is missing", func(s *State) {
			s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
			all(s, Position{ReplID: "x", Offset: 5})
			delete(s.Nodes, "c")
			delete(s.Nodes, "a")
		}, true, "", "b: its data are of an unknown history"},
		{"the old master wrote the most, if all have unknown histories", func(s *State) {
			s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
			frozen(s, "b", Position{ReplID: "x", Offset: 7})
			frozen(s, "c", Position{ReplID: "y", Offset: 8})
			frozen(s, "a", Position{ReplID: "z", Offset: 6})
			alter(s, "a", func(r *Report) { r.RunID = "another" })
		}, true, "a", "what the old master comes back with"},
		{"an empty one does not wipe half of a resync", func(s *State) {
			s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
			all(s, Position{ReplID: "x"})
			alter(s, "b", func(r *Report) { r.Keys, r.Position.ReplID = 0, "y" })
			alter(s, "c", func(r *Report) { r.HalfSynced = true })
			alter(s, "a", func(r *Report) { r.Keys, r.Position.ReplID = 0, "z" })
		}, true, "", "b: it was restarted empty"},
		{"an empty one of a known history does not wipe an unknown one", func(s *State) {
			s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
			all(s, Position{ReplID: "r3", Offset: 300})
			alter(s, "a", func(r *Report) { r.Position.ReplID = "x" })
			alter(s, "b", func(r *Report) { r.Keys = 0 })
			alter(s, "c", func(r *Report) { r.Position.ReplID = "y" })
		}, true, "a", "b: it was restarted empty"},
		{"no counted run is left, and the master that nobody reached has come back with what was written", func(s *State) {
			s.Record.Election.Evidence = Silent
			cameBack(s)
		}, true, "a", "the highest"},
		{"nor does an operator's wish go before what was written, where no counted run is left", func(s *State) {
			s.Record.Election.Kind, s.Record.Election.Evidence = ForOrder, ""
			cameBack(s)
		}, true, "a", "the highest"},
		{"with no more than another has, it does not come back", func(s *State) {
			s.Record.Election.Evidence = Silent
			s.Record.Eligible = map[string]Member{"b": {}, "c": {}}
			all(s, Position{ReplID: "r3", Offset: 250})
			alter(s, "a", func(r *Report) { r.RunID = "another" })
		}, true, "b", "the first by name"},
		{"a wanted node that is behind, when the old master has died", func(s *State) {
			s.Record.Election.Kind, s.Record.Election.Target = ForSwitchover, "c"
			alter(s, "b", func(r *Report) { r.Position.Offset = 260 })
		}, false, "b", "the highest"},
		{"one that did not open twice gives way", func(s *State) {
			s.Record.Epoch, s.Record.Election.Evidence = 5, NotServing
			frozen(s, "a", Position{ReplID: "r3", Offset: 260})
		}, false, "b", "a: it is the master to be replaced"},
		{"nor does one whose opening did not reach the record: it has what was written since", func(s *State) {
			s.Record.Epoch, s.Record.Election.Kind, s.Record.Election.Evidence = 5, ForSwitchover, ""
			frozen(s, "a", Position{ReplID: "x", Offset: 260, ReplID2: "r3", Offset2: 250})
		}, false, "a", "the highest"},
		{"one that did not open once does not", func(s *State) {
			s.Record.Epoch, s.Record.Election.Evidence = 4, NotServing
			frozen(s, "a", Position{ReplID: "r3", Offset: 260})
		}, false, "a", "the highest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Choose(electing(c.change), c.uncounted)
			if got.Node != c.want || !strings.Contains(got.Why+"; "+refusals(got), c.why) {
				t.Errorf("chose %q because %q, refused %q; want %q and %q", got.Node, got.Why, refusals(got), c.want, c.why)
			}
		})
	}
}

// What is said of the old master fences it when it is said of the run that the record names, for the attempt in progress. A
// server that starts frozen in another run has closed the one before; that another run has ended says nothing of it.
func TestFencing(t *testing.T) {
	for _, c := range []struct {
		name   string
		report Report
		fenced bool
	}{
		{"frozen", Report{RunID: "run-a", State: StateFrozen, Attempt: 9}, true},
		{"frozen in another run", Report{RunID: "run-z", State: StateFrozen, Attempt: 9}, true},
		{"dead", Report{RunID: "run-a", State: StateDead, Attempt: 9}, true},
		{"another run is dead", Report{RunID: "run-z", State: StateDead, Attempt: 9}, false},
		{"dead, for another attempt", Report{RunID: "run-a", State: StateDead, Attempt: 8}, false},
		{"open", Report{RunID: "run-a", State: StateOpen, Attempt: 9}, false},
		{"nothing known", Report{}, false},
	} {
		s := electing(func(s *State) { s.Nodes["a"] = c.report })
		v := &View{Now: time.Hour, Memory: Memory{Seen: time.Hour}, State: s}
		if fenced, how, _ := v.fencing(); fenced != c.fenced {
			t.Errorf("%s: fenced is %v (%s), want %v", c.name, fenced, how, c.fenced)
		}
		v.Now += fenceWait(v.State.Record.lease(v.Settings()))
		if fenced, how, _ := v.fencing(); !fenced {
			t.Errorf("%s: not fenced when the lease has ended (%s)", c.name, how)
		}
		s.Record.Election.Kind = ForOrder
		dead := c.report.State == StateDead && c.report.Attempt == 9
		if fenced, how, _ := v.fencing(); fenced != (c.fenced || dead) {
			t.Errorf("%s, by an order, when the lease has ended: fenced is %v (%s)", c.name, fenced, how)
		}
	}
}

// A server that may be open without a lease is ended when it does not confirm that it is frozen, however its agent came
// to know of it.
func TestKillWithoutLease(t *testing.T) {
	steady := sampleRecord()
	steady.Phase, steady.Election = Steady, nil
	other := steady.Clone()
	other.Master, other.RunID = "b", "run-b"
	handing := sampleRecord()
	handing.Election.Kind = ForSwitchover
	unserving := sampleRecord()
	unserving.Election.Evidence = NotServing
	for _, c := range []struct {
		name string
		r    *Record
		busy bool
		by   time.Duration
	}{
		{"master of the record", steady, false, 500 * time.Millisecond},
		{"another is master", other, false, 500 * time.Millisecond},
		{"an election", sampleRecord(), false, freezeConfirm},
		{"an election because it does not serve", unserving, false, 500 * time.Millisecond},
		{"an election because it is busy", unserving, true, freezeConfirm},
		{"a planned change", handing, false, 3 * time.Second},
		{"no record", nil, false, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &View{Now: time.Hour, Agent: "x", Highest: 3, Read: true,
				Local: []Local{{Name: "a", RunID: "run-a", State: StateOpen, MaybeOpen: true, Killable: true, Busy: c.busy}}}
			v.State.Record, v.State.RecordIndex = c.r, 9
			kills := func() bool {
				v.Note()
				return slices.ContainsFunc(Decide(v).Actions, func(a Action) bool { _, ok := a.(Kill); return ok })
			}
			if kills() {
				t.Fatal("killed without being asked to freeze")
			}
			if v.Now = time.Hour + c.by - time.Millisecond; kills() {
				t.Errorf("killed before %s", c.by)
			}
			if v.Now += time.Millisecond; !kills() {
				t.Errorf("not killed after %s", c.by)
			}
		})
	}
}

func TestParseRecordRefuses(t *testing.T) {
	for want, change := range map[string]func(*Record){
		"epoch is 0":      func(r *Record) { r.Epoch = 0 },
		"master is empty": func(r *Record) { r.Master = "" },
		`phase is "odd"`:  func(r *Record) { r.Phase = "odd" },
		"election is":     func(r *Record) { r.Election = nil },
		"out of order":    func(r *Record) { r.Lineage[0].Epoch = 9 },
	} {
		r := sampleRecord()
		change(r)
		if _, err := ParseRecord(r.Encode()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := ParseRecord([]byte("{")); err == nil {
		t.Error("half of a record is read")
	}
}

// forked is a node whose history went on from another one at an offset.
func forked(n Report, from string, at int64) Report {
	n.Position.ReplID2, n.Position.Offset2 = from, at
	return n
}

func TestStart(t *testing.T) {
	left := func(n Report) Report { // its master is gone
		n.State = StateSyncing
		return n
	}
	node := func(name string, keys int64, replID, master string) Report {
		state := StateFollowing
		if master == "" {
			state = StateOpen
		}
		return Report{Node: name, Agent: "agent-" + name, Address: name, RunID: "run-" + name, State: state, Keys: keys, Master: master,
			Priority: 100, Position: Position{ReplID: replID, Offset: keys}}
	}
	for _, c := range []struct {
		name   string
		nodes  []Report
		change func(*State)
		want   string
		why    string
	}{
		{"all empty", []Report{node("b", 0, "x", ""), node("a", 0, "y", "")}, nil, "a", "the first by name"},
		{"one holds data", []Report{node("a", 0, "x", ""), node("b", 3, "y", "")}, nil, "b", "b holds the data"},
		{"two hold different data", []Report{node("a", 3, "x", ""), node("b", 3, "y", "")}, nil, "", "several nodes hold different data: a (3 keys), b (3 keys)"},
		{"two have one history", []Report{left(node("a", 3, "x", "z")), left(node("b", 5, "x", "z"))}, nil, "b", "b holds the data"},
		{"two follow a master that has not reported", []Report{node("a", 3, "x", "z"), node("b", 5, "x", "z")}, nil, "", "a follows z, which no agent has reported"},
		{"two follow an empty one that has not reported", []Report{node("a", 0, "x", "z"), node("b", 0, "y", "")}, nil, "", "a follows z, which no agent has reported"},
		{"one follows a master by another name", []Report{node("a", 3, "x", "z"), node("b", 3, "x", "")}, nil, "b", "b holds the data"},
		{"a replication that works", []Report{node("a", 3, "x", "b"), node("b", 3, "x", ""), node("c", 0, "y", "")}, nil, "b", "b is the master of the replication that was found"},
		{"a replication that works, beside other data", []Report{node("a", 3, "x", "b"), node("b", 3, "x", ""), node("c", 1, "y", "")}, nil, "", "different data: b (3 keys), c (1 keys)"},
		{"one went on from the other", []Report{left(forked(node("a", 5, "y", "z"), "x", 3)), left(node("b", 3, "x", "z"))}, nil, "a", "a holds the data"},
		{"one went on from before the other's end", []Report{forked(node("a", 5, "y", "z"), "x", 3), node("b", 7, "x", "z")}, nil, "", "different data: a (5 keys), b (7 keys)"},
		{"a replication that works, beside one that it left behind", []Report{node("c", 5, "y", "a"), forked(node("a", 5, "y", ""), "x", 3), node("b", 4, "x", "z")}, nil, "", "different data: a (5 keys), b (4 keys)"},
		{"an operator's word", []Report{node("a", 3, "x", ""), node("b", 3, "y", "")},
			func(s *State) { s.Order = &Order{Kind: OrderBootstrap, Target: "b", By: "me"} }, "b", "ordered by me"},
		{"an operator's word on nobody", []Report{node("a", 3, "x", ""), node("b", 3, "y", "")},
			func(s *State) { s.Order = &Order{Kind: OrderBootstrap, Target: "z"} }, "", `"z", which is no node`},
		{"too few", []Report{node("a", 0, "x", "")}, func(s *State) { s.Settings = &Settings{Quorum: 2} }, "", "1 of 2 nodes have reported"},
		{"nobody has said how many to expect", []Report{node("a", 0, "x", "")}, func(s *State) { s.Settings = nil }, "", "the group's settings"},
		{"one of an agent is missing", []Report{node("a", 0, "x", "")},
			func(s *State) { s.Agents = map[string]AgentInfo{"q": {Agent: "q", Nodes: []string{"b"}}} }, "", "b of agent q has not reported"},
		{"one does not answer", []Report{node("a", 0, "x", ""), {Node: "b", State: StateUnknown}}, nil, "", "b is unknown"},
		{"nobody wants to be", []Report{{Node: "a", RunID: "r", State: StateOpen}}, nil, "", "every node has priority 0"},
	} {
		s := State{Nodes: map[string]Report{}, Settings: &Settings{}}
		for _, n := range c.nodes {
			s.Nodes[n.Node] = n
		}
		if c.change != nil {
			c.change(&s)
		}
		r, why := Start(s)
		got := ""
		if r != nil {
			got = r.Master
		}
		if got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q because %q; want %q and %q", c.name, got, why, c.want, c.why)
		}
	}
}

// A server that loads its data takes no command, a freeze as little as a write. Ended, it would load once more, for ever. Silent, it
// may have done so.
func TestLoadingServerIsNotKilled(t *testing.T) {
	for _, known := range []bool{true, false} {
		v := &View{Now: time.Hour, Agent: "x", Highest: 3, Read: true,
			Local: []Local{{Name: "a", RunID: "run-z", State: StateLoading, Known: known, MaybeOpen: true, Killable: true}}}
		v.State.Record, v.State.RecordIndex = sampleRecord(), 9
		v.Note()
		v.Now += time.Minute
		v.Note()
		kills := slices.ContainsFunc(Decide(v).Actions, func(a Action) bool { _, ok := a.(Kill); return ok })
		if kills == known {
			t.Errorf("known %v: killed %v", known, kills)
		}
	}
}

// A planned change that was called off, because the master's agent gave no word, is not tried again by the same word of that agent.
// One that lives says so again after a while.
func TestUnwantedMasterWhoseAgentIsAway(t *testing.T) {
	said := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	v := calm("a")
	leaves := v.State.Nodes["a"]
	leaves.Ineligible, leaves.At = "its agent leaves", said
	v.Local[0].Ineligible, v.State.Nodes["a"] = leaves.Ineligible, leaves
	v.Note()
	v.Now += time.Minute
	v.Lease.Begun = v.Now
	if v.unwanted() == "" {
		t.Fatal("a master whose agent leaves is wanted")
	}
	v.State.Record.Phase, v.State.Record.Election = Electing, &Election{Kind: ForSwitchover, Leader: "b"}
	v.Note()
	v.State.Record = v.callOff().Record
	v.State.RecordIndex++
	v.Lease.Record, v.Lease.Index = v.State.Record, v.State.RecordIndex
	reports := func() bool {
		v.Lease.Begun = v.Now
		v.Note()
		return slices.ContainsFunc(Decide(v).Actions, func(a Action) bool { _, ok := a.(PutReport); return ok })
	}
	if reports() {
		t.Error("reports at once what was not heeded")
	}
	v.Now += askAgain - time.Millisecond
	if reports() {
		t.Error("reports before its time what was not heeded")
	}
	if why := v.unwanted(); why != "" {
		t.Errorf("tried again at the same word: %s", why)
	}
	v.Now += time.Millisecond
	if !reports() {
		t.Error("does not say again that it leaves")
	}
	leaves.At = said.Add(time.Minute)
	v.State.Nodes["a"] = leaves
	if v.unwanted() == "" {
		t.Error("a new word of its agent is not heeded")
	}
}

// A master whose agent cannot command it is not asked to hand over: it would take writes until it is killed.
func TestUnwantedMasterThatCannotBeCommanded(t *testing.T) {
	v := calm("b")
	alter(&v.State, "a", func(r *Report) { r.Ineligible = "it is in maintenance" })
	v.Note()
	v.Now += time.Minute
	if v.unwanted() == "" {
		t.Fatal("a master in maintenance is wanted")
	}
	alter(&v.State, "a", func(r *Report) { r.State = StateUnknown })
	if why := v.unwanted(); why != "" {
		t.Errorf("handed over though its agent does not reach it: %s", why)
	}
}

// In a planned change it is not killed either, as long as reads of the record show that the leader waits for its word.
func TestPlannedChangeSparesAMasterThatCannotBeCommanded(t *testing.T) {
	v := &View{Now: time.Hour, Agent: "x", Highest: 3, Read: true, Local: []Local{{Name: "a", RunID: "run-a", MaybeOpen: true, Killable: true}}}
	v.State.Record, v.State.RecordIndex = sampleRecord(), 9
	v.State.Record.Election.Kind = ForSwitchover
	v.Note()
	v.Now += 2 * time.Second
	v.Lease = Lease{Begun: v.Now, Record: v.State.Record, Index: 9}
	for _, c := range []struct {
		after    time.Duration
		accepted string
		kills    bool
	}{{v.Fence() - time.Millisecond, "", false}, {0, "me", true}, {time.Millisecond, "", true}} {
		v.Now += c.after
		v.State.Record.Election.AcceptLoss = c.accepted
		v.Note()
		if kills := does[Kill](v); kills != c.kills {
			t.Errorf("%s after the last read, a loss accepted by %q: killed %v", v.Now-v.Lease.Begun, c.accepted, kills)
		}
	}
}

// A change that was called off is no change of master: the next failure is not held back because of it.
func TestCooldownCountsFromTheLastChange(t *testing.T) {
	v := calm("a")
	v.State.Record.Evidence = Silent
	v.Note()
	changed := v.Now
	for _, phase := range []Phase{Electing, Steady} {
		v.Now += time.Minute
		v.State.Record = v.State.Record.Clone()
		v.State.Record.Phase, v.State.Record.Election = phase, &Election{Kind: ForSwitchover}
		v.State.RecordIndex++
		v.Note()
	}
	if until := v.cooldown(Tally{Evidence: Silent}); until > changed+time.Duration(v.Settings().Cooldown) {
		t.Errorf("held back until %s after the change", until-changed)
	}
}

// A lease that may stand in the record by now is kept to.
func TestLeaseThatWasProposed(t *testing.T) {
	v := calm("a")
	next := v.State.Record.Clone()
	next.FenceAfter = Duration(time.Second)
	v.Propose(next, v.State.RecordIndex)
	v.Propose(v.State.Record, v.State.RecordIndex)
	if got := v.Fence(); got != time.Second {
		t.Errorf("a lease lasts %s, and one of a second was sent", got)
	}
	v.Lease.Index++ // of a later record it is known what became of it
	if got, want := v.Fence(), time.Duration(v.State.Record.FenceAfter); got != want {
		t.Errorf("a lease lasts %s, and the record, which is newer, has %s", got, want)
	}
}

// What became of the old master's server is known from the agent that the record names, by its report or its vote. Another that has a
// node of the same name speaks of another server: the lease is waited for.
func TestFencedByTheWordOfItsAgent(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(s *State)
		want   bool
	}{
		{"restarted", func(s *State) { alter(s, "a", func(r *Report) { r.RunID, r.State = "another", StateFrozen }) }, true},
		{"restarted, by another's word", func(s *State) {
			alter(s, "a", func(r *Report) { r.Agent, r.RunID, r.State = "agent-x", "another", StateFrozen })
		}, false},
		{"ended", nil, true},
		{"ended, by another's word", func(s *State) { alter(s, "a", func(r *Report) { r.Agent = "agent-x" }) }, false},
		{"ended, by a report for another attempt", func(s *State) { alter(s, "a", func(r *Report) { r.Attempt = 8 }) }, false},
		{"ended, by its vote", func(s *State) {
			delete(s.Nodes, "a")
			s.Votes = map[string]Vote{"agent-a": {Epoch: 3, Ended: "run-a"}}
		}, true},
		{"ended, by its vote in an epoch before", func(s *State) {
			delete(s.Nodes, "a")
			s.Votes = map[string]Vote{"agent-a": {Epoch: 2, Ended: "run-a"}}
		}, false},
		{"another run ended, by its vote", func(s *State) {
			delete(s.Nodes, "a")
			s.Votes = map[string]Vote{"agent-a": {Epoch: 3, Ended: "run-0"}}
		}, false},
		{"ended, by another's vote", func(s *State) {
			delete(s.Nodes, "a")
			s.Votes = map[string]Vote{"agent-x": {Epoch: 3, Ended: "run-a"}}
		}, false},
	} {
		v := &View{Now: time.Hour, State: electing(func(s *State) {
			s.Record.Agent = "agent-a"
			alter(s, "a", func(r *Report) { r.Agent = "agent-a" })
			if c.change != nil {
				c.change(s)
			}
		})}
		v.Note()
		if fenced, how, _ := v.fencing(); fenced != c.want {
			t.Errorf("%s: %v, %q", c.what, fenced, how)
		}
		later(v, fenceWait(v.Fence()))
		if fenced, _, _ := v.fencing(); !fenced {
			t.Errorf("%s: not when the lease has ended", c.what)
		}
	}
}

// The vote of the master's own agent says which run has ended, and says it anew when it learns of it.
func TestVoteSaysThatTheRunHasEnded(t *testing.T) {
	v := calm("a")
	v.Judgement = Judgement{Epoch: 3, Master: "a", Verdict: Down, Evidence: Gone}
	if told := tells(v); told.Vote.Ended != "" || told.Vote.Verdict != Down {
		t.Errorf("tells %+v", told.Vote)
	}
	v.Local[0].Dead, v.Local[0].Ended = true, true
	if told := tells(v); told.Vote.Ended != "run-a" {
		t.Errorf("tells %+v of a run that has ended", told.Vote)
	}
	v.Local[0].RunID = "another"
	if told := tells(v); told.Vote.Ended != "" {
		t.Errorf("tells %+v when another run has ended", told.Vote)
	}
}

// While the record is known and the lock is not, as when the record alone was read, nobody takes the lock.
func TestLockThatIsNotKnown(t *testing.T) {
	v := calm("b")
	v.State.Order = &Order{Kind: OrderFailover, By: "me"}
	v.State.Index = v.State.RecordIndex - 1
	v.Note()
	if does[AcquireLock](v) || !does[Reread](v) {
		t.Errorf("it does %v", Decide(v).Actions)
	}
	v.State.Index = v.State.RecordIndex
	if !does[AcquireLock](v) {
		t.Errorf("it does %v", Decide(v).Actions)
	}
}

// An order is for the epoch in which it was given: the master that came of it meanwhile is not replaced as well.
func TestOrderOfAnotherEpoch(t *testing.T) {
	for _, c := range []struct {
		epoch uint64 // of the order; the record's is 3
		want  bool
	}{{0, true}, {3, true}, {2, false}} {
		order := &Order{ID: "1", Kind: OrderFailover, AcceptLoss: true, By: "me", Epoch: c.epoch}
		v := calm("b")
		v.State.Leader, v.State.Order, v.StateBegun = "b", order, v.Now
		v.Note()
		v.StateBegun = v.Now
		if does[Elect](v) != c.want || does[RefuseOrder](v) == c.want {
			t.Errorf("epoch %d, steady: %v", c.epoch, Decide(v).Actions)
		}
		v = &View{Now: time.Hour, Agent: "agent-b", Session: true, Read: true, StateBegun: time.Hour, State: electing(func(s *State) {
			s.Leader, s.Order = "agent-b", order
			s.Record.Durability = "wait:2"
			delete(s.Nodes, "c")
		})}
		v.Memory.LockSeen, v.Memory.Seen, v.Highest = time.Minute, time.Minute, v.State.Record.Epoch
		if does[Elect](v) != c.want {
			t.Errorf("epoch %d, electing: %v", c.epoch, Decide(v).Actions)
		}
	}
}

package failover

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func FuzzParseRecord(f *testing.F) {
	f.Add(sampleRecord().Encode())
	f.Add([]byte(`{"epoch":1,"phase":"electing","master":"a"}`))
	f.Add([]byte(`{"epoch":1,"phase":"steady","master":"a","lineage":[{"epoch":2}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		again, err := ParseRecord(r.Encode())
		if err != nil {
			t.Fatalf("%v: a record that was written is not read: %s", err, r.Encode())
		}
		if !bytes.Equal(r.Encode(), again.Encode()) {
			t.Errorf("%s became %s", r.Encode(), again.Encode())
		}
	})
}

func sampleRecord() *Record {
	return &Record{
		Epoch: 3, Phase: Electing, Master: "a", RunID: "run-a", Address: "a", Durability: "none",
		Eligible: map[string]Member{"b": {RunID: "run-b"}, "c": {RunID: "run-c"}},
		Lineage:  []Opening{{Epoch: 1, ReplID: "r1"}, {Epoch: 2, ReplID: "r2", Offset: 100}, {Epoch: 3, ReplID: "r3", Offset: 200}},
		Election: &Election{Kind: ForFailure, Evidence: Gone, Cause: "gone", Deadline: Duration(30 * time.Second)},
	}
}

func TestPlace(t *testing.T) {
	r := sampleRecord()
	for _, c := range []struct {
		name  string
		p     Position
		want  place
		known bool
	}{
		{"in the newest history", Position{ReplID: "r3", Offset: 250}, place{3, 250}, true},
		{"in an older history", Position{ReplID: "r2", Offset: 150}, place{2, 150}, true},
		{"on its way into the newest history", Position{ReplID: "r3", Offset: 150}, place{2, 150}, true},
		{"on its way through two of them", Position{ReplID: "r3", Offset: 50}, place{1, 50}, true},
		{"of an unknown history", Position{ReplID: "x", Offset: 900}, place{}, false},
		{"opened and not in the lineage yet", Position{ReplID: "x", Offset: 900, ReplID2: "r3", Offset2: 260}, place{3, 260}, true},
		{"nothing", Position{}, place{}, false},
	} {
		if got, known := r.place(c.p); known != c.known || known && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, known, c.want, c.known)
		}
	}
	if (place{2, 900}).compare(place{3, 1}) >= 0 {
		t.Error("a later epoch is not ahead of a higher offset")
	}
}

func TestResyncs(t *testing.T) {
	r := sampleRecord()
	for _, c := range []struct {
		p    Position
		want bool
	}{
		{Position{ReplID: "r3", Offset: 250}, true},
		{Position{ReplID: "r3", Offset: 100}, true},
		{Position{ReplID: "r2", Offset: 200}, true},
		{Position{ReplID: "r2", Offset: 201}, false},
		{Position{ReplID: "r1", Offset: 50}, false},
		{Position{}, false},
	} {
		if got := r.resyncs(c.p); got != c.want {
			t.Errorf("%+v: %v", c.p, got)
		}
	}
	if (&Record{}).resyncs(Position{ReplID: "r"}) {
		t.Error("a partial resync with no history")
	}
}

// electing is a state in which a and b and c have reported for the attempt in progress.
func electing(change func(*State)) State {
	s := State{Record: sampleRecord(), RecordIndex: 9, Nodes: map[string]Report{}}
	for _, n := range []string{"a", "b", "c"} {
		s.Nodes[n] = Report{Node: n, Address: n, RunID: "run-" + n, State: StateFrozen, Attempt: 9, Priority: 100, Keys: 1,
			Position: Position{ReplID: "r3", Offset: 250}}
	}
	s.Nodes["a"] = Report{Node: "a", RunID: "run-a", State: StateDead, Attempt: 9, Zone: "east"}
	change(&s)
	return s
}

// calm is what the agent of a node sees of a group of three in which nothing happens.
func calm(own string) *View {
	r := sampleRecord()
	r.Phase, r.Election, r.FenceAfter = Steady, nil, DefaultSettings().FenceAfter
	settings := DefaultSettings()
	s := State{Record: r, RecordIndex: 9, Settings: &settings, Nodes: map[string]Report{}, Votes: map[string]Vote{}, Agents: map[string]AgentInfo{}}
	v := &View{Now: time.Hour, Agent: own, Session: true, Read: true, Highest: r.Epoch, Lease: Lease{Begun: time.Hour, Record: r, Index: 9}}
	for _, name := range []string{"a", "b", "c"} {
		n := Local{Name: name, Address: name, Known: true, RunID: "run-" + name, Priority: 100, State: StateFollowing, Master: "a", Keys: 1, Persisted: true,
			Position: Position{ReplID: "r3", Offset: 250}}
		if name == r.Master {
			n.State, n.Master, n.MaybeOpen = StateOpen, "", true
		}
		s.Agents[name] = AgentInfo{Agent: name, Nodes: []string{name}}
		s.Nodes[name] = reportOf(&View{Agent: name, State: State{Record: r}, Highest: r.Epoch}, &n)
		if name == own {
			v.Local = []Local{n}
		}
	}
	v.State = s
	return v
}

func alter(s *State, node string, f func(*Report)) {
	r := s.Nodes[node]
	f(&r)
	s.Nodes[node] = r
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name      string
		change    func(*State)
		uncounted bool
		want      string
		why       string // part of the reason, for the choice or for refusing
	}{
		{"the first by name among equals", func(*State) {}, false, "b", "the first by name"},
		{"the highest offset", func(s *State) { alter(s, "c", func(r *Report) { r.Position.Offset = 251 }) }, false, "c", "the highest"},
		{"the later epoch before the higher offset", func(s *State) {
			alter(s, "b", func(r *Report) { r.Position = Position{ReplID: "r2", Offset: 999} })
		}, false, "c", "the highest"},
		{"the lower priority number", func(s *State) { alter(s, "c", func(r *Report) { r.Priority = 5 }) }, false, "c", "priority 5 before 100"},
		{"priority 0 last", func(s *State) { alter(s, "b", func(r *Report) { r.Priority = 0 }) }, false, "c", "priority 100 before 0"},
		{"priority 0 if it alone has the last bytes", func(s *State) {
			alter(s, "b", func(r *Report) { r.Priority, r.Position.Offset = 0, 300 })
		}, false, "b", "the highest"},
		{"the zone of the old master", func(s *State) { alter(s, "c", func(r *Report) { r.Zone = "east" }) }, false, "c", `is in zone "east"`},
		{"no report for this attempt", func(s *State) { alter(s, "b", func(r *Report) { r.Attempt = 8 }) }, false, "c", "b: no report for this attempt"},
		{"never reported", func(s *State) { delete(s.Nodes, "b") }, false, "c", "b: it has never reported"},
		{"loading", func(s *State) { alter(s, "b", func(r *Report) { r.State = StateLoading }) }, false, "c", "b: it is loading"},
		{"half a resync", func(s *State) { alter(s, "b", func(r *Report) { r.HalfSynced = true }) }, false, "c", "b: a full resync was begun"},
		{"unwanted by its operator", func(s *State) { alter(s, "b", func(r *Report) { r.Ineligible = "it is in maintenance" }) }, false, "c", "of which one says: it is in maintenance"},
		{"not counted", func(s *State) { s.Record.Eligible["b"] = Member{} }, false, "c", "b: it has not caught up"},
		{"another run than the one counted", func(s *State) { s.Record.Eligible["b"] = Member{RunID: "old"} }, false, "c", "b: it was restarted"},
		{"unknown history", func(s *State) { alter(s, "b", func(r *Report) { r.Position.ReplID = "x" }) }, false, "c", "b: its data are of an unknown history"},
		{"the target alone", func(s *State) { s.Record.Election.Target = "c" }, false, "c", "b: c is wanted"},
		{"the old master that is frozen in its run, if nobody reached it", func(s *State) {
			s.Record.Election.Kind, s.Record.Election.Evidence = ForSwitchover, ""
			alter(s, "a", func(r *Report) { r.State, r.Position = StateFrozen, Position{ReplID: "r3", Offset: 260} })
		}, false, "a", "the highest"},
		{"a replica that reached it", func(s *State) {
			s.Record.Election.Kind, s.Record.Election.Evidence = ForSwitchover, ""
			alter(s, "a", func(r *Report) { r.State, r.Position = StateFrozen, Position{ReplID: "r3", Offset: 250} })
		}, false, "b", "first by name"},
		{"not the old master that the quorum cannot reach", func(s *State) {
			s.Record.Election.Evidence = Silent
			alter(s, "a", func(r *Report) { r.State, r.Position = StateFrozen, Position{ReplID: "r3", Offset: 260} })
		}, false, "b", "a: it is the master to be replaced"},
		{"not another run of the old master", func(s *State) {
			alter(s, "a", func(r *Report) {
				r.State, r.RunID, r.Position = StateFrozen, "new", Position{ReplID: "r3", Offset: 260}
			})
		}, false, "b", "a: it was restarted"},
		{"nobody", func(s *State) { s.Record.Eligible = nil }, false, "", "a: it is dead"},
		{"an old master that refused connections, though it runs", func(s *State) {
			s.Record.Election.Evidence = Gone
			alter(s, "a", func(r *Report) { r.State, r.Position = StateFrozen, Position{ReplID: "r3", Offset: 300} })
		}, false, "a", ""},
		{"when another refused them before", func(s *State) {
			s.Record.Election.Evidence, s.Record.Evidence = Gone, Gone
			s.Record.Eligible["c"] = Member{RunID: "run-c", MasterOf: s.Record.Epoch - 1}
			alter(s, "a", func(r *Report) { r.State, r.Position = StateFrozen, Position{ReplID: "r3", Offset: 300} })
		}, false, "a", ""},
		{"not when it refused them before", func(s *State) {
			s.Record.Election.Evidence, s.Record.Evidence = Gone, Gone
			alter(s, "a", func(r *Report) { r.State, r.Position = StateFrozen, Position{ReplID: "r3", Offset: 300} })
		}, false, "b", "a: it is the master to be replaced"},
		{"uncounted runs as a last resort", func(s *State) {
			s.Record.Eligible = map[string]Member{"b": {RunID: "old"}, "c": {RunID: "old"}}
		}, true, "b", "the first by name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Choose(electing(c.change), c.uncounted)
			if got.Node != c.want || !strings.Contains(got.Why+"; "+refusals(got), c.why) {
				t.Errorf("chose %q because %q, refused %q; want %q and %q", got.Node, got.Why, refusals(got), c.want, c.why)
			}
		})
	}
}

func TestCount(t *testing.T) {
	vote := func(v Verdict, e Evidence) Vote {
		return Vote{Epoch: 3, Master: "a", Verdict: v, Evidence: e, Cause: string(e)}
	}
	s := State{Record: sampleRecord(), Nodes: map[string]Report{"a": {Agent: "x"}}, Agents: map[string]AgentInfo{"x": {}, "y": {}, "z": {}}}
	s.Record.Phase, s.Record.Election = Steady, nil
	for _, c := range []struct {
		name    string
		votes   map[string]Vote
		quorum  int
		reached bool
		shown   string
	}{
		{"no votes", nil, 2, false, "0 of 2 votes ()"},
		{"a quorum", map[string]Vote{"x": vote(Down, Gone), "y": vote(Down, Silent)}, 2, true, "2 of 2 votes (x, y)"},
		{"a majority by default", map[string]Vote{"x": vote(Down, Gone), "y": vote(Down, Gone)}, 0, true, "2 of 2 votes (x, y)"},
		{"one of another epoch", map[string]Vote{"x": vote(Down, Gone), "y": {Epoch: 2, Master: "a", Verdict: Down}}, 2, false, "1 of 2 votes (x)"},
		{"one on another master", map[string]Vote{"x": vote(Down, Gone), "y": {Epoch: 3, Master: "b", Verdict: Down}}, 2, false, "1 of 2 votes (x)"},
		{"silence that its own agent knows to be work", map[string]Vote{"x": {Epoch: 3, Master: "a", Verdict: Busy, Cause: "runs a script"},
			"y": vote(Down, Silent), "z": vote(Down, Silent)}, 2, false, "0 of 2 votes (); agent x vetoes: runs a script"},
		{"a veto against what is gone", map[string]Vote{"x": {Epoch: 3, Master: "a", Verdict: Busy},
			"y": vote(Down, Gone), "z": vote(Down, Gone)}, 2, true, "2 of 2 votes (y, z)"},
		{"a veto of somebody else's agent", map[string]Vote{"y": {Epoch: 3, Master: "a", Verdict: Busy},
			"x": vote(Down, Silent), "z": vote(Down, Silent)}, 2, true, "2 of 2 votes (x, z)"},
	} {
		s.Votes, s.Settings = c.votes, &Settings{Quorum: c.quorum}
		got := Count(s)
		if got.Reached() != c.reached || got.String() != c.shown {
			t.Errorf("%s: reached %v, %q; want %v, %q", c.name, got.Reached(), got, c.reached, c.shown)
		}
	}
	s.Votes = map[string]Vote{"x": vote(Down, Silent), "y": vote(Down, Gone)}
	if got := Count(s); got.Evidence != Gone || got.Cause != "gone" {
		t.Errorf("the strongest evidence is %q (%s), want gone", got.Evidence, got.Cause)
	}
}

// Whatever the view, nothing is loosened without the lease, and the record is moved by nobody but a leader who has read
// everything since it holds the lock.
func TestRandomViews(t *testing.T) {
	names := []string{"a", "b", "c"}
	runs := []string{"", "run-a", "run-b", "run-c", "other"}
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		yes := func(label string) bool { return rapid.Bool().Draw(t, label) }
		ms := func(label string) time.Duration {
			return time.Duration(rapid.IntRange(0, 20000).Draw(t, label)) * time.Millisecond
		}
		position := func(label string) Position {
			return Position{ReplID: pick(label, "", "r1", "r2", "r3", "x"), Offset: int64(rapid.IntRange(0, 400).Draw(t, label))}
		}
		record := func(label string) *Record {
			r := sampleRecord()
			r.Epoch, r.Master, r.RunID = 3+uint64(rapid.IntRange(0, 1).Draw(t, label)), pick(label, names...), pick(label, runs...)
			r.Address = r.Master
			delete(r.Eligible, r.Master)
			r.Election.Kind = ElectionKind(pick(label, string(ForFailure), string(ForOrder), string(ForSwitchover)))
			if yes(label) {
				r.Phase, r.Election = Steady, nil
			}
			return r
		}
		states := []string{string(StateOpen), string(StateFrozen), string(StateFollowing), string(StateSyncing), string(StateDead), string(StateUnknown), string(StatePaused)}
		v := &View{Now: 10*time.Second + ms("now"), Agent: "x", Session: yes("session"), Read: yes("read"), StateBegun: ms("begun"), Highest: uint64(rapid.IntRange(0, 4).Draw(t, "highest"))}
		v.State = State{RecordIndex: 9, Leader: pick("leader", "", "x", "y"), Votes: map[string]Vote{}, Nodes: map[string]Report{}, Agents: map[string]AgentInfo{"x": {}, "y": {}, "z": {}}}
		if yes("record") {
			v.State.Record = record("record")
		}
		for _, agent := range []string{"x", "y", "z"} {
			if yes("votes") {
				v.State.Votes[agent] = Vote{Epoch: 3, Master: pick("vote", names...), Verdict: Down, Evidence: Gone}
			}
		}
		for _, n := range names {
			if yes("reported") {
				v.State.Nodes[n] = Report{Node: n, Agent: "y", Address: n, RunID: pick("run", runs...), State: NodeState(pick("state", states...)),
					Attempt: uint64(rapid.SampledFrom([]int{0, 8, 9}).Draw(t, "attempt")), Epoch: 3, Position: position("position"), Keys: int64(rapid.IntRange(0, 1).Draw(t, "keys"))}
			}
		}
		if yes("order") {
			v.State.Order = &Order{Kind: OrderKind(pick("order", string(OrderFailover), string(OrderSwitchover), string(OrderBootstrap))), Target: pick("target", "", "a", "b", "zz")}
		}
		if yes("lease") {
			v.Lease = Lease{Begun: ms("lease"), Record: record("lease"), Index: uint64(rapid.IntRange(7, 9).Draw(t, "lease index"))}
		}
		n := pick("node", names...)
		v.Local = []Local{{Name: n, Address: n, Known: yes("known"), Dead: yes("dead"), RunID: pick("run", runs...), State: NodeState(pick("state", states[:4]...)),
			Master: pick("master", "", "a", "b", "c"), Position: position("local"), Persisted: yes("persisted"), MaybeOpen: yes("maybe"), Killable: yes("killable")}}
		v.Note()
		v.Memory.LockSeen, v.Memory.EpochSeen, v.Memory.Seen = ms("lock seen"), ms("epoch seen"), ms("seen")
		for _, act := range Decide(v).Actions {
			if act.String() == "" || act.Key() == "" {
				t.Fatalf("%#v has no words", act)
			}
			switch act := act.(type) {
			case OpenServer:
				if until := v.Lease.Until(act.Node, act.RunID, v.Highest, 3*time.Second); v.Now >= until || v.Local[0].RunID != act.RunID {
					t.Fatalf("opened without a lease: %v, now %v", until, v.Now)
				}
			case Follow:
				if v.Lease.Index != v.State.RecordIndex {
					t.Fatalf("attached without a confirmed record")
				}
			case Elect:
				if held := v.State.Leader == "x" && v.StateBegun >= v.Memory.LockSeen; !v.Session || v.State.Leader != "" && !held {
					t.Fatalf("elected under another's lock: %s", act)
				}
			case Commit:
				if !v.Session || v.State.Leader != "x" || v.StateBegun < v.Memory.LockSeen {
					t.Fatalf("moved the record without the lock and a read: %s", act)
				}
			case Amend:
				if r := act.Record; r.Master != n || v.Local[0].State != StateOpen || r.Phase != Steady {
					t.Fatalf("amended another's record: %s", act)
				}
			case Kill:
				if !v.Local[0].Killable || !v.Local[0].MaybeOpen {
					t.Fatalf("killed what is not open: %s", act)
				}
			}
		}
		if v.Summary() == "" {
			t.Fatal("no summary")
		}
	})
}

func TestDuration(t *testing.T) {
	var d Duration
	for in, want := range map[string]string{`"1.5s"`: "", `5`: "want a string", `"5"`: "missing unit"} {
		err := json.Unmarshal([]byte(in), &d)
		if want == "" && (err != nil || time.Duration(d) != 1500*time.Millisecond) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v", in, d, err)
		}
	}
}

// A lineage whose openings name each other in a circle ends nowhere: what is beyond it is unknown, and asking ends.
// A master that was opened from a data set on disk counts nothing until it has a replica: when nobody went on from it, what it has
// is saved, whatever its offset says.
func TestHoldOfAMasterThatCountedNothing(t *testing.T) {
	r := &Record{Epoch: 3, Master: "b", Eligible: map[string]Member{"a": {RunID: "run", Deposed: 3, MasterOf: 2}, "c": {RunID: "run", Deposed: 3}},
		Lineage: []Opening{{Epoch: 1, ReplID: "r1"}, {Epoch: 2, ReplID: "r2", Offset: 50, From: "r1"}, {Epoch: 3, ReplID: "r3", Offset: 50, From: "r1"}}}
	for _, c := range []struct {
		node, replID string
		held         bool
	}{
		{"a", "r2", true},
		{"a", "r1", false}, // frozen before it opened
		{"c", "r2", false}, // a replica counts what it received
	} {
		n := &Local{Name: c.node, RunID: "run", Keys: 100, Position: Position{ReplID: c.replID, Offset: 50}}
		if why := r.hold(n); (why != "") != c.held {
			t.Errorf("%s at %s: %q, want held %v", c.node, c.replID, why, c.held)
		}
	}
}

func TestBeyondALineageThatGoesRound(t *testing.T) {
	r := &Record{Lineage: []Opening{{Epoch: 1, ReplID: "a"}, {Epoch: 2, ReplID: "b", Offset: 5, From: "b"}, {Epoch: 3, ReplID: "c", Offset: 4, From: "a"}}}
	if n, known := r.beyond(Position{ReplID: "b", Offset: 9}); known {
		t.Errorf("%d bytes, want that nothing is known", n)
	}
}

package failover

import (
	"strings"
	"testing"
	"time"
)

// votedDown is a view of agent "x" on master a of epoch 3, which two of three agents have voted down by this evidence. The last
// change of master was for the evidence "last", which so many changes before it were for as well.
func votedDown(by, last Evidence, repeats int, cooldown time.Duration) *View {
	r := sampleRecord()
	r.Phase, r.Election, r.Evidence, r.Repeats = Steady, nil, last, repeats
	s := DefaultSettings()
	s.Cooldown = Duration(cooldown)
	votes := map[string]Vote{}
	for _, agent := range []string{"x", "y"} {
		votes[agent] = Vote{Epoch: 3, Master: "a", Verdict: Down, Evidence: by, Cause: string(by), Index: 7}
	}
	v := &View{Now: time.Hour, Agent: "x", Session: true, Read: true, Highest: 3,
		State: State{Record: r, RecordIndex: 9, Settings: &s, Votes: votes, Agents: map[string]AgentInfo{"x": {}, "y": {}, "z": {}},
			Nodes: map[string]Report{"a": {Node: "a", Agent: "z", RunID: "run-a", State: StateOpen}}},
		Judgement: Judgement{Epoch: 3, Master: "a", Verdict: Down, Evidence: by, Cause: string(by)},
	}
	v.Note()
	return v
}

// One that was chosen again, and has ended, is not waited for.
func TestNoCooldownForOneThatHasEnded(t *testing.T) {
	v := votedDown(Gone, Gone, 2, 10*time.Second)
	v.State.Record.Agent = "y"
	own := v.State.Votes["y"]
	own.Ended = v.State.Record.RunID
	v.State.Votes["y"] = own
	if until := v.cooldown(Count(v.State)); until > v.Now || !does[Elect](v) {
		t.Errorf("it is waited for until %s from now", until-v.Now)
	}
}

// A quorum whose evidence may come and go is not acted upon too soon after a change of master for the same kind of evidence.
func TestCooldown(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name     string
		by, last Evidence
		repeats  int
		cooldown time.Duration
		want     time.Duration // after the epoch was first seen
	}{
		{"the first change for this evidence", Silent, Silent, 0, 10 * s, 10 * s},
		{"the second doubles it", Silent, Silent, 1, 10 * s, 20 * s},
		{"the third once more", Silent, Silent, 2, 10 * s, 40 * s},
		{"a minute is enough", Silent, Silent, 3, 10 * s, 60 * s},
		{"however often", Silent, Silent, 1000, 10 * s, 60 * s},
		{"however often, of the shortest", Silent, Silent, 1000, time.Nanosecond, 64 * time.Nanosecond},
		{"what was asked for is not cut to a minute", Silent, Silent, 0, 90 * s, 90 * s},
		{"and then not doubled", Silent, Silent, 5, 90 * s, 90 * s},
		{"a master that does not serve", NotServing, NotServing, 1, 10 * s, 20 * s},
		{"no cooldown", Silent, Silent, 5, 0, 0},
		{"a server that is gone", Gone, Gone, 0, 10 * s, 0},
		{"one that was chosen again, and refuses again", Gone, Gone, 2, 10 * s, 40 * s},
		{"silence after what was gone", Silent, Gone, 5, 10 * s, 0},
		{"silence after what did not serve", Silent, NotServing, 5, 10 * s, 0},
		{"no service after silence", NotServing, Silent, 5, 10 * s, 0},
		{"silence after an order", Silent, "", 0, 10 * s, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := votedDown(c.by, c.last, c.repeats, c.cooldown)
			v.Memory.EpochSeen = v.Now
			if c.repeats == 0 { // another was master before
				v.State.Record.Eligible["b"] = Member{RunID: "run-b", MasterOf: v.State.Record.Epoch - 1}
			}
			until := v.cooldown(Count(v.State))
			if c.want == 0 {
				if until > v.Now || !does[Elect](v) {
					t.Errorf("it is waited for until %s after the change", until-v.Now)
				}
				return
			}
			if until != v.Memory.EpochSeen+c.want {
				t.Errorf("it is waited for until %s after the change, want %s", until-v.Memory.EpochSeen, c.want)
			}
			v.Now = v.Memory.EpochSeen + c.want - time.Nanosecond
			d := Decide(v)
			if said := strings.Join(d.Waits, "; "); does[Elect](v) || d.Wake != until || !strings.Contains(said, "until it has cooled down") {
				t.Errorf("elects %v, looks again %s after the change, says %q", does[Elect](v), d.Wake-v.Memory.EpochSeen, said)
			}
			if v.Now = until; !does[Elect](v) {
				t.Errorf("nothing is done when it has cooled down: %v", Decide(v).Waits)
			}
		})
	}
}

// Changes of master in a row for the same evidence are counted, and another evidence begins anew. What an operator ordered is counted
// only if it came to nothing.
func TestRepeats(t *testing.T) {
	for _, c := range []struct {
		name   string
		last   Evidence
		by     Evidence
		kind   ElectionKind
		chosen string
		want   int
	}{
		{"the same evidence again", Silent, Silent, ForFailure, "b", 5},
		{"another evidence", Silent, Gone, ForFailure, "b", 0},
		{"an order after a failure", Silent, "", ForOrder, "b", 0},
		{"an order after an order", "", "", ForOrder, "b", 0},
		{"a failure after an order", "", Silent, ForFailure, "b", 0},
		{"a switchover that came to nothing, again", "", "", ForSwitchover, "a", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &View{Now: time.Hour, Agent: "x", State: electing(func(s *State) {
				s.Record.Evidence, s.Record.Repeats = c.last, 4
				s.Record.Election.Evidence, s.Record.Election.Kind = c.by, c.kind
			})}
			next := v.commit(Choice{Node: c.chosen}, "it is dead").Record
			if next.Evidence != c.by || next.Repeats != c.want {
				t.Errorf("evidence %q for the %dth time, want %q and %d", next.Evidence, next.Repeats, c.by, c.want)
			}
		})
	}
}

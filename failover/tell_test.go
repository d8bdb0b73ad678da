package failover

import (
	"testing"
	"time"
)

// watching is the view of agent-c, which has something against the master b.
func watching(change func(v *View)) *View {
	return standing(func(v *View) {
		v.Agent, v.Local = "agent-c", nil
		v.State.Record.Lineage = append(v.State.Record.Lineage, Opening{Epoch: 2, ReplID: "r2", From: "r1"})
		v.State.Nodes["b"] = Report{Node: "b", Agent: "agent-b", RunID: "run-b", State: StateOpen, Epoch: 2}
		v.Judgement = Judgement{Epoch: 2, Master: "b", Verdict: Down, Evidence: Gone, Cause: "connection refused"}
		if change != nil {
			change(v)
		}
	})
}

// action is the first of its kind that a view asks for.
func action[A Action](v *View) (a A, ok bool) {
	for _, each := range Decide(v).Actions {
		if a, ok = each.(A); ok {
			return a, true
		}
	}
	return a, false
}

// later lets time pass.
func later(v *View, d time.Duration) {
	v.Now += d
	v.Wall = v.Wall.Add(d)
	v.Note()
}

var gone = Vote{Epoch: 2, Master: "b", Verdict: Down, Evidence: Gone, Cause: "connection refused", Since: time.Unix(1, 0)}

// agreed has the view tell its vote, and hear that of a second agent: the quorum is there.
func agreed(v *View) TellVote {
	told := tells(v)
	v.HearVote("agent-b", gone)
	return told
}

// tells has the view tell its vote.
func tells(v *View) TellVote {
	told, _ := action[TellVote](v)
	v.NoteToldVote(told)
	return told
}

// A vote is told at once, and written only when no election came of it.
func TestVotesAreToldAndThenWritten(t *testing.T) {
	v := watching(nil)
	told, ok := action[TellVote](v)
	if _, written := action[PutVote](v); !ok || written {
		t.Fatalf("told %v, written %v", ok, written)
	}
	v.NoteToldVote(told)
	later(v, time.Millisecond)
	if does[TellVote](v) || does[PutVote](v) {
		t.Error("it is told or written again")
	}
	if n := len(Count(v.State).Down); n != 1 {
		t.Errorf("%d votes, want the own one", n)
	}
	later(v, writeAfter)
	put, ok := action[PutVote](v)
	if !ok || !put.Vote.same(gone) {
		t.Fatalf("not written: %v", put)
	}
	put.Vote.Index = 30
	v.State.Votes = map[string]Vote{"agent-c": put.Vote}
	v.Judgement = Judgement{}
	later(v, time.Millisecond)
	if back, ok := action[PutVote](v); !ok || back.Vote.Verdict != "" || back.Vote.Epoch != 2 {
		t.Errorf("not taken back: %v", Decide(v).Actions)
	}
}

// Nor is it written while the quorum is there, which is what an election rests on; but before what was told is forgotten.
func TestAVoteIsNotWrittenDuringAnElection(t *testing.T) {
	v := watching(nil)
	agreed(v)
	later(v, writeAfter)
	if does[PutVote](v) {
		t.Error("written while an election is on its way")
	}
	later(v, heardFor/2)
	if !does[PutVote](v) {
		t.Error("not written though no election came")
	}
}

// A vote that nobody could be told is written at once; so is, after a moment, one that would have to be heard by the agent that holds the lock.
func TestVotesThatConsulMustTell(t *testing.T) {
	v := watching(nil)
	v.NoteUntold(agreed(v))
	if !does[PutVote](v) {
		t.Error("nobody was told, and it is not written")
	}
	v = watching(func(v *View) { delete(v.State.Agents, "agent-a") })
	v.NoteUntold(agreed(v))
	if does[PutVote](v) {
		t.Error("written by who elects first, before its election")
	}
	v = watching(func(v *View) { delete(v.State.Agents, "agent-a") })
	tells(v)
	later(v, writeAfter)
	if does[PutVote](v) {
		t.Error("written by who elects first, while it waits for a second vote")
	}
	later(v, heardFor/2)
	if !does[PutVote](v) {
		t.Error("not written though no second vote came")
	}
	v = watching(func(v *View) { v.State.Leader = "agent-a" })
	agreed(v)
	later(v, writeAfter)
	if !does[PutVote](v) {
		t.Error("another agent leads, and it is not written")
	}
}

// An election rests on votes that were told, and says that Consul has none.
func TestToldVotesBringAnElection(t *testing.T) {
	v := watching(nil)
	tells(v)
	v.HearVote("agent-x", gone) // the group does not know it
	later(v, time.Millisecond)
	if does[Elect](v) {
		t.Fatal("elects on the vote of an agent that the group does not know")
	}
	v.HearVote("agent-b", gone)
	later(v, time.Millisecond)
	later(v, voteAfter) // for agent-a, which comes first and has not voted
	e, ok := action[Elect](v)
	if !ok || len(e.Votes) != 2 || e.Votes["agent-b"] != 0 || e.Votes["agent-c"] != 0 {
		t.Fatalf("elects %v on %v", ok, e.Votes)
	}
	v.Judgement = Judgement{}
	if does[Elect](v) {
		t.Error("elects on its own vote that it does not hold any more")
	}
}

// What was told holds for a second.
func TestToldVotesEnd(t *testing.T) {
	v := watching(nil)
	v.HearVote("agent-b", gone)
	later(v, time.Millisecond)
	if n := len(Count(v.State).Down); n != 1 {
		t.Fatalf("%d votes, want 1", n)
	}
	later(v, heardFor)
	if n := len(Count(v.State).Down); n != 0 {
		t.Errorf("%d votes after a second, want none", n)
	}
}

// What Consul has later than what was told counts.
func TestAVoteThatWasTakenBackInConsulDoesNotCount(t *testing.T) {
	v := watching(nil)
	v.HearVote("agent-b", gone)
	v.State.Votes = map[string]Vote{"agent-b": {Epoch: 2, Master: "b", Index: 25}}
	later(v, time.Millisecond)
	if n := len(Count(v.State).Down); n != 0 {
		t.Errorf("%d votes, want none", n)
	}
}

// A report that was told counts for its attempt alone, and waits for the record that it speaks of.
func TestToldReportsCountForTheirAttempt(t *testing.T) {
	frozen := Report{Node: "a", Agent: "agent-a", RunID: "run-a", State: StateFrozen, Epoch: 2, Attempt: 21, At: time.Unix(1, 0)}
	v := watching(nil)
	v.HearReport(frozen)
	later(v, time.Millisecond)
	if v.State.Nodes["a"].Attempt != 0 {
		t.Fatal("it counts before its record is known")
	}
	next := v.State.Record.Clone()
	next.Phase, next.Election = Electing, &Election{Kind: ForFailure, Evidence: Gone}
	v.State.Record, v.State.RecordIndex = next, 21
	later(v, time.Millisecond)
	if v.State.Nodes["a"] != frozen {
		t.Errorf("the leader has %+v", v.State.Nodes["a"])
	}
	paused := frozen
	paused.State, paused.At = StatePaused, frozen.At.Add(-time.Millisecond)
	v.HearReport(paused)
	later(v, time.Millisecond)
	if v.State.Nodes["a"] != frozen {
		t.Errorf("after one that was overtaken, the leader has %+v", v.State.Nodes["a"])
	}
	v.State.Nodes, v.State.RecordIndex = nil, 22
	later(v, time.Millisecond)
	if v.State.Nodes["a"].Attempt != 0 {
		t.Error("it counts for another attempt")
	}
}

// What was told is no ground for an election while Consul does not answer: it could not be committed, and whoever may have begun
// one promises nothing.
func TestNoElectionOnWhatWasToldWhileConsulIsAway(t *testing.T) {
	v := watching(nil)
	tells(v)
	v.HearVote("agent-b", gone)
	v.Lease.Begun = v.Now - v.Fence()
	later(v, time.Millisecond)
	if n := len(Count(v.State).Down); n != 0 {
		t.Errorf("%d votes, want none", n)
	}
	later(v, voteAfter)
	if does[Elect](v) {
		t.Error("elects")
	}
}

// A veto is written at once, and told: silence is voted on soon after it.
func TestAVetoIsToldAndWritten(t *testing.T) {
	v := watching(func(v *View) { v.Judgement.Verdict, v.Judgement.Cause = Busy, "a script" })
	if !does[TellVote](v) || !does[PutVote](v) {
		t.Errorf("asks for %v", Decide(v).Actions)
	}
}

// A vote that was told is taken back in Consul, even if it never stood there and is told no more.
func TestAToldVoteIsTakenBack(t *testing.T) {
	v := watching(nil)
	tells(v)
	v.Judgement = Judgement{}
	later(v, 2*heardFor)
	if back, ok := action[PutVote](v); !ok || back.Vote.Verdict != "" {
		t.Errorf("asks for %v", Decide(v).Actions)
	}
}

// A vote that was overtaken on its way by one that took it back counts no more.
func TestAVoteThatWasTakenBackDoesNotComeAgain(t *testing.T) {
	v := watching(nil)
	back := gone
	back.Verdict, back.Evidence, back.Since = "", "", gone.Since.Add(time.Second)
	v.HearVote("agent-b", back)
	v.HearVote("agent-b", gone)
	if down := Count(v.State).Down; len(down) != 0 {
		t.Errorf("%v vote it down", down)
	}
}

// In a crowd of groups that change masters a vote is written later, and told again before it ceases to hold.
func TestVoteInACrowd(t *testing.T) {
	v := watching(nil)
	v.Crowd = 49
	told := agreed(v)
	for {
		later(v, heardFor/2)
		v.Lease.Begun = v.Now
		v.HearVote("agent-b", gone)
		if v.Now >= v.Memory.Told.VotedAt+v.Crowded(heardFor/2) {
			break
		}
		again, ok := action[TellVote](v)
		if !ok || does[PutVote](v) || again.Vote.Since != told.Vote.Since {
			t.Fatalf("%v after it was told: %v", v.Now-v.Memory.Told.VotedAt, Decide(v).Actions)
		}
		v.NoteToldVote(again)
	}
	if !does[PutVote](v) {
		t.Errorf("not written: %v", Decide(v).Actions)
	}
}

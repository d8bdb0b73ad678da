package failover

import (
	"testing"
	"time"
)

// A turn for a full resync that came to nothing goes to the next who waits, and not back to whoever let it pass; one that was
// begun and is not finished keeps it for a while, and not for ever.
func TestTurnsOfTheDead(t *testing.T) {
	for _, c := range []struct {
		name  string
		a     Report // the last of a machine that may have died
		after time.Duration
		turn  string
	}{
		{"it has not begun", Report{State: StateFrozen}, turnFor - time.Second, "a"},
		{"it never began", Report{State: StateFrozen}, turnFor, "c"},
		{"it is at it", Report{State: StateSyncing, HalfSynced: true}, turnFor, "a"},
		{"it was at it", Report{State: StateSyncing, HalfSynced: true}, syncFor + turnFor, "c"},
	} {
		v := standing(func(v *View) {
			r := v.State.Record
			r.Lineage = append(r.Lineage, Opening{Epoch: 2, ReplID: "r2", From: "r1"})
			r.Eligible = map[string]Member{"a": {Syncing: "run-a"}, "c": {}}
			v.Local[0].State, v.Local[0].MaybeOpen, v.Local[0].Position = StateOpen, true, Position{ReplID: "r2", ReplID2: "r1"}
			c.a.Node, c.a.Agent, c.a.RunID, c.a.Epoch = "a", "agent-a", "run-a", 2
			v.State.Nodes = map[string]Report{"a": c.a, "c": {Node: "c", Agent: "agent-c", RunID: "run-c", State: StateFrozen, Epoch: 2}}
		})
		granted, amends := "a", 0
		for end := v.Now + c.after; v.Now <= end; v.Now += time.Second {
			v.Lease.Begun = v.Now
			v.Note()
			for _, a := range Decide(v).Actions {
				if amend, ok := a.(Amend); ok {
					v.State.Record, v.Lease.Record = amend.Record, amend.Record
					amends++
				}
			}
			v.Note()
		}
		for name, m := range v.State.Record.Eligible {
			if m.Syncing != "" {
				granted = name
			}
		}
		if granted != c.turn || amends > 2 {
			t.Errorf("%s: the turn is %s's, want %s; the record was amended %d times", c.name, granted, c.turn, amends)
		}
	}
}

// An open server is persisted, which is one more opening, only when the one before is in the record.
func TestPersistOfAnOpenServer(t *testing.T) {
	for replID, want := range map[string]bool{"r1": true, "r2": false} {
		v := standing(func(v *View) {
			v.Local[0].State, v.Local[0].MaybeOpen, v.Local[0].Persisted = StateOpen, true, false
			v.Local[0].Position = Position{ReplID: replID, Offset: 5, ReplID2: "r0"}
		})
		if got := does[Persist](v); got != want {
			t.Errorf("open at %s: persists %v, want %v", replID, got, want)
		}
	}
}

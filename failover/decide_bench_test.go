package failover

import (
	"testing"
	"time"
)

// BenchmarkDecide is one look at a group in which nothing happens, as every agent takes several a second for each.
func BenchmarkDecide(b *testing.B) {
	for _, own := range []string{"a", "b"} {
		b.Run(map[string]string{"a": "master", "b": "replica"}[own], func(b *testing.B) {
			v := calm(own)
			v.Note()
			if d := Decide(v); len(d.Actions)+len(d.Waits) > 0 {
				b.Fatalf("something is to be done: %v %v", d.Actions, d.Waits)
			}
			for b.Loop() {
				v.Note()
				Decide(v)
			}
		})
	}
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

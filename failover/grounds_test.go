package failover

import (
	"maps"
	"testing"
)

// An election rests on no more votes than it needs, the strongest; and where one of them is of silence, on there being no veto.
func TestGroundsOfAnElection(t *testing.T) {
	v := View{State: State{Record: &Record{Master: "m"}, Nodes: map[string]Report{"m": {Agent: "own"}}}}
	v.State.Votes = map[string]Vote{
		"a": {Evidence: Silent, Index: 1}, "b": {Evidence: Silent, Index: 2}, "c": {Evidence: Gone, Index: 3}, "own": {Evidence: Gone, Index: 4},
	}
	for _, c := range []struct {
		counted []string
		need    int
		want    map[string]uint64
	}{
		{nil, 2, map[string]uint64{}},
		{[]string{"a", "b", "c", "own"}, 2, map[string]uint64{"c": 3, "own": 4}},
		{[]string{"a", "b", "c"}, 1, map[string]uint64{"c": 3}},
		{[]string{"a", "b"}, 1, map[string]uint64{"a": 1, "own": 4}},
		{[]string{"a", "b", "c"}, 2, map[string]uint64{"a": 1, "c": 3, "own": 4}},
	} {
		if got := v.grounds(c.counted, c.need); !maps.Equal(got, c.want) {
			t.Errorf("%v, of which %d are needed: %v, want %v", c.counted, c.need, got, c.want)
		}
	}
}

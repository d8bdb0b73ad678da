package failover

import (
	"slices"
	"testing"
)

// Why the record's durability is not what the settings want is said, and what it takes.
func TestWhyDurabilityStays(t *testing.T) {
	const why = "durability stays wait:1, and does not become wait:2, until these have caught up or are forgotten: b, c"
	for _, c := range []struct {
		now, want string
		members   map[string]Member
		waits     []string
	}{
		{"wait:1", "wait:2", map[string]Member{"c": {}, "b": {}, "d": {RunID: "run-d"}}, []string{why}},
		{"wait:1", "wait:2", map[string]Member{"b": {RunID: "run-b"}}, nil},
		{"wait:2", "wait:1", map[string]Member{"b": {}}, nil},
		{"none", "", map[string]Member{"b": {}}, nil},
	} {
		s := DefaultSettings()
		s.Durability = c.want
		v := &View{State: State{Settings: &s}}
		next := sampleRecord()
		next.Durability, next.Eligible = c.now, c.members
		v.keepDurability(next)
		var d Decision
		if v.sayDurability(&d, next); !slices.Equal(d.Waits, c.waits) {
			t.Errorf("from %s to %s with %v: %q, want %q", c.now, c.want, c.members, d.Waits, c.waits)
		}
	}
}

package failover

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// An agent decides again when there is news, and at the time that the decision names. So nothing may become due before
// that time by the mere passing of time.
func TestNothingIsDueBeforeItsTime(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld([]string{"a", "b", "c"}[:2+r.IntN(2)]...)
		w.impede(r)
		for range 600 {
			if r.IntN(20) == 0 {
				w.fault(r)
			}
			w.tick()
			for _, a := range w.agents {
				if early := dueEarly(a.view, r); early != "" && a.alive {
					t.Fatalf("seed %d: agent %s: %s\n%s", seed, a.name, early, w)
				}
			}
		}
	}
}

// dueEarly looks at a view again some time before it is due.
func dueEarly(v View, r *rand.Rand) string {
	v.Memory.Reach, v.Local = maps.Clone(v.Memory.Reach), slices.Clone(v.Local)
	v.Note()
	first := Decide(&v)
	const second = time.Second // the agent looks again after this long in any case
	next := v.Now + second
	if first.Wake != 0 {
		next = min(next, first.Wake)
	}
	if next <= v.Now {
		return ""
	}
	was := v.Now
	v.Now += time.Duration(r.Int64N(int64(next - v.Now)))
	v.Note()
	now := Decide(&v)
	for _, act := range now.Actions {
		if !slices.ContainsFunc(first.Actions, func(b Action) bool { return b.Key() == act.Key() }) {
			return fmt.Sprintf("%q is due at %s, and the next look would have been at %s", act, v.Now-was, next-was)
		}
	}
	return ""
}

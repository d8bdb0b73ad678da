package failover

import "testing"

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

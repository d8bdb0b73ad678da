//go:build rulesout

package failover

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var upTo = flag.Uint64("up-to", 20000, "how many random histories a rule that was taken away has to be found out in")

// TestEveryRuleIsNeeded takes the rules away, one after the other: random histories, or the
// situation that it is for, must find each of them out.
func TestEveryRuleIsNeeded(t *testing.T) {
	for _, rule := range Rules {
		t.Run(string(rule), func(t *testing.T) {
			Removed = rule
			defer func() { Removed = "" }()
			// What takes a rare order of events has a situation of its own.
			if holds, ok := situations[rule]; ok {
				if err := holds(); err != nil {
					t.Logf("in its situation: %v", err)
					return
				}
				t.Error("its situation does not find it out")
			}
			seed, err := findViolation(*upTo)
			if err == nil {
				t.Fatalf("%d histories without a violation", *upTo)
			}
			t.Logf("seed %d: %v", seed, err)
		})
	}
}

// findViolation plays histories on all processors until one breaks a promise.
func findViolation(upTo uint64) (seed uint64, err error) {
	var next atomic.Uint64
	var found sync.Once
	var over atomic.Bool
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for s := next.Add(1); s <= upTo && !over.Load(); s = next.Add(1) {
				if _, e := history(s); e != nil {
					found.Do(func() { seed, err = s, e })
					over.Store(true)
				}
			}
		})
	}
	all.Wait()
	return seed, err
}

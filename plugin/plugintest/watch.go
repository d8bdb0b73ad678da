package plugintest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Watch collects what a driver observes until the end of the test.
type Watch struct {
	t testing.TB

	mu  sync.Mutex
	all []Seen
}

// Seen is an observation and when it arrived.
type Seen struct {
	plugin.Observation
	At time.Time
}

// Observe begins to collect.
func Observe(t testing.TB, d plugin.Driver) *Watch {
	t.Helper()
	w := &Watch{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		err := d.Observe(ctx, func(o plugin.Observation) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.all = append(w.all, Seen{o, time.Now()})
		})
		if ctx.Err() != nil && err != nil {
			t.Errorf("Observe returned %v instead of nil when its context ended", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return w
}

// Await returns the first observation of a server that arrived after since and is as wanted.
func (w *Watch) Await(server string, since time.Time, what string, want func(plugin.Observation) bool) Seen {
	w.t.Helper()
	var found Seen
	ok := within(func() bool {
		for _, seen := range w.After(server, since) {
			if want(seen.Observation) {
				found = seen
				return true
			}
		}
		return false
	})
	if !ok {
		after := w.After(server, since)
		w.t.Fatalf("server %q: not observed within %v: %s; the last of %d observations: %+v", server, patience, what,
			len(after), after[max(0, len(after)-3):])
	}
	return found
}

// After returns what was observed of a server after a time.
func (w *Watch) After(server string, since time.Time) []Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	var some []Seen
	for _, seen := range w.all {
		if seen.Server == server && seen.At.After(since) {
			some = append(some, seen)
		}
	}
	return some
}

// Never ends the test when a server was observed with a link since.
func (w *Watch) Never(server string, since time.Time, links ...plugin.Link) {
	w.t.Helper()
	for _, seen := range w.After(server, since) {
		if slices.Contains(links, seen.Link) {
			w.t.Fatalf("server %q was observed %s %v after: %s", server, seen.Link, seen.At.Sub(since), seen.Cause)
		}
	}
}

func within(is func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if is() {
			return true
		}
	}
	return false
}

// IsUp: answered, and Info was read.
func IsUp(o plugin.Observation) bool { return o.Link == plugin.LinkUp && o.Info != nil }

// IsOpen, IsFrozen: observed as such.
func IsOpen(o plugin.Observation) bool { return IsUp(o) && o.Info.Open }

// IsFrozen: observed as frozen.
func IsFrozen(o plugin.Observation) bool { return IsUp(o) && o.Info.Frozen }

// IsLink: observed with this link.
func IsLink(l plugin.Link) func(plugin.Observation) bool {
	return func(o plugin.Observation) bool { return o.Link == l }
}

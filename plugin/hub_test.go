package plugin

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestHubTellsTheLastAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		h.Push(Observation{Server: "a", Cause: "before"})
		ctx, cancel := context.WithCancel(t.Context())
		release, told, done := make(chan struct{}), []string{}, make(chan error)
		go func() {
			done <- h.Observe(ctx, func(o Observation) {
				<-release
				told = append(told, o.Server+" "+o.Cause)
			})
		}()
		synctest.Wait() // it is held in the first observation
		for _, cause := range []string{"1", "2", "3"} {
			h.Push(Observation{Server: "a", Cause: cause})
			h.Push(Observation{Server: "b", Cause: cause})
		}
		h.Push(Observation{Server: "c"})
		h.Forget("c")
		close(release)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if want := []string{"a before", "a 3", "b 3"}; len(told) != 3 || told[0] != want[0] || told[1] != want[1] || told[2] != want[2] {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

package agent

import (
	"testing"
	"testing/synctest"
	"time"
)

// Pauses double up to eight times the first, and begin anew after a success.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b backoff
		expect := func(want time.Duration) {
			t.Helper()
			begun := time.Now()
			b.pause(t.Context())
			if got := time.Since(begun); got != want {
				t.Errorf("paused for %s, want %s", got, want)
			}
		}
		for _, times := range []time.Duration{1, 2, 4, 8, 8} {
			expect(times * errorPause)
		}
		b.reset()
		expect(errorPause)
	})
}

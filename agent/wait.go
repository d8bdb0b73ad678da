package agent

import (
	"context"
	"time"
)

// sleep waits for as long as d says, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// errorPause is how long something that failed at once waits to be done again.
const errorPause = 20 * time.Millisecond

// pauseAfterError keeps an order that fails at once from being repeated in a tight loop.
func pauseAfterError(ctx context.Context) { sleep(ctx, errorPause) }

// poke wakes whoever reads the channel; twice is once.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

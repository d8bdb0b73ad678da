package agent

import (
	"context"
	"sync/atomic"
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

// backoff pauses longer after each failure in a row, up to eight times as long: a hundred groups that each try every few
// milliseconds to reach a Consul that is away would take a whole processor.
type backoff struct{ failures atomic.Int32 }

func (b *backoff) pause(ctx context.Context) { sleep(ctx, errorPause<<min(b.failures.Add(1)-1, 3)) }

func (b *backoff) reset() { b.failures.Store(0) }

// poke wakes whoever reads the channel; twice is once.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

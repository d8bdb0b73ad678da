package sandbox

import (
	"context"
	"fmt"
	"time"
)

// pollEvery is how often a condition is looked at.
const pollEvery = 5 * time.Millisecond

// WaitFor looks at a condition until it holds (nil) or ctx ends; the error then says what was waited for and why it
// did not hold when it was last looked at.
func WaitFor(ctx context.Context, what string, holds func(ctx context.Context) error) error {
	var err error
	for {
		now := holds(ctx)
		if now == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil {
			err = now // what the end of the wait itself has cut off says nothing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %w", what, context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}

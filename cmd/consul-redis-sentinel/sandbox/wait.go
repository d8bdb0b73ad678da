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
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %w", what, context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}

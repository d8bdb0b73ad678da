package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// callTimeout is how long the client of Consul waits for an answer, as package catalog does.
const callTimeout = 2 * time.Second

type answer[T any] struct {
	value T
	err   error
}

// ask sends a request to Consul and waits for the answer. serve runs there, under the world's lock, if the request
// arrives; that may be after the sender has given up. What is lost fails after a while, like a connection that ends, or
// never, like one that hangs.
func ask[T any](ctx context.Context, l *life, what string, writes bool, serve func() (T, error)) (T, error) {
	l.wait()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, w := l.m, l.m.w
	back := make(chan answer[T], 1)
	w.mu.Lock()
	dice, air := m.roll(what), &w.weather
	out, in := air.consul.draw(dice), air.consul.draw(dice)
	lostOut, lostIn, hangs := dice.Float64() < air.lost, dice.Float64() < air.lost, dice.IntN(2) == 0
	if writes && dice.Float64() < air.late {
		out += upTo(dice, 4*time.Second)
	}
	dead := ctx.Err() != nil || l.crashed
	w.mu.Unlock()
	lose := func(after time.Duration) {
		if hangs {
			return
		}
		time.AfterFunc(after, func() {
			err := fmt.Errorf("%s: rpc error: connection lost", what)
			if writes {
				err = fmt.Errorf("%w: %w", catalog.ErrUnknownOutcome, err)
			}
			back <- answer[T]{err: err}
		})
	}
	if !dead {
		time.AfterFunc(out, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if lostOut || !m.toConsul() {
				lose(in)
				return
			}
			v, err := serve()
			if lostIn {
				lose(in)
				return
			}
			time.AfterFunc(in, func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				if !m.fromConsul() {
					lose(ms)
					return
				}
				back <- answer[T]{v, err}
			})
		})
	}
	var a answer[T]
	select {
	case a = <-back:
	case <-ctx.Done():
		a.err = fmt.Errorf("%s: %w", what, ctx.Err())
		if writes {
			a.err = fmt.Errorf("%w: %w", catalog.ErrUnknownOutcome, a.err)
		}
	}
	l.wait()
	return a.value, a.err
}

package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/agent"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
)

// peerClient is one agent's way to the others.
type peerClient struct{ l *life }

func (l *life) peers(h peers.Handler) agent.Peers {
	w := l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	l.handler = h
	return peerClient{l}
}

// errUnreached is what is known of an agent that does not answer.
var errUnreached = errors.New("no answer")

// meet sends something to another agent and waits for its answer.
func meet[T any](ctx context.Context, l *life, to string, serve func(context.Context, peers.Handler) T) (v T, err error) {
	l.wait()
	w := l.m.w
	back := make(chan answer[T], 1)
	w.mu.Lock()
	m := w.machine(to)
	out, in := w.weather.peers.draw(l.m.roll("to "+to)), w.weather.peers.draw(l.m.roll("from "+to))
	dead := l.crashed
	w.mu.Unlock()
	time.AfterFunc(out, func() {
		w.mu.Lock()
		other := m.life
		arrives := !dead && m.hears(l.m) && other != nil && other.handler != nil
		w.mu.Unlock()
		if !arrives {
			return
		}
		ctx, cancel := context.WithTimeout(other.ctx, 5*time.Second)
		defer cancel()
		v := serve(ctx, other.handler)
		time.AfterFunc(in, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if l.m.hears(m) {
				back <- answer[T]{value: v}
			}
		})
	})
	select {
	case a := <-back:
		v = a.value
	case <-ctx.Done():
		err = errUnreached
	}
	l.wait()
	return v, err
}

// Promise implements agent.Peers.
func (c peerClient) Promise(ctx context.Context, _, name string, r peers.PromiseRequest) (peers.PromiseAnswer, error) {
	m := c.l.m
	sent := m.w.now()
	a, err := meet(ctx, c.l, name, func(ctx context.Context, h peers.Handler) peers.PromiseAnswer { return h.Promise(ctx, r) })
	if err == nil && a.Given {
		m.w.mu.Lock()
		defer m.w.mu.Unlock()
		m.promises[name] = max(m.promises[name], sent)
	}
	return a, err
}

// Frozen implements agent.Peers.
func (c peerClient) Frozen(ctx context.Context, _, name string, n peers.FrozenNotice) error {
	_, err := meet(ctx, c.l, name, func(ctx context.Context, h peers.Handler) bool { h.Frozen(ctx, n); return true })
	return err
}

// Tell implements agent.Peers.
func (c peerClient) Tell(ctx context.Context, _, name string, n peers.News) error {
	refused, err := meet(ctx, c.l, name, func(ctx context.Context, h peers.Handler) error { return h.Tell(ctx, n) })
	return errors.Join(refused, err)
}

// promised is when the oldest of the newest promises of all members' agents was asked for; now if there are none. What was
// promised before a node was a member needs nothing of it: the leader of an election that it stands in waits later.
func (m *machine) promised() time.Duration {
	w := m.w
	oldest := w.now()
	for node := range w.consul.state.Record.Eligible {
		if s := w.serverOf(node); s != nil && s.m != m {
			oldest = min(oldest, max(m.promises[s.m.name], w.watchdog.entered[node]))
		}
	}
	return oldest
}

func (w *world) machine(name string) *machine {
	for _, m := range w.machines {
		if m.name == name {
			return m
		}
	}
	panic("no machine " + name)
}

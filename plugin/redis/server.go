package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// warmConns is how many connections for orders are kept open: one, and one for a Freeze beside it. More calls at
// the same time make connections of their own, so no order ever queues in this process.
const warmConns = 2

// server is a connected server: what is observed of it, and the way orders take to it.
type server struct {
	settings plugin.Server
	dialer   *dialer
	logger   hclog.Logger
	watcher  *watcher
	end      context.CancelFunc

	// roles orders Open, Follow and Persist. Freeze never waits for it: it ends the connections of the others.
	roles sync.Mutex
	// freezes counts the calls of Freeze: an order that was called before one is not given after it.
	freezes atomic.Int64
	// paused tells that writes were held back and neither unpaused nor frozen since.
	paused atomic.Bool
	// orders counts the beginnings and ends of orders: INFO asked before an order ended is out of date.
	orders atomic.Int64

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

func newServer(settings plugin.Server, d *dialer, logger hclog.Logger) *server {
	return &server{settings: settings, dialer: d, logger: logger, end: func() {}}
}

// observe begins to observe the server.
func (s *server) observe(push func(plugin.Observation)) {
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	s.watcher = newWatcher(s.settings, s.dialer, s.logger, s.orders.Load, push)
	if !s.settings.Remote {
		s.watcher.connected = func() { go s.warm(ctx) }
	}
	go s.watcher.run(ctx)
}

// close ends the observation and the connections, and waits for nothing.
func (s *server) close() {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.closeIdle()
}

func (s *server) closeIdle() {
	for _, c := range s.idle {
		_ = c.Close()
	}
	s.idle = nil
}

// warm sees to a connection that the next order will take: one of this run is left after a freeze, none after another.
func (s *server) warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, _, err := s.ask(ctx, command{"PING"})
	s.mu.Lock()
	s.closeIdle() // perhaps of the run before
	s.mu.Unlock()
	if err == nil {
		s.release(c)
	}
}

// fresh makes a connection and asks on it.
func (s *server) fresh(ctx context.Context, commands ...command) (*conn, []reply, error) {
	c, err := s.dialer.dial(ctx)
	if err != nil {
		return nil, nil, s.unreachable(err)
	}
	auth := s.dialer.auth()
	replies, err := c.do(ctx, append(auth, commands...)...)
	if err != nil {
		_ = c.Close()
		return nil, nil, s.unreachable(err)
	}
	if len(auth) > 0 {
		c.authFailed = s.dialer.withoutSecrets(replies[0].failed)
	}
	replies = replies[len(auth):]
	c.explain(replies)
	return c, replies, nil
}

// explain adds to a refusal for want of authentication why there is none.
func (c *conn) explain(replies []reply) {
	if first := &replies[0]; c.authFailed != "" && strings.HasPrefix(first.failed, "NOAUTH") {
		first.failed += " (AUTH was answered: " + c.authFailed + ")"
	}
}

// ask sends commands in one write, on a connection that is held open if there is one, and returns the replies and
// the connection, which the caller releases. Since a held connection may have ended unseen, the commands are sent
// a second time on a fresh one if no reply came: they must bear that.
func (s *server) ask(ctx context.Context, commands ...command) (*conn, []reply, error) {
	s.mu.Lock()
	var held *conn
	if n := len(s.idle); n > 0 {
		held, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if held == nil {
		return s.fresh(ctx, commands...)
	}
	replies, err := held.do(ctx, commands...)
	switch {
	case err == nil:
		held.explain(replies)
		return held, replies, nil
	case ctx.Err() != nil:
		_ = held.Close()
		return nil, nil, s.unreachable(err)
	}
	_ = held.Close()
	return s.fresh(ctx, commands...)
}

// order sends commands on a connection on which something was read, once.
func (s *server) order(ctx context.Context, c *conn, commands ...command) ([]reply, error) {
	replies, err := c.do(ctx, commands...)
	if err != nil {
		_ = c.Close()
		return nil, s.unreachable(err)
	}
	return replies, nil
}

// release keeps a connection for the next order, which authenticates anew if this one could not. One that was closed is noticed by
// that order.
func (s *server) release(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || c.authFailed != "" || len(s.idle) >= warmConns {
		_ = c.Close()
		return
	}
	s.idle = append(s.idle, c)
}

// unreachable is what a call says when no reply came.
func (s *server) unreachable(err error) error {
	if errors.Is(err, errProtocol) {
		return fmt.Errorf("%s: %w", s.settings.Address, err)
	}
	return fmt.Errorf("%w: %s: %w", plugin.ErrUnreachable, s.settings.Address, err)
}

// ordering brackets an order that changes the role, so that the new role is read and pushed at once and no old
// INFO is pushed after it.
func (s *server) ordering() (done func()) {
	s.orders.Add(1)
	return func() {
		s.orders.Add(1)
		s.watcher.readInfoNow()
	}
}

// turn is the right of one order to change the role.
type turn struct {
	s       *server
	freezes int64
}

// takeTurn waits for other orders but Freeze, no longer than the call lasts.
func (s *server) takeTurn(ctx context.Context) (*turn, error) {
	t := &turn{s: s, freezes: s.freezes.Load()}
	for !s.roles.TryLock() {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another order to %s: %w", s.settings.Name, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return t, nil
}

func (t *turn) end() { t.s.roles.Unlock() }

// order sends commands that change the role on c, on which something was read in this turn. A freeze that was
// called meanwhile ends the turn: one that is done has ended c as well, one that comes later still does.
func (t *turn) order(ctx context.Context, c *conn, commands ...command) ([]reply, error) {
	if t.s.freezes.Load() != t.freezes {
		_ = c.Close()
		return nil, errors.New("a freeze came between")
	}
	return t.s.order(ctx, c, commands...)
}

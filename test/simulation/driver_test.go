package simulation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/agent"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// driver is the driver of one run of an agent, with the rules of the real one: orders go over connections of their own,
// a freeze ends those, and what was called before a freeze is not sent after it.
type driver struct {
	l       *life
	hub     plugin.Hub
	watches map[string]*watch
	freezes int
	away    bool // its process is being started again
	closed  bool
}

var _ plugin.Driver = (*driver)(nil)

func newDriver(l *life) *driver { return &driver{l: l, watches: map[string]*watch{}} }

func (d *driver) close() {
	d.l.m.w.mu.Lock()
	defer d.l.m.w.mu.Unlock()
	d.closed = true
	for _, each := range d.watches {
		each.timer.Stop()
	}
}

// Capabilities implements plugin.Driver.
func (d *driver) Capabilities(context.Context) (plugin.Capabilities, error) {
	return plugin.Capabilities{Name: "redis", Pause: true, Persist: true}, nil
}

// Connect implements plugin.Driver.
func (d *driver) Connect(_ context.Context, s plugin.Server) error {
	d.l.wait()
	w := d.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.closed {
		return plugin.ErrDriverDown
	}
	if old := d.watches[s.Name]; old != nil {
		old.timer.Stop()
	}
	d.watches[s.Name] = d.newWatch(s)
	return nil
}

// Disconnect implements plugin.Driver.
func (d *driver) Disconnect(_ context.Context, name string) error {
	d.l.wait()
	w := d.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := d.watches[name]; old != nil {
		old.timer.Stop()
		delete(d.watches, name)
		d.hub.Forget(name)
	}
	return nil
}

// Observe implements plugin.Driver. What is seen may arrive after the answer to an order that was given later.
func (d *driver) Observe(ctx context.Context, observe func(plugin.Observation)) error {
	w := d.l.m.w
	return d.hub.Observe(ctx, func(o plugin.Observation) {
		w.mu.Lock()
		late := w.weather.orders.draw(d.l.m.roll("observe"))
		w.mu.Unlock()
		sleep(ctx, late)
		d.l.wait()
		observe(o)
	})
}

// command sends something to the agent's own server on a connection and waits until it was carried out. do runs at the
// server, under the world's lock.
func (d *driver) command(ctx context.Context, what string, c *conn, do func(s *server) error) error {
	d.l.wait()
	m, w := d.l.m, d.l.m.w
	back := make(chan error, 1)
	w.mu.Lock()
	dice := m.roll("order " + what)
	out, in := w.weather.orders.draw(dice), w.weather.orders.draw(dice)
	switch {
	case d.away || d.closed:
		w.mu.Unlock()
		return plugin.ErrDriverDown
	case ctx.Err() != nil:
		w.mu.Unlock()
		return ctx.Err()
	}
	opening := func(n int) {
		if what == "open" || what == "persist" {
			m.server.ordered += n
		}
	}
	opening(1)
	w.mu.Unlock()
	answer := func(err error) {
		time.AfterFunc(in, func() { back <- err })
	}
	time.AfterFunc(out, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		m.server.take(request{c, func() { opening(-1); answer(do(m.server)) }, func(err error) {
			opening(-1)
			answer(fmt.Errorf("%w: %w", plugin.ErrUnreachable, err))
		}})
	})
	var err error
	select {
	case err = <-back:
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", plugin.ErrUnreachable, ctx.Err())
	}
	d.l.wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.away || d.closed {
		return plugin.ErrDriverDown
	}
	return err
}

// order asks a server something, and then orders something on the same connection, unless a freeze came between.
func (d *driver) order(ctx context.Context, what string, ask func(*server) error, do func(*server) error) error {
	c, w := &conn{}, d.l.m.w
	w.mu.Lock()
	turn := d.freezes
	d.l.m.server.ordered++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		d.l.m.server.ordered--
		w.mu.Unlock()
	}()
	if err := d.command(ctx, what, c, ask); err != nil {
		return err
	}
	w.mu.Lock()
	if turn != d.freezes {
		w.mu.Unlock()
		return errors.New("a freeze came between")
	}
	w.mu.Unlock()
	defer d.readInfoNow()
	return d.command(ctx, what, c, func(s *server) error {
		if s.isLoading() {
			return errLoading
		}
		return do(s)
	})
}

func nothing(*server) error { return nil }

// Freeze implements plugin.Driver.
func (d *driver) Freeze(ctx context.Context, _ string) (f plugin.Frozen, err error) {
	w := d.l.m.w
	w.mu.Lock()
	d.freezes++
	w.mu.Unlock()
	defer d.readInfoNow()
	c := &conn{}
	var answer plugin.Frozen
	err = d.command(ctx, "freeze", c, func(s *server) error {
		if s.isLoading() {
			return errLoading
		}
		answer = s.close(c)
		return nil
	})
	if err == nil {
		f = answer
	}
	return f, err
}

// Open implements plugin.Driver.
func (d *driver) Open(ctx context.Context, _, run string) (plugin.Position, error) {
	var at plugin.Position
	err := d.order(ctx, "open", func(s *server) error {
		if s.run != run {
			return plugin.ErrOtherRun
		}
		return nil
	}, func(s *server) error {
		s.openUp()
		at = s.position()
		at.Offset = at.Offset2
		return nil
	})
	if err != nil {
		return plugin.Position{}, err
	}
	return at, nil
}

// Follow implements plugin.Driver.
func (d *driver) Follow(ctx context.Context, _, run string, at plugin.Position, address string) error {
	return d.order(ctx, "follow", func(s *server) error {
		switch {
		case s.run != run:
			return plugin.ErrOtherRun
		case !s.frozen() || s.position() != at:
			return plugin.ErrMoved
		}
		return nil
	}, func(s *server) error {
		s.replicateFrom(address)
		return nil
	})
}

// Persist implements plugin.Driver.
func (d *driver) Persist(ctx context.Context, _ string) error {
	return d.order(ctx, "persist", nothing, func(s *server) error {
		s.persist()
		return nil
	})
}

// Pause implements plugin.Driver. Of replicas that lag it says so at once.
func (d *driver) Pause(ctx context.Context, _ string, length time.Duration) error {
	return d.command(ctx, "pause", &conn{}, func(s *server) error {
		s.paused = s.w.now() + length
		for _, r := range s.w.servers {
			if u := r.up; u.of(s) && u.acked < s.offset() {
				return plugin.ErrLagging
			}
		}
		return nil
	})
}

// Unpause implements plugin.Driver.
func (d *driver) Unpause(ctx context.Context, _ string) error {
	return d.command(ctx, "pause", &conn{}, func(s *server) error {
		s.paused = 0
		return nil
	})
}

// Probe implements plugin.Driver.
func (d *driver) Probe(ctx context.Context, _ plugin.Server) (plugin.Observation, error) {
	o := plugin.Observation{Link: plugin.LinkUp}
	err := d.command(ctx, "probe", &conn{}, func(s *server) error {
		o.Info = s.info()
		return nil
	})
	if err != nil {
		return plugin.Observation{Link: plugin.LinkUnknown}, err
	}
	return o, nil
}

// MinReplicas implements plugin.Driver; no server here has it.
func (d *driver) MinReplicas(context.Context, string) (int, error) { return 0, plugin.ErrUnsupported }

// SetMinReplicas implements plugin.Driver.
func (d *driver) SetMinReplicas(context.Context, string, int) error { return plugin.ErrUnsupported }

// EndClients implements plugin.Driver.
func (d *driver) EndClients(ctx context.Context, _ string) (n int, err error) {
	c := &conn{}
	err = d.command(ctx, "clients", c, func(s *server) error {
		s.endClients(c)
		return nil
	})
	return n, err
}

// Save implements plugin.Driver.
func (d *driver) Save(ctx context.Context, _, path string) error {
	return d.command(ctx, "save", &conn{}, func(s *server) error {
		if s.isLoading() {
			return errLoading
		}
		s.note("saves %d writes to a file", s.keys())
		s.w.watchdog.saves(s)
		return os.WriteFile(path, fmt.Appendf(nil, "%d writes, %d", s.keys(), s.sum(s.offset())), 0o600)
	})
}

// process is the process of a server, as its machine knows it.
type process struct {
	s   *server
	pid int
}

func (l *life) process(pid int, _ time.Duration) agent.Process {
	l.wait()
	w := l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := l.m.server; s != nil && s.alive && s.pid == pid {
		return process{s, pid}
	}
	return nil
}

func (p process) Ended() bool {
	p.s.w.mu.Lock()
	defer p.s.w.mu.Unlock()
	return p.ended()
}

func (p process) ended() bool { return !p.s.alive || p.s.pid != p.pid }

func (p process) Stat() (byte, time.Duration, bool) {
	p.s.w.mu.Lock()
	defer p.s.w.mu.Unlock()
	switch {
	case p.ended():
		return 0, 0, false
	case p.s.stopped:
		return 'T', 0, true
	case p.s.w.now() < p.s.busy:
		return 'R', p.s.busy - p.s.w.now(), true
	}
	return 'S', 0, true
}

func (p process) Kill(ctx context.Context) error {
	w := p.s.w
	w.mu.Lock()
	l, took := p.s.m.life, upTo(p.s.m.roll("kill"), 5*ms)
	w.mu.Unlock()
	if l != nil {
		l.wait()
	}
	sleep(ctx, took)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !p.ended() {
		p.s.note("is killed by its agent")
		if p.s.open {
			w.watchdog.closes(p.s)
		}
		p.s.kill(one(p.s.m.roll("kill"), keepsSaved, keepsNoStory))
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/test/hosts"
)

// warmUp is how many writes of every client must have been acknowledged before a fault.
const warmUp = 200

// outageLimit is how long an outage may last before a run is given up.
const outageLimit = 90 * time.Second

// measurement is one run under way.
type measurement struct {
	o         *options
	fault     kase
	system    system
	master    int
	downAfter time.Duration
	network   *hosts.Network // nil but for faults of the network
}

// measure starts an installation, makes one fault in it, and ends it.
func measure(ctx context.Context, o *options, fault kase, downAfter time.Duration, name string) (run *Run, err error) {
	m := &measurement{o: o, fault: fault, downAfter: downAfter}
	if fault.cut != nil {
		// One host more is for the clients.
		if m.network, err = hosts.NewNetwork(machines + 1); err != nil {
			return nil, err
		}
		defer m.network.Close()
	}
	s, err := newSystem(ctx, o, name, downAfter, m.network)
	if err != nil {
		return nil, err
	}
	m.system = s
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.logs())
		}
		keepLogs(o, s.dir())
		err = errors.Join(err, s.close())
	}()
	settling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if m.master, err = s.settle(settling); err != nil {
		return nil, err
	}
	if fault.prepare != nil {
		if err := fault.prepare(settling, s, m.master); err != nil {
			return nil, err
		}
	}
	// Timers of both systems stand anywhere when the fault comes.
	sleep(ctx, o.Settle/2+rand.N(o.Settle/2+1))
	if fault.measure != nil {
		return fault.measure(ctx, m)
	}
	return m.outage(ctx)
}

func loopback(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// from dials from a machine.
func (m *measurement) from(i int) dial {
	if m.network == nil {
		return loopback
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return m.network.Dial(ctx, i, network, addr)
	}
}

// clients are the clients of a run.
type clients struct {
	// first is the one without WAIT that polls.
	first *polled
	// writers are those who survive the fault and ask machines that do, too. oldSide are on the machine of a master
	// that is cut off, and ask what is there.
	writers, oldSide []*writer
}

func (m *measurement) startClients(ctx context.Context) *clients {
	d, ask := m.from(machines), others(m.master)
	poll := func(d dial, ask []int) *polled { return newPolled(ctx, d, m.o.Resolve, m.system.finder(d, ask)) }
	c := &clients{first: poll(d, ask)}
	c.writers = []*writer{
		startWriter(ctx, clientPoll, c.first, 0, m.o.Every),
		startWriter(ctx, clientWait, poll(d, ask), 1, m.o.Every),
	}
	for name, s := range m.system.clients(d, ask) {
		c.writers = append(c.writers, startWriter(ctx, name, s, 0, m.o.Every))
	}
	if m.network != nil {
		d, ask := m.from(m.master), []int{m.master}
		c.oldSide = []*writer{
			startWriter(ctx, clientOldSide, poll(d, ask), 0, m.o.Every),
			startWriter(ctx, clientOldSideWait, poll(d, ask), 1, m.o.Every),
		}
	}
	return c
}

func (c *clients) all() []*writer { return slices.Concat(c.writers, c.oldSide) }

func (c *clients) stop() {
	for _, w := range c.all() {
		w.stop()
	}
}

// The clients that both systems have.
const (
	// clientPoll asks where the master is every few milliseconds.
	clientPoll = "poll"
	// clientWait does so too, and has a replica acknowledge every write.
	clientWait = "poll+WAIT"
	// clientGoRedis is go-redis' own client of Sentinel.
	clientGoRedis = "go-redis"
	// These are on the machine of the master, and ask what is there.
	clientOldSide, clientOldSideWait = "old side", "old side+WAIT"
)

// outage measures the writes around a fault.
func (m *measurement) outage(ctx context.Context) (*Run, error) {
	c := m.startClients(ctx)
	defer c.stop()
	warming, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, w := range c.all() {
		if err := w.await(warming, warmUp); err != nil {
			return nil, err
		}
	}
	before, err := m.system.changes(warming, m.master)
	if err != nil {
		return nil, err
	}
	fsync, err := fsyncTime(m.system.dir())
	if err != nil {
		return nil, err
	}
	jitter := startProbe()
	fault := time.Now()
	err = m.makeFault(ctx, c, fault)
	r := newRun(jitter.stop())
	r.Fsync = msOf(fsync)
	c.stop()
	if err != nil {
		return nil, err
	}
	after, err := m.system.changes(ctx, m.master)
	if err != nil {
		return nil, err
	}
	r.Changes = after - before
	return r, m.report(ctx, r, c, fault, time.Now())
}

// makeFault makes the fault and returns when it is over and all clients write again.
func (m *measurement) makeFault(ctx context.Context, c *clients, fault time.Time) error {
	if m.fault.cut == nil {
		if err := m.fault.inject(ctx, m.system, m.master); err != nil {
			return err
		}
		return m.recovered(ctx, c.writers, fault)
	}
	if err := m.network.Cut(m.master); err != nil {
		return err
	}
	if err := m.recovered(ctx, c.writers, fault); err != nil {
		return err
	}
	sleep(ctx, time.Until(fault.Add(m.fault.cut(m.downAfter))))
	if err := m.network.Heal(); err != nil {
		return err
	}
	return m.recovered(ctx, c.all(), fault)
}

// recovered returns when every client writes to another server than before the fault, and the master has not changed
// any more for as long as the tail.
func (m *measurement) recovered(ctx context.Context, writers []*writer, fault time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, outageLimit)
	defer cancel()
	old := m.system.redis(m.master).Addr()
	for _, w := range writers {
		err := sandbox.WaitFor(ctx, w.name+" writes to another server", func(context.Context) error {
			if a, ok := w.last(); !ok || a.addr == old || a.at.Before(fault) {
				return fmt.Errorf("it last wrote to %s", a.addr)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	sleep(ctx, time.Until(fault.Add(stripTo*time.Millisecond))) // what a plot shows
	// With a short down_after a system may change masters twice.
	return sandbox.WaitFor(ctx, "the master does not change any more", func(context.Context) error {
		for _, w := range writers {
			acks := w.all()
			last := acks[len(acks)-1]
			since := last.at
			for i := len(acks) - 1; i >= 0 && acks[i].addr == last.addr; i-- {
				since = acks[i].at
			}
			if last.at.Sub(since) < m.o.Tail {
				sleep(ctx, m.o.Tail/10)
				return fmt.Errorf("%s has written to %s for %v only", w.name, last.addr, last.at.Sub(since))
			}
		}
		return nil
	})
}

// report fills in what the clients have seen. Losses are counted on the server that the system names in the end.
func (m *measurement) report(ctx context.Context, r *Run, clients *clients, fault, end time.Time) error {
	last, ok := clients.writers[0].last()
	if !ok {
		return errors.New("nothing was written")
	}
	old := m.system.redis(m.master).Addr()
	for _, w := range clients.all() {
		acks := w.all()
		gap, err := outage(acks, fault, end)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		lost, err := w.lost(ctx, last.addr, loopback)
		if err != nil {
			return err
		}
		c := &Client{Outage: msOf(gap), Acked: len(acks), Lost: lost}
		for _, a := range acks {
			c.Acks = append(c.Acks, msOf(a.at.Sub(fault)))
			if a.addr == old {
				c.Until = msOf(a.at.Sub(fault))
			}
		}
		r.Clients[w.name] = c
	}
	var err error
	if r.Steps, err = m.system.steps(ctx, m.master, fault); err != nil {
		return err
	}
	for _, s := range clients.first.sightings() {
		if s.at.After(fault) {
			r.Steps = append(r.Steps, step{"found", msOf(s.at.Sub(fault))})
			break
		}
	}
	for _, a := range clients.writers[0].all() {
		if a.at.After(fault) && a.addr != old {
			r.Steps = append(r.Steps, step{"first write", msOf(a.at.Sub(fault))})
			break
		}
	}
	return nil
}

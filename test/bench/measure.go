package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// warmUp is how many writes of every client must have been acknowledged before a fault.
const warmUp = 200

// outageLimit is how long an outage may last before a run is given up.
const outageLimit = 60 * time.Second

// measurement is one run under way.
type measurement struct {
	o         *options
	fault     kase
	system    system
	master    int
	downAfter time.Duration
}

// measure starts an installation, makes one fault in it, and ends it.
func measure(ctx context.Context, o *options, fault kase, downAfter time.Duration, name string) (run *Run, err error) {
	s, err := newSystem(ctx, o, name, downAfter)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.logs())
			keepLogs(o, s.dir())
		}
		err = errors.Join(err, s.close())
	}()
	settling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m := &measurement{o: o, fault: fault, system: s, downAfter: downAfter}
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

// startWriters starts all kinds of clients, on a machine that survives: they ask those who survive as well.
func (m *measurement) startWriters(ctx context.Context) (*polled, []*writer) {
	ask := others(m.master)
	poll := func() *polled { return newPolled(ctx, loopback, m.o.Resolve, m.system.finder(loopback, ask)) }
	first := poll()
	writers := []*writer{
		startWriter(ctx, clientPoll, first, 0, m.o.Every),
		startWriter(ctx, clientWait, poll(), 1, m.o.Every),
	}
	for name, s := range m.system.clients(loopback, ask) {
		writers = append(writers, startWriter(ctx, name, s, 0, m.o.Every))
	}
	return first, writers
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
	first, writers := m.startWriters(ctx)
	defer func() {
		for _, w := range writers {
			w.stop()
		}
	}()
	warming, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, w := range writers {
		if err := w.await(warming, warmUp); err != nil {
			return nil, err
		}
	}
	changes, err := m.system.changes(warming, m.master)
	if err != nil {
		return nil, err
	}
	fsync, err := fsyncTime(m.system.dir())
	if err != nil {
		return nil, err
	}
	jitter := startProbe()
	fault := time.Now()
	if err = m.fault.inject(ctx, m.system, m.master); err == nil {
		err = m.recovered(ctx, writers, fault)
	}
	late := jitter.stop()
	for _, w := range writers {
		w.stop()
	}
	if err != nil {
		return nil, err
	}
	r := newRun(late)
	r.Fsync = msOf(fsync)
	now, err := m.system.changes(ctx, m.master)
	if err != nil {
		return nil, err
	}
	r.Changes = now - changes
	return r, m.report(ctx, r, first, writers, fault, time.Now())
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
func (m *measurement) report(ctx context.Context, r *Run, first *polled, writers []*writer, fault, end time.Time) error {
	last, ok := writers[0].last()
	if !ok {
		return errors.New("nothing was written")
	}
	old := m.system.redis(m.master).Addr()
	for _, w := range writers {
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
	for _, s := range first.sightings() {
		if s.at.After(fault) {
			r.Steps = append(r.Steps, step{"found", msOf(s.at.Sub(fault))})
			break
		}
	}
	for _, a := range writers[0].all() {
		if a.at.After(fault) && a.addr != old {
			r.Steps = append(r.Steps, step{"first write", msOf(a.at.Sub(fault))})
			break
		}
	}
	return nil
}

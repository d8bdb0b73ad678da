// Package demo plays a failover through in a sandbox and tells what happens: nodes and DNS before, a writer, kill -9 of
// the master, the timeline, what it cost, and the return of the dead node.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

const (
	// startLimit bounds the start, changeLimit everything after the kill: on a machine that does nothing else the
	// first takes a few seconds and the second much less than one.
	startLimit  = 2 * time.Minute
	changeLimit = 30 * time.Second
	// writeEvery is the pace of the writer, writeFor how long it writes before the kill and after.
	writeEvery = 2 * time.Millisecond
	writeFor   = time.Second
)

// Options of a demo.
type Options struct {
	Sandbox sandbox.Options
	Out     io.Writer
}

// ErrNotFollowed is the error of a demo in which DNS did not name the new master, or clients could not write to it.
var ErrNotFollowed = errors.New("the demo did not end as it should")

// Run plays the demo. Nothing of it is left when it returns, whatever it returns.
func Run(ctx context.Context, o Options) (err error) {
	p := &play{out: o.Out}
	o.Sandbox.Say = func(format string, args ...any) { p.say("  "+format, args...) }
	p.say("Starting a small installation of real servers on this machine:")
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if p.s, err = sandbox.Start(starting, o.Sandbox); err != nil {
		return err
	}
	defer func() {
		if closed := p.s.Close(); err == nil && closed != nil {
			err = closed
			return
		}
		p.say("\nEverything was ended and removed.")
	}()
	before, err := p.s.WaitSteady(starting, 1)
	if err != nil {
		return fmt.Errorf("%w: %w\n%s", ErrNotFollowed, err, p.s.AgentLogs())
	}
	if err := p.show(starting, before); err != nil {
		return err
	}
	return p.failover(ctx, before)
}

// play is one demo under way.
type play struct {
	s   *sandbox.Sandbox
	out io.Writer
}

func (p *play) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// failover kills the master under writes and tells what came of it.
func (p *play) failover(ctx context.Context, before failover.State) error {
	old := p.s.RedisOf(before.Record.Master)
	if old == nil {
		return fmt.Errorf("the master %q is no node of the sandbox", before.Record.Master)
	}
	p.say("\nA client resolves %s and writes every %v. After %v the master is killed:", p.s.MasterName(), writeEvery, writeFor)
	w := p.s.StartWriter(ctx, 0, writeEvery)
	defer w.Stop()
	t, err := watch(ctx, p.s, before.Record)
	if err != nil {
		return err
	}
	defer t.stop()
	pause(ctx, writeFor)
	if len(w.Acks()) == 0 {
		return fmt.Errorf("%w: the client could not write before the kill: %v", ErrNotFollowed, last(w.Refusals()))
	}

	pid := old.PID()
	t.killed = time.Now()
	if err := old.Kill(); err != nil {
		return err
	}
	p.say("\n  $ kill -9 %d   (%s, the master)", pid, old.Node)
	limited, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	// Looking at everything takes a good part of a small machine, so it waits until the failover is over.
	var after failover.State
	if err = p.firstWrite(limited, w, t.killed, old); err == nil {
		after, err = p.s.WaitSteady(limited, before.Record.Epoch+1)
	}
	if err != nil {
		return fmt.Errorf("%w: %w\n%s", ErrNotFollowed, err, p.s.AgentLogs())
	}
	pause(ctx, writeFor)
	w.Stop()
	t.await(limited)
	if err := p.tell(ctx, t, w, old, after); err != nil {
		return err
	}
	return p.comeBack(ctx, old, after)
}

func (p *play) firstWrite(ctx context.Context, w *sandbox.Writer, killed time.Time, old *sandbox.Redis) error {
	return sandbox.WaitFor(ctx, "a write is acknowledged by the new master", func(context.Context) error {
		if _, ok := w.FirstAckAfter(killed, old.Addr()); !ok {
			return fmt.Errorf("none yet (%v)", last(w.Refusals()))
		}
		return nil
	})
}

// tell prints the timeline and the balance.
func (p *play) tell(ctx context.Context, t *timeline, w *sandbox.Writer, old *sandbox.Redis, after failover.State) error {
	p.say("\nTimeline, in milliseconds after the kill:\n")
	t.print(p.out, w, old, after.Record)
	lost, err := w.Lost(ctx, p.s.RedisOf(after.Record.Master))
	if err != nil {
		return err
	}
	p.say("\nWrite outage         %v", w.Outage(t.killed).Round(100*time.Microsecond))
	p.say("Writes acknowledged  %d", len(w.Acks()))
	p.say("Writes lost          %d%s", len(lost), map[bool]string{true: "   (acknowledged by the old master before a replica had them)"}[len(lost) > 0])
	return nil
}

// comeBack starts the dead node again and sees it return as a replica.
func (p *play) comeBack(ctx context.Context, old *sandbox.Redis, after failover.State) error {
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	p.say("\nStarting %s again:", old.Node)
	begun := time.Now()
	if err := old.Start(); err != nil {
		return err
	}
	state, err := p.s.WaitSteady(ctx, after.Record.Epoch)
	if err != nil {
		return fmt.Errorf("%w: %s did not come back as a replica: %w\n%s", ErrNotFollowed, old.Node, err, p.s.AgentLogs())
	}
	p.say("  it follows %s, %v after its start", state.Record.Master, time.Since(begun).Round(time.Millisecond))
	if state.Record.Epoch != after.Record.Epoch {
		return fmt.Errorf("%w: its return changed the master to %s", ErrNotFollowed, state.Record.Master)
	}
	return p.show(ctx, state)
}

func last(r []sandbox.Refusal) string {
	if len(r) == 0 {
		return "no write was refused"
	}
	l := r[len(r)-1]
	return fmt.Sprintf("the last refusal: %s said %s", l.Addr, l.Err)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

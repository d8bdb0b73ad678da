package chaos

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/test/hosts"
)

var (
	minutes = flag.Float64("minutes", 1, "how long faults are injected, in minutes")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano()), "which faults")
)

// faultsPerRound is how many faults are injected before everything is mended and judged.
const faultsPerRound = 4

// TestChaos injects random faults into an installation under load, mends everything now and then, and judges what the
// clients were told: G1, G2, G3, and that the group is whole again.
func TestChaos(t *testing.T) {
	t.Logf("seed %d", *seed)
	h, _ := start(t, hosts.Options{Supervise: true, SmallDisk: 256 << 20, Sandbox: sandbox.Options{
		GroupHCL: fmt.Sprintf("down_after = %q\nfence_after = %q\ndurability = \"wait:1\"", downAfter, fenceAfter)}})
	c := &chaos{t: t, h: h, r: rand.New(rand.NewPCG(*seed, 1)), began: time.Now(), counts: map[string]int{}}
	defer c.tell() // whatever ends the test
	names := watchNames(t.Context(), h, c.excuseTags)
	for round := 1; time.Since(c.began) < time.Duration(*minutes*float64(time.Minute)); round++ {
		c.round(round)
		if t.Failed() {
			break
		}
	}
	if err := names(); err != nil {
		t.Error(err)
	}
}

// tell says how often each fault was injected, and, when something was wrong, all that was done.
func (c *chaos) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		c.t.Logf("%4d × %s", c.counts[name], name)
	}
	if c.t.Failed() {
		c.t.Logf("seed %d, what was done:\n%s", *seed, strings.Join(c.log, "\n"))
	}
}

type chaos struct {
	t      *testing.T
	h      *hosts.Hosts
	r      *rand.Rand
	began  time.Time
	mu     sync.Mutex
	log    []string
	counts map[string]int
	// consulStarted is when a Consul server was last started.
	consulStarted time.Time
}

// consulReturns is how long a Consul server that was started may say what its disk had. Where all were killed, those that look
// may see all that is in the log once more, such moments among it.
const consulReturns = 10 * time.Second

func (c *chaos) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, fmt.Sprintf("%9.3fs  ", time.Since(c.began).Seconds())+fmt.Sprintf(format, args...))
}

// round injects some faults under load, mends them, and judges.
func (c *chaos) round(n int) {
	t, h := c.t, c.h
	before := whole(t, h)
	var writers []*hosts.Writer
	for i := range h.Redises() {
		name := fmt.Sprintf("r%d-host%d", n, i)
		writers = append(writers, h.StartWriter(t.Context(), hosts.WriterOptions{Name: name, From: i, To: h.DNS(i, i)}),
			h.StartWriter(t.Context(), hosts.WriterOptions{Name: name + "-wait", From: i, To: h.DNS(i, i), Wait: 1}))
	}
	all := []int{0, 1, 2}
	writers = append(writers, h.StartWriter(t.Context(), hosts.WriterOptions{Name: fmt.Sprintf("r%d-client", n), From: h.Client, To: h.DNS(h.Client, all...)}),
		h.StartWriter(t.Context(), hosts.WriterOptions{Name: fmt.Sprintf("r%d-client-wait", n), From: h.Client, To: h.DNS(h.Client, all...), Wait: 1}))
	defer func() {
		for _, w := range writers {
			w.Stop()
		}
	}()
	for range faultsPerRound {
		f := faults[c.r.IntN(len(faults))]
		i := c.r.IntN(len(all))
		if state, err := h.State(t.Context()); err == nil && state.Record != nil && c.r.IntN(2) == 0 {
			i = max(0, h.Of(state.Record.Master))
		}
		c.say("%s, host %d", f.name, i+1)
		mend, err := f.strike(c, i)
		if err != nil {
			c.say("  which failed: %v", err)
		} else {
			c.count(f.name)
		}
		sleepFor(t, time.Duration(1000+c.r.IntN(6000))*time.Millisecond) // how long a fault lasts is part of it
		if mend != nil {
			c.say("mend %s, host %d", f.name, i+1)
			if err := mend(); err != nil {
				c.say("  which failed: %v", err)
			}
		}
		if c.r.IntN(2) == 0 {
			sleepFor(t, time.Duration(c.r.IntN(3000))*time.Millisecond)
		}
	}
	c.say("mend all")
	c.mendAll()
	after, overruled := c.recovered()
	c.say("whole in epoch %d, master %s", after.Record.Epoch, after.Record.Master)
	for _, w := range writers {
		w.Stop()
	}
	c.judge(before, writers, overruled)
}

// recovered waits until the group is whole. Redis keeps nothing here: where the faults restarted too many servers for
// what WAIT promised, the group must wait for an operator, who accepts the loss.
func (c *chaos) recovered() (state failover.State, overruled bool) {
	const patience = 20 * time.Second // what the operator has, to let the group help itself
	mended := time.Now()
	eventually(c.t, "the group is whole, or waits for an operator with reason", func(ctx context.Context) (err error) {
		if state, err = c.h.State(ctx); err != nil {
			return err
		}
		if err = wholeNow(ctx, c.h, state); err == nil || state.Record == nil || state.Record.Phase != failover.Electing {
			return err
		}
		gone := 0
		for _, redis := range c.h.Redises() {
			info, ierr := redis.Info(ctx)
			if ierr != nil {
				return ierr
			}
			if m, ok := state.Record.Eligible[redis.Node]; ok && m.RunID != info["run_id"] {
				gone++
			}
		}
		if gone > 0 && !overruled && time.Since(mended) > patience {
			c.say("%d members do not count any more: the loss is accepted", gone)
			overruled = true
			if err := c.h.Order(ctx, failover.Order{Kind: failover.OrderFailover, AcceptLoss: true}); err != nil {
				return err
			}
		}
		return err
	})
	return state, overruled
}

// judge holds what the clients were told against what the group has.
func (c *chaos) judge(before failover.State, writers []*hosts.Writer, overruled bool) {
	t, h := c.t, c.h
	var acks []hosts.Ack
	for _, w := range writers {
		acks = append(acks, w.Acks()...)
	}
	var after failover.State
	var gone, promised []hosts.Ack
	// The machine may be so busy that the group has more to do yet: what is read counts if the master was one all the while.
	eventually(t, "what was acknowledged is looked for at the master", func(ctx context.Context) (err error) {
		if after, err = h.State(ctx); err != nil {
			return err
		}
		master := h.Of(after.Record.Master)
		if gone, err = h.Lost(ctx, master, acks); err != nil {
			return err
		}
		if promised, err = h.Lost(ctx, master, waited(acks)); err != nil {
			return err
		}
		now, err := h.State(ctx)
		if err == nil && now.Record.Epoch != after.Record.Epoch {
			err = fmt.Errorf("epoch %d has begun", now.Record.Epoch)
		}
		if err == nil {
			err = wholeNow(ctx, h, now)
		}
		return err
	})
	c.say("%d writes acknowledged, %d of them by WAIT; lost %d and %d; epochs %d to %d", len(acks), len(waited(acks)), len(gone), len(promised), before.Record.Epoch, after.Record.Epoch)
	t.Log(c.log[len(c.log)-1])
	if overruled {
		c.count("an operator accepted a loss, because too many servers were restarted")
	}
	if len(promised) > 0 && !overruled {
		t.Errorf("G3: %d writes that WAIT had acknowledged are lost, the first: %+v", len(promised), promised[0])
	}
	// Whoever acknowledged after another did is a master after it: more changes than epochs are two masters at once.
	slices.SortFunc(acks, func(a, b hosts.Ack) int { return a.Sent.Compare(b.Sent) })
	changes, last := uint64(0), hosts.Ack{Addr: before.Record.Address}
	for _, a := range acks {
		if a.Addr != last.Addr && a.Sent.After(last.At) {
			changes++
			c.say("  %s acknowledges %s sent %s, after %s", a.Addr, a.Key(), a.Sent.Sub(c.began), last.Addr)
		}
		if a.At.After(last.At) {
			last = a
		}
	}
	if epochs := after.Record.Epoch - before.Record.Epoch; changes > epochs {
		t.Errorf("G2: the server that acknowledges changed %d times in %d epochs", changes, epochs)
	}
}

// watchNames asks Consul all along who is master, and returns what stops that and tells of an answer with two (G1). Two tags may be
// excused.
func watchNames(ctx context.Context, h *hosts.Hosts, excused func() bool) func() error {
	ctx, cancel := context.WithCancel(ctx)
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var found error
	for i := range h.Consuls() {
		wg.Go(func() {
			dns := h.DNS(h.Client, i)
			for ctx.Err() == nil {
				_, err := dns(ctx)
				if err == nil || !strings.Contains(err.Error(), "masters:") {
					err = nil
					tagged, _, herr := h.Consul(i).Client.Health().Service(h.Group(), "master", true, nil)
					if herr == nil && len(tagged) > 1 && !excused() {
						err = twoTags(tagged)
					}
				}
				if err != nil {
					mu.Lock()
					found = fmt.Errorf("G1: Consul server %d, after %s: %w", i+1, time.Since(began), err)
					mu.Unlock()
				}
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	return func() error {
		cancel()
		wg.Wait()
		return found
	}
}

func twoTags(entries []*api.ServiceEntry) error {
	var all []string
	for _, e := range entries {
		all = append(all, fmt.Sprintf("%s (epoch %s, index %d)", e.Service.ID, e.Service.Meta["epoch"], e.Service.ModifyIndex))
	}
	return fmt.Errorf("%s have the tag master", strings.Join(all, " and "))
}

// excuseTags tells whether two tags are those of the moment after a Consul server was started, which is not promised away.
func (c *chaos) excuseTags() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.consulStarted) > consulReturns {
		return false
	}
	c.counts["two tags in the moment after a Consul server was started, which is not promised away"]++
	return true
}

// healed passes on what became of the end of a cut. A Consul server that was started before it returns only now.
func (c *chaos) healed(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.consulStarted) < consulReturns {
		c.consulStarted = time.Now()
	}
	return err
}

// startConsul starts those of the Consul servers that do not run.
func (c *chaos) startConsul(hosts ...int) error {
	if !slices.ContainsFunc(hosts, func(i int) bool { return !c.h.Consul(i).Running() }) {
		return nil
	}
	c.mu.Lock()
	c.consulStarted = time.Now()
	c.mu.Unlock()
	return c.h.StartConsul(hosts...)
}

func (c *chaos) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

func sleepFor(t *testing.T, d time.Duration) {
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

package demo

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// lookEvery is how often DNS and the replicas are asked for the timeline.
const lookEvery = time.Millisecond

// timeline gathers when each step of a change of master happened: from the history that the leader wrote, from the
// votes as Consul shows them, from DNS, and from the replicas themselves. All is on one machine, so wall clocks can be compared.
type timeline struct {
	s      *sandbox.Sandbox
	before *failover.Record
	killed time.Time

	cancel context.CancelFunc
	parts  sync.WaitGroup

	mu       sync.Mutex
	electing time.Time
	open     time.Time
	dns      time.Time
	history  *failover.History
}

func watch(ctx context.Context, s *sandbox.Sandbox, before *failover.Record) (*timeline, error) {
	ctx, cancel := context.WithCancel(ctx)
	t := &timeline{s: s, before: before, cancel: cancel}
	k, err := s.Catalog(0)
	if err != nil {
		cancel()
		return nil, err
	}
	t.parts.Go(func() { k.WatchGroup(ctx, s.Group(), t.see) })
	t.parts.Go(func() { t.pollDNS(ctx) })
	for _, r := range s.Redises() {
		if r.Addr() != before.Address {
			t.parts.Go(func() { t.pollRole(ctx, r) })
		}
	}
	return t, nil
}

func (t *timeline) stop() {
	t.cancel()
	t.parts.Wait()
}

func (t *timeline) see(state failover.State) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := state.Record; r != nil && r.Phase == failover.Electing && t.electing.IsZero() {
		t.electing = now
	}
}

// pollRole notes when a replica first says that it is master.
func (t *timeline) pollRole(ctx context.Context, r *sandbox.Redis) {
	c := r.Client()
	defer c.Close()
	for ctx.Err() == nil {
		role, err := c.Do(ctx, "ROLE").Slice()
		if err == nil && len(role) > 0 && role[0] == "master" {
			t.mu.Lock()
			t.open = time.Now()
			t.mu.Unlock()
			return
		}
		pause(ctx, lookEvery)
	}
}

// pollDNS notes when every Consul server first answers with another address than the old master's.
func (t *timeline) pollDNS(ctx context.Context) {
	for ctx.Err() == nil {
		all := true
		for _, c := range t.s.Consuls() {
			found, err := c.SRV(ctx, t.s.MasterName())
			all = all && err == nil && len(found) == 1 && found[0].Addr() != t.before.Address
		}
		if all {
			t.mu.Lock()
			t.dns = time.Now()
			t.mu.Unlock()
			return
		}
		pause(ctx, lookEvery)
	}
}

// await waits until the history of the change is there. A demo without it is poorer, and no failure.
func (t *timeline) await(ctx context.Context) {
	k, err := t.s.Catalog(0)
	if err != nil {
		return
	}
	_ = sandbox.WaitFor(ctx, "the history is written", func(ctx context.Context) error {
		all, err := k.History(ctx, t.s.Group(), 1)
		if err != nil {
			return err
		}
		if len(all) == 0 || all[0].Epoch <= t.before.Epoch {
			return fmt.Errorf("no history after epoch %d", t.before.Epoch)
		}
		t.mu.Lock()
		t.history = &all[0]
		t.mu.Unlock()
		return nil
	})
}

// event is one line of the timeline.
type event struct {
	at         time.Time
	name, what string
}

// events are what is known, in the order of time.
func (t *timeline) events(w *sandbox.Writer, old *sandbox.Redis, after *failover.Record) []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []event{{t.killed, "killed", old.Node + " at " + old.Addr()}}
	add := func(at time.Time, name, format string, args ...any) {
		if !at.IsZero() {
			list = append(list, event{at, name, fmt.Sprintf(format, args...)})
		}
	}
	if h := t.history; h != nil {
		t.addSteps(add, h)
	} else {
		add(t.electing, "elected", "")
	}
	add(t.dns, "in DNS", "%s names %s on every Consul server", t.s.MasterName(), after.Address)
	add(t.open, "open", "%s takes writes", after.Master)
	if ack, ok := w.FirstAckAfter(t.killed, old.Addr()); ok {
		add(ack.At, "first write", "acknowledged by %s", ack.Addr)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].at.Before(list[j].at) })
	return list
}

// addSteps turns the leader's durations into times: they end with the choice, whose time the history has.
func (t *timeline) addSteps(add func(time.Time, string, string, ...any), h *failover.History) {
	took := map[string]time.Duration{}
	fenced := ""
	for _, s := range h.Steps {
		name, how, _ := strings.Cut(s.Name, ": ")
		took[name] = time.Duration(s.Took)
		if name == "fence" {
			fenced = how
		}
	}
	chosen := h.At
	frozen := chosen.Add(-took["choose"])
	elected := frozen.Add(-took["fence"])
	locked := elected.Add(-took["elect"])
	add(h.Detected, "detected", "%s", h.Cause)
	add(locked.Add(-took["lock"]), "quorum", "%s agree", strings.Join(h.Votes, ", "))
	add(elected, "elected", "%s leads", h.Leader)
	add(frozen, "frozen", "%s", fenced)
	add(chosen, "chosen", "%s: %s", h.To, h.Why)
}

func (t *timeline) print(out io.Writer, w *sandbox.Writer, old *sandbox.Redis, after *failover.Record) {
	tw := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	rows := t.events(w, old, after)
	width := 0
	for _, e := range rows {
		width = max(width, len(e.name))
	}
	for _, e := range rows {
		ms := float64(e.at.Sub(t.killed)) / float64(time.Millisecond)
		fmt.Fprintf(tw, "%.1f\t  %-*s  %s\n", ms, width, e.name, e.what)
	}
	_ = tw.Flush()
}

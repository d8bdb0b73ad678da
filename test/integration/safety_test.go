package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// An outage of all Consul servers stops no Redis while the agents of all members answer; when one of them does not, the
// master freezes within fence_after (G9).
func TestConsulAway(t *testing.T) {
	s, state := start(t, sandbox.Options{GroupHCL: `fence_after = "3s"`})
	old := master(s, state)
	w := pin(t, old, 2*time.Millisecond)
	defer w.Stop()
	for _, c := range s.Consuls() {
		must(t, c.Kill())
	}
	away := 10 * time.Second
	if os.Getenv("LONG") != "" {
		away = time.Minute
	}
	before := len(w.Acks())
	// Three leases and more have ended by then: this is what is looked at, not a wait for something.
	time.Sleep(away)
	if refused := w.Refusals(); len(refused) != 0 {
		t.Errorf("%d writes were refused while Consul was away, the first: %v", len(refused), refused[0])
	}
	if acks := w.Acks(); len(acks) <= before || time.Since(acks[len(acks)-1].At) > time.Second {
		t.Errorf("no writes are acknowledged while Consul is away: %d before, %d now", before, len(acks))
	}
	t.Logf("Consul away for %s: %d writes acknowledged, %d refused, longest gap %s", away, len(w.Acks())-before, len(w.Refusals()), w.Outage(time.Now().Add(-away)))

	var silent *sandbox.Agent
	for i, r := range s.Redises() {
		if r != old {
			silent = s.Agent(i)
		}
	}
	cut := time.Now()
	must(t, silent.Signal(syscall.SIGSTOP))
	defer func() { _ = silent.Signal(syscall.SIGCONT) }()
	eventually(t, "the master freezes", func(ctx context.Context) error {
		info, err := old.Info(ctx)
		if err == nil && info["role"] == "master" {
			err = fmt.Errorf("%s is open", old.Node)
		}
		return err
	})
	acks := w.Acks()
	last := acks[len(acks)-1].At.Sub(cut)
	t.Logf("one agent silent as well: the last write was acknowledged after %s", last)
	if last > 3*time.Second+500*time.Millisecond {
		t.Errorf("the last write was acknowledged %s after a second fault, want fence_after at most", last)
	}
	must(t, silent.Signal(syscall.SIGCONT))
	for _, c := range s.Consuls() {
		must(t, c.Start())
	}
	steady(t, s, state.Record.Epoch)
}

// What a deposed master has that nobody else got is saved to a file before it follows, and history, log, status and its check name
// it (G7).
func TestRescue(t *testing.T) {
	s, state := start(t, sandbox.Options{RedisConf: []string{"save 3600 1000000"}})
	old := master(s, state)
	// The replicas hear nothing for a while.
	for _, r := range s.Redises() {
		if r != old {
			must(t, r.Signal(syscall.SIGSTOP))
		}
	}
	do(t, old, "CLIENT", "KILL", "TYPE", "replica") // what is in the buffers of a connection would arrive all the same
	for i := range 100 {
		do(t, old, "SET", fmt.Sprintf("only-here-%d", i), "x")
	}
	do(t, old, "SAVE")
	must(t, old.Kill())
	for _, r := range s.Redises() {
		if r != old {
			must(t, r.Signal(syscall.SIGCONT))
		}
	}
	after := replaced(t, s, state)
	must(t, old.Start())
	steady(t, s, after.Record.Epoch)
	var saved failover.Rescued
	eventually(t, "history names the file", func(ctx context.Context) error {
		k, err := s.Catalog(0)
		if err != nil {
			return err
		}
		all, err := k.History(ctx, "redis", 10)
		for _, h := range all {
			for _, r := range h.Rescued {
				if r.Node == old.Node {
					saved = r
					return nil
				}
			}
		}
		return fmt.Errorf("no rescue of %s in %d changes: %v", old.Node, len(all), err)
	})
	if saved.Bytes < 100 {
		t.Errorf("%d bytes were told to be beyond, want those of 100 writes", saved.Bytes)
	}
	data, err := os.ReadFile(saved.File)
	must(t, err)
	for _, key := range []string{"only-here-0", "only-here-99"} {
		if !strings.Contains(string(data), key) {
			t.Errorf("%s is not in %s", key, saved.File)
		}
	}
	eventually(t, "the node's replication check names the file", func(ctx context.Context) error {
		k, err := s.Catalog(0)
		if err != nil {
			return err
		}
		all, err := k.Health(ctx, s.Group())
		for _, h := range all {
			for _, c := range h.Checks {
				if c.ID == s.Group()+"-"+old.Node+":replication" {
					if strings.Contains(c.Output, saved.File) {
						return nil
					}
					err = fmt.Errorf("it says %q", c.Output)
				}
			}
		}
		return err
	})
	status, told := succeeds(t, s.Consul(0), "status", s.Group()), false
	for line := range strings.Lines(status) {
		told = told || strings.HasPrefix(line, "  - the data of "+old.Node+" were saved") && strings.Contains(line, saved.File)
	}
	if !told {
		t.Errorf("status does not tell of %s:\n%s", saved.File, status)
	}
	if log := agentOf(s, old).Log(); !strings.Contains(log, saved.File) {
		t.Errorf("the log of its agent does not name %s", saved.File)
	}
}

func do(t *testing.T, r *sandbox.Redis, args ...any) {
	t.Helper()
	_, err := r.Do(t.Context(), args...)
	must(t, err)
}

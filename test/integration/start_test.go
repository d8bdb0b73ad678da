package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// An installation that knows nothing of this project is adopted as it is: the same master, which goes on taking
// writes, and every server's configuration says frozen afterwards.
func TestAdoption(t *testing.T) {
	s := startOnly(t, sandbox.Options{NotFrozen: true, ManualAgents: true})
	old := s.Redis(1)
	host, port, _ := net.SplitHostPort(old.Addr())
	for _, r := range s.Redises() {
		if r != old {
			_, err := r.Do(t.Context(), "REPLICAOF", host, port)
			must(t, err)
		}
	}
	w := pin(t, old, 2*time.Millisecond)
	defer w.Stop()
	acknowledged(t, w, 100)
	began := time.Now()
	for _, a := range s.Agents() {
		must(t, a.Start())
	}
	state := steady(t, s, 1)
	if state.Record.Master != old.Node || state.Record.Epoch != 1 {
		t.Errorf("%s is master of epoch %d, want %s of epoch 1", state.Record.Master, state.Record.Epoch, old.Node)
	}
	eventually(t, "every configuration says frozen", func(ctx context.Context) error {
		for _, r := range s.Redises() {
			if err := startsFrozen(r); err != nil {
				return err
			}
		}
		return nil
	})
	acknowledged(t, w, len(w.Acks())+100)
	w.Stop()
	t.Logf("adoption: writes stood still for %v, %d were refused", w.Outage(began), len(w.Refusals()))
	for _, r := range w.Refusals() {
		if strings.Contains(r.Err, "READONLY") {
			t.Errorf("a write was refused during the adoption: %s", r.Err)
		}
	}
	if lost, err := w.Lost(t.Context(), old); err != nil || len(lost) > 0 {
		t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
	}
}

// With several nodes that hold different data nothing is touched until an operator names the one to keep; a node with
// other data does not join then.
func TestDifferentData(t *testing.T) {
	s := startOnly(t, sandbox.Options{NotFrozen: true, ManualAgents: true})
	for i, value := range []string{"apples", "pears"} {
		_, err := s.Redis(i).Do(t.Context(), "SET", "fruit", value)
		must(t, err)
	}
	for _, a := range s.Agents() {
		must(t, a.Start())
	}
	everyAgentSays(t, s, "several nodes hold different data: redis-1 (1 keys), redis-2 (1 keys)")
	for i := range s.Redises() {
		if info, err := s.Redis(i).Info(t.Context()); err != nil || info["role"] != "master" {
			t.Errorf("%s was touched: role %s, %v", s.Redis(i).Node, info["role"], err)
		}
	}
	order(t, s, failover.Order{Kind: failover.OrderBootstrap, Target: "redis-2"})
	eventually(t, "redis-2 is master, redis-3 follows and redis-1 is told why it may not", func(ctx context.Context) error {
		state, err := s.State(ctx)
		if err != nil || state.Record == nil || state.Record.Master != "redis-2" || state.Nodes["redis-3"].State != failover.StateFollowing {
			return fmt.Errorf("%+v, %w", state, err)
		}
		if !strings.Contains(s.Agent(0).Log(), "it holds 1 keys of another history than the group's") {
			return fmt.Errorf("agent-1 has not said it")
		}
		return nil
	})
	if v, err := s.Redis(0).Do(t.Context(), "GET", "fruit"); err != nil || v != "apples" {
		t.Errorf("redis-1 holds %v, %v: its data were touched", v, err)
	}
	_, err := s.Redis(0).Do(t.Context(), "CONFIG", "SET", "replica-read-only", "no")
	must(t, err)
	_, err = s.Redis(0).Do(t.Context(), "FLUSHALL")
	must(t, err)
	_, err = s.Redis(0).Do(t.Context(), "CONFIG", "SET", "replica-read-only", "yes")
	must(t, err)
	steady(t, s, 1)
	if v, err := s.Redis(0).Do(t.Context(), "GET", "fruit"); err != nil || v != "pears" {
		t.Errorf("redis-1 holds %v, %v after it was emptied and joined", v, err)
	}
}

func startsFrozen(r *sandbox.Redis) error {
	raw, err := os.ReadFile(r.ConfigFile())
	b := string(raw)
	if err == nil && !strings.Contains(b, "\nreplicaof 127.0.0.1 1\n") {
		err = fmt.Errorf("the configuration of %s does not start it frozen:\n%s", r.Node, b)
	}
	return err
}

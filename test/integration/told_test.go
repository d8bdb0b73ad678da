package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// A master whose agent has lost Consul, and cannot get every promise, freezes. It answers all the same, and what Consul has of it says
// that it is open: only the word of its agent to the others, which needs no Consul, lets them replace it.
func TestFrozenMasterIsTold(t *testing.T) {
	// The fourth agent is beside the Consul server of the first machine. A witness would not listen.
	s, _ := start(t, sandbox.Options{Nodes: 4, GroupHCL: "quorum = 2\n"})
	before := counted(t, s)
	if before.Record.Master != s.Redis(2).Node {
		order(t, s, failover.Order{Kind: failover.OrderSwitchover, Target: s.Redis(2).Node})
		before = steady(t, s, before.Record.Epoch+1)
		counted(t, s)
	}
	old, silent := master(s, before), s.Agent(0)
	w := s.StartWriter(t.Context(), 0, 2*time.Millisecond)
	defer w.Stop()
	pinned := pin(t, old, 5*time.Millisecond)
	defer pinned.Stop()
	acknowledged(t, w, 50)
	acknowledged(t, pinned, 20)

	must(t, silent.Stop())
	must(t, agentOf(s, old).Beside.Kill())
	after := opened(t, s, before.Record.Epoch+1)
	first := firstAck(t, w, time.Time{}, old.Addr())
	if after.Record.Master == old.Node || after.Record.Evidence != failover.NotServing {
		t.Errorf("%s is master of epoch %d by evidence %q, want another by %q", after.Record.Master, after.Record.Epoch, after.Record.Evidence, failover.NotServing)
	}
	if state := after.Nodes[old.Node].State; state != failover.StateOpen {
		t.Errorf("Consul says that %s is %s, so nobody had to be told", old.Node, state)
	}
	eventually(t, "all the others that run were told", func(context.Context) error {
		for _, a := range s.Agents() {
			if a != silent && a != agentOf(s, old) && !strings.Contains(a.Log(), "the master froze without Consul") {
				return fmt.Errorf("%s was not", a.Name)
			}
		}
		return nil
	})
	eventually(t, "history has the evidence and its cause", func(ctx context.Context) error {
		k, err := s.Catalog(0)
		if err != nil {
			return err
		}
		history, err := k.History(ctx, s.Group(), 1)
		if err == nil && (len(history) == 0 || history[0].Epoch != after.Record.Epoch) {
			err = errors.New("it is not there yet")
		}
		if err == nil && !strings.HasPrefix(history[0].Cause, `not serving: not open: its own agent reports "frozen"`) {
			t.Errorf("the cause is %q", history[0].Cause)
		}
		return err
	})
	if err := old.Ping(t.Context()); err != nil {
		t.Errorf("the old master does not answer: %v", err)
	}

	must(t, silent.Cont())
	must(t, agentOf(s, old).Beside.Start())
	again := steady(t, s, after.Record.Epoch)
	if again.Record.Epoch != after.Record.Epoch {
		t.Errorf("the return of Consul changed the epoch from %d to %d", after.Record.Epoch, again.Record.Epoch)
	}
	for _, a := range pinned.Acks() {
		if a.Addr == old.Addr() && a.At.After(first.At) {
			t.Fatalf("the old master acknowledged a write %v after the new one had opened", a.At.Sub(first.At))
		}
	}
}

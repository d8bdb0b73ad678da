package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// Whatever happens in the middle of a switchover, writes are taken again soon, none are left held back, and what was
// acknowledged is there, unless the master itself dies before a replica has it.
func TestSwitchoverDisturbed(t *testing.T) {
	for _, f := range []struct {
		name string
		// strike makes the fault; target stands still, which keeps the switchover in the middle until then.
		strike func(s *sandbox.Sandbox, now failover.State, target *sandbox.Redis) error
		loses  bool
	}{
		{"its target dies", func(_ *sandbox.Sandbox, _ failover.State, target *sandbox.Redis) error {
			return target.Kill()
		}, false},
		{"the master dies", func(s *sandbox.Sandbox, now failover.State, _ *sandbox.Redis) error {
			return master(s, now).Kill()
		}, true},
		{"the master's agent dies", func(s *sandbox.Sandbox, now failover.State, _ *sandbox.Redis) error {
			return agentOf(s, master(s, now)).Kill()
		}, false},
		{"the leader dies", func(s *sandbox.Sandbox, now failover.State, _ *sandbox.Redis) error {
			for _, a := range s.Agents() {
				if a.Name == now.Leader {
					return a.Kill()
				}
			}
			return fmt.Errorf("the leader is %q", now.Leader)
		}, false},
		{"Consul goes away", func(s *sandbox.Sandbox, _ failover.State, _ *sandbox.Redis) error {
			var errs []error
			for _, c := range s.Consuls() {
				errs = append(errs, c.Stop())
			}
			time.Sleep(3 * time.Second) // how long it is away is the fault itself
			for _, c := range s.Consuls() {
				errs = append(errs, c.Cont())
			}
			return errors.Join(errs...)
		}, false},
	} {
		t.Run(f.name, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{})
			before := counted(t, s)
			target := replica(s, before)
			w := s.StartWriter(t.Context(), 1, time.Millisecond)
			defer w.Stop()
			acknowledged(t, w, 100)
			must(t, target.Stop())
			order(t, s, failover.Order{Kind: failover.OrderSwitchover, Target: target.Node})
			var now failover.State
			eventually(t, "the switchover is under way", func(ctx context.Context) error {
				var err error
				if now, err = s.State(ctx); err == nil && now.Record.Phase != failover.Electing {
					err = fmt.Errorf("the record is %s in epoch %d", now.Record.Phase, now.Record.Epoch)
				}
				return err
			})
			struck := time.Now()
			must(t, f.strike(s, now, target))
			eventually(t, "writes are taken again", func(context.Context) error {
				if acks := w.Acks(); acks[len(acks)-1].At.Before(struck) {
					return errors.New("none since the fault")
				}
				return nil
			})
			_ = target.Cont()
			for i, r := range s.Redises() {
				if !r.Running() {
					must(t, r.Start())
				}
				if a := s.Agent(i); !a.Running() {
					must(t, a.Start())
				}
			}
			after := steady(t, s, before.Record.Epoch)
			more := len(w.Acks()) + 100
			acknowledged(t, w, more) // none are held back
			w.Stop()
			lost, err := w.Lost(t.Context(), master(s, after))
			if err != nil || len(lost) > 0 && !f.loses {
				t.Errorf("lost %d acknowledged writes: %v", len(lost), err)
			}
			t.Logf("epoch %d, then %d with master %s; writes stood still for %v", before.Record.Epoch, after.Record.Epoch, after.Record.Master, w.Outage(struck))
		})
	}
}

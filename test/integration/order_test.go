package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// An ordered switchover goes to the node that was named, loses nothing, and the old master follows.
func TestSwitchover(t *testing.T) {
	s, _ := start(t, sandbox.Options{})
	var outages []time.Duration
	for range rounds() {
		before := counted(t, s)
		target := replica(s, before)
		// Redis follows before Consul has heard of it, and until then the order would be refused.
		eventually(t, "Consul knows that "+target.Node+" follows", func(ctx context.Context) error {
			now, err := s.State(ctx)
			if rep := now.Nodes[target.Node]; err == nil && (rep.State != failover.StateFollowing || rep.Epoch != before.Record.Epoch) {
				err = fmt.Errorf("it is %s in epoch %d", rep.State, rep.Epoch)
			}
			return err
		})
		w := s.StartWriter(t.Context(), 0, time.Millisecond)
		defer w.Stop()
		acknowledged(t, w, 200)
		ordered := time.Now()
		order(t, s, failover.Order{Kind: failover.OrderSwitchover, Target: target.Node})
		after := steady(t, s, before.Record.Epoch+1)
		acknowledged(t, w, len(w.Acks())+100)
		w.Stop()
		if after.Record.Master != target.Node || after.Record.Epoch != before.Record.Epoch+1 {
			t.Fatalf("%s is master of epoch %d; want %s of epoch %d", after.Record.Master, after.Record.Epoch, target.Node, before.Record.Epoch+1)
		}
		lost, err := w.Lost(t.Context(), target)
		if err != nil || len(lost) > 0 {
			t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
		}
		outages = append(outages, w.Outage(ordered))
		t.Logf("switchover to %s: writes stood still for %v", target.Node, w.Outage(ordered))
	}
	slices.Sort(outages)
	median := outages[len(outages)/2]
	t.Logf("%d switchovers: writes stood still for %v in the median, %v at most", len(outages), median, outages[len(outages)-1])
	if limit := 50 * time.Millisecond; rounds() >= 50 && median > limit { // a measurement, on a machine that does nothing else
		t.Errorf("writes stood still for %v, want %v at most", median, limit)
	}
}

// An order that cannot be carried out is answered with the reason.
func TestOrderRefused(t *testing.T) {
	s, _ := start(t, sandbox.Options{})
	before := counted(t, s)
	for _, c := range []struct{ target, why string }{
		{"nobody", `no node of this group is named "nobody"; there are redis-1, redis-2, redis-3`},
		{before.Record.Master, before.Record.Master + " is master already, since epoch 1"},
	} {
		order(t, s, failover.Order{Kind: failover.OrderSwitchover, Target: c.target})
		eventually(t, "the order is refused", func(ctx context.Context) error {
			state, err := s.State(ctx)
			if err != nil || state.Order == nil || state.Order.Refused != c.why {
				return fmt.Errorf("order %+v, %w", state.Order, err)
			}
			return nil
		})
	}
	if after := steady(t, s, 1); after.Record.Epoch != before.Record.Epoch {
		t.Errorf("a refused order changed the epoch to %d", after.Record.Epoch)
	}
}

func order(t *testing.T, s *sandbox.Sandbox, o failover.Order) {
	t.Helper()
	k, err := s.Catalog(0)
	must(t, err)
	o.ID, o.By, o.At = fmt.Sprint(time.Now().UnixNano()), "a test", time.Now()
	must(t, k.PutOrder(t.Context(), s.Group(), o))
}

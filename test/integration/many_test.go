package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// Ten agents that watch one group of a master and nine replicas agree, elect once, and end consistent.
func TestTenAgents(t *testing.T) {
	s, _ := start(t, sandbox.Options{Nodes: 10, GroupHCL: "parallel_syncs = 3\n"})
	before := counted(t, s)
	old := master(s, before)
	must(t, old.Kill())
	after := steady(t, s, before.Record.Epoch+1)
	if after.Record.Epoch != before.Record.Epoch+1 {
		t.Errorf("epoch went from %d to %d: want one election", before.Record.Epoch, after.Record.Epoch)
	}
	k, err := s.Catalog(0)
	must(t, err)
	history, err := k.History(t.Context(), s.Group(), 100)
	must(t, err)
	if len(history) != 1 || history[0].From != old.Node || history[0].To != after.Record.Master {
		t.Errorf("history %+v: want the one change from %s to %s", history, old.Node, after.Record.Master)
	}
	must(t, old.Start())
	after = steady(t, s, after.Record.Epoch)
	counted(t, s)
	eventually(t, "the votes are taken back and the lock is free", func(ctx context.Context) error {
		state, err := s.State(ctx)
		if err != nil || len(failover.Count(state).Down) > 0 || state.Leader != "" {
			return fmt.Errorf("votes %v, leader %q, %w", state.Votes, state.Leader, err)
		}
		for name, n := range state.Nodes {
			if want := failover.StateFollowing; name != after.Record.Master && n.State != want {
				return fmt.Errorf("%s is %s", name, n.State)
			}
		}
		return nil
	})
}

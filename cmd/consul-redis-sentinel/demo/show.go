package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// show prints the nodes as Consul has them, and what DNS answers. It waits until all that run are in DNS: replicas
// enter it when their own agents have seen them follow.
func (p *play) show(ctx context.Context, state failover.State) error {
	replicas, err := p.replicas(ctx, len(p.s.Redises())-1)
	if err != nil {
		return fmt.Errorf("%w: %w\n%s", ErrNotFollowed, err, p.s.AgentLogs())
	}
	p.say("\nNodes in Consul, epoch %d:\n", state.Record.Epoch)
	w := tabwriter.NewWriter(p.out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "  NODE\tROLE\tADDRESS\tAGENT")
	for _, r := range p.s.Redises() {
		role := "replica"
		if r.Node == state.Record.Master {
			role = "master"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", r.Node, role, r.Addr(), state.Nodes[r.Node].Agent)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	p.say("\nDNS answers:\n")
	p.say("  %-31s%s", p.s.MasterName(), state.Record.Address)
	p.say("  %-31s%s", p.s.ReplicaName(), strings.Join(replicas, ", "))
	return nil
}

func (p *play) replicas(ctx context.Context, want int) ([]string, error) {
	var addrs []string
	err := sandbox.WaitFor(ctx, "all replicas are in DNS", func(ctx context.Context) error {
		found, err := p.s.Consul(0).SRV(ctx, p.s.ReplicaName())
		if err != nil {
			return err
		}
		addrs = addrs[:0]
		for _, e := range found {
			addrs = append(addrs, e.Addr())
		}
		slices.Sort(addrs)
		if len(addrs) != want {
			return fmt.Errorf("%d of %d are: %v", len(addrs), want, addrs)
		}
		return nil
	})
	return addrs, err
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

func (c *CLI) forgetCommand() *cobra.Command {
	var agent bool
	cmd := &cobra.Command{
		Use:   "forget GROUP NODE",
		Short: "Take a node that is gone for good out of a group, or an agent",
		Long: `A node that is down stays a member: writes that only it acknowledged may come back with it. Forget one that never will.
Stop its server first, then its agent, or remove the node from its configuration. An agent that runs would enter its node
anew; and WAIT would still count a replica that runs, although the group no longer waits for it.

With -agent, forget an agent instead: the default quorum is a majority of all agents that are not forgotten.`,
		Args: two("GROUP", "NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.connect()
			if err != nil {
				return err
			}
			if err := mustKnow(cmd.Context(), k, args[0]); err != nil {
				return err
			}
			if agent {
				return c.forgetAgent(cmd.Context(), k, args[0], args[1])
			}
			return c.forgetNode(cmd.Context(), k, args[0], args[1])
		},
	}
	cmd.Flags().BoolVar(&agent, "agent", false, "NODE is the name of an agent")
	return c.addConsulFlags(cmd)
}

// forgetNode takes a node out of the members. In an election that is another attempt: all report again, and fewer are
// waited for.
func (c *CLI) forgetNode(ctx context.Context, k *catalog.Catalog, group, node string) error {
	for range 10 {
		s, err := k.ReadGroup(ctx, group, true)
		if err != nil {
			return err
		}
		rep, reported := s.Nodes[node]
		r := s.Record
		if !reported && (r == nil || !isMember(r, node)) {
			return refusedf("no node %q in group %s, there is: %s", node, group, list(slices.Sorted(maps.Keys(s.Nodes))))
		}
		switch {
		case r == nil || r.Master != node:
		case r.Phase == failover.Steady || rep.State == failover.StateOpen:
			return refusedf("%s is master of epoch %d: replace it first, with switchover or failover", node, r.Epoch)
		default:
			return refusedf("%s was master of epoch %d and becomes a member when the next is chosen: forget it then", node, r.Epoch)
		}
		if r != nil && isMember(r, node) {
			next := r.Clone()
			next.Forget(node)
			if _, err := k.Amend(ctx, group, next, s.RecordIndex); errors.Is(err, catalog.ErrConflict) {
				continue
			} else if err != nil {
				return err
			}
		}
		if err := k.DeleteReport(ctx, group, node); err != nil {
			return err
		}
		fmt.Fprintf(c.Stdout, "%s is no member of %s any more", node, group)
		if r != nil && strings.HasPrefix(r.Durability, "wait:") {
			fmt.Fprintf(c.Stdout, "; what WAIT acknowledged because of %s alone is not waited for any more", node)
		}
		fmt.Fprintln(c.Stdout)
		return nil
	}
	return errors.New("the record changes all the time: try again")
}

func isMember(r *failover.Record, node string) bool {
	_, ok := r.Eligible[node]
	return ok
}

func (c *CLI) forgetAgent(ctx context.Context, k *catalog.Catalog, group, agent string) error {
	s, err := k.ReadGroup(ctx, group, true)
	if err != nil {
		return err
	}
	info, ok := s.Agents[agent]
	if !ok {
		return refusedf("no agent %q in group %s, there is: %s", agent, group, list(slices.Sorted(maps.Keys(s.Agents))))
	}
	for _, node := range info.Nodes {
		if s.Record != nil && (isMember(s.Record, node) || s.Record.Master == node) {
			return refusedf("agent %s looks after %s, which is in the group: forget that first", agent, node)
		}
	}
	if err := k.DeleteAgent(ctx, group, agent); err != nil {
		return err
	}
	fmt.Fprintf(c.Stdout, "agent %s does not count in %s any more", agent, group)
	agents, err := k.AgentHealth(ctx)
	if runs(byAgent(agents), agent) {
		fmt.Fprint(c.Stdout, "; but it runs, and enters itself again while its configuration has the group")
	}
	fmt.Fprintln(c.Stdout)
	return err
}

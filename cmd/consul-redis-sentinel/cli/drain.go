package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

func (c *CLI) drainCommand() *cobra.Command {
	limit, end := orderLimit, false
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Hand a node's master's place over and keep the node from becoming master",
		Long: `Put the services of a node into Consul's maintenance mode, which "consul maint" does as well, and wait until it is not
master. Run it on the node's machine, or with -http-addr of its Consul agent. Nothing is lost; while no replica can take
over, the node stays master. "drain -end NODE" ends the maintenance.`,
		Args: one("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.connect()
			if err != nil {
				return err
			}
			ids, err := k.Maintain(cmd.Context(), args[0], !end, "drained by "+whoAmI())
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				return refusedf("this Consul agent has no service of a node %q", args[0])
			}
			word := map[bool]string{false: "in maintenance", true: "not in maintenance any more"}[end]
			fmt.Fprintf(c.Stdout, "%s: %s\n", word, strings.Join(ids, ", "))
			if end {
				return nil
			}
			return c.awaitDrained(cmd.Context(), k, args[0], limit)
		},
	}
	cmd.Flags().BoolVar(&end, "end", false, "end the maintenance")
	cmd.Flags().DurationVar(&limit, "timeout", orderLimit, "how `LONG` to wait until it is not master")
	return c.addConsulFlags(cmd)
}

func (c *CLI) awaitDrained(ctx context.Context, k *catalog.Catalog, node string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	groups, err := k.Groups(ctx)
	if err != nil {
		return err
	}
	for _, group := range groups {
		for why := "Consul does not answer"; ; {
			s, err := k.ReadGroup(ctx, group, true)
			if ctx.Err() != nil {
				return coded{ExitTimeout, fmt.Errorf("not drained within %s: %s; \"status %s\" says more", limit, why, group)}
			}
			if err != nil {
				return err
			}
			if why = undrained(s, node); why == "" {
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	fmt.Fprintf(c.Stdout, "%s is not master\n", node)
	return nil
}

// undrained says why a node is, or may yet become, master of a group; empty when it is not and will not.
func undrained(s failover.State, node string) string {
	rep, ours := s.Nodes[node]
	switch r := s.Record; {
	case r == nil || !ours:
		return ""
	case r.Phase == failover.Electing:
		return "a master is being elected"
	case r.Master == node:
		return node + " is still master"
	case rep.Ineligible == "":
		return "its agent has not said yet that it is in maintenance"
	}
	return ""
}

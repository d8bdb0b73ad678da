package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

func (c *CLI) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [GROUP]",
		Short: "Show groups on one screen: epoch, master, nodes, votes, lock, and what is wrong",
		Long: `Show a group, or all of them: epoch, phase, master, durability, each node with its role, health, lag and agent, each
vote, the lock, what was saved at the last change of master, what is wrong in words, and what the agents wait for and why.
What is shown is read from Consul; the Redis servers are not asked. Outputs of checks, and what the agents wait for, are as
old as check_update_interval of their Consul agents lets them become, until a check changes its status; figures in them are up
to a minute older, and more where an agent has more than ten nodes.

The exit code is 0 whenever the state could be read, whatever it is; scripts find what is wrong under "wrong" in -json.`,
		Args: atMostOne("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.connect()
			if err != nil {
				return err
			}
			all, err := c.readStatus(cmd.Context(), k, args)
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(all)
			}
			for i, s := range all {
				if i > 0 {
					fmt.Fprintln(c.Stdout)
				}
				s.print(c.Stdout)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: a list of groups")
	return c.addConsulFlags(cmd)
}

// watchEvery is how often "watch" looks: often enough to see a failover happen, and four reads a second are nothing
// to Consul.
const watchEvery = 250 * time.Millisecond

func (c *CLI) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [GROUP]",
		Short: "Show the status again whenever it changes, until Ctrl-C",
		Args:  atMostOne("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.connect()
			if err != nil {
				return err
			}
			return c.watch(cmd.Context(), k, args)
		},
	}
	return c.addConsulFlags(cmd)
}

// watch prints the screen of status whenever something but the passing of time has changed in it.
func (c *CLI) watch(ctx context.Context, k *catalog.Catalog, args []string) error {
	var last string
	for {
		all, err := c.readStatus(ctx, k, args)
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how it ends
		case err != nil && (last == "" || !noConsul(err)):
			return err
		case err != nil:
			fmt.Fprintf(c.Stderr, "%s %v\n", time.Now().Format(clock), err)
		default:
			if now := all.fingerprint(); now != last {
				last = now
				fmt.Fprintf(c.Stdout, "── %s ──\n", time.Now().Format(clock))
				for _, s := range all {
					s.print(c.Stdout)
					fmt.Fprintln(c.Stdout)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// clock is how a time of day is printed: with milliseconds, which is what a failover takes.
const clock = "15:04:05.000"

// readStatus reads the groups named, or all.
func (c *CLI) readStatus(ctx context.Context, k *catalog.Catalog, groups []string) (statuses, error) {
	known, err := k.Groups(ctx)
	if err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		groups = known
	}
	if len(groups) == 0 {
		return nil, errors.New("no group in Consul: start an agent, and see that -kv-prefix and the datacenter are right")
	}
	agents, err := k.AgentHealth(ctx)
	if err != nil {
		return nil, err
	}
	all := make(statuses, 0, len(groups))
	for _, name := range groups {
		if err := isKnown(name, known); err != nil {
			return nil, err
		}
		state, err := k.ReadGroup(ctx, name, false)
		if err != nil {
			return nil, err
		}
		health, err := k.Health(ctx, name)
		if err != nil {
			return nil, err
		}
		rescued, err := lastRescued(ctx, k, name)
		if err != nil {
			return nil, err
		}
		all = append(all, assess(name, state, health, agents, rescued, time.Now()))
	}
	return all, nil
}

// lastRescued are the data sets that were saved because of the last change of master.
func lastRescued(ctx context.Context, k *catalog.Catalog, group string) ([]failover.Rescued, error) {
	last, err := k.History(ctx, group, 1)
	if len(last) == 0 {
		return nil, err
	}
	return last[0].Rescued, nil
}

package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// orderLimit is how long an order is waited for by default: several times what Consul takes to elect a leader of its
// own, which is the slowest thing that may come in between.
const orderLimit = 30 * time.Second

func (c *CLI) failoverCommand() *cobra.Command {
	return c.orderCommand(failover.OrderFailover, &cobra.Command{
		Use:   "failover GROUP",
		Short: "Replace the master now, without waiting for it",
		Long: `Ask the agents to replace a master that is open: its agent freezes it, the replica that has the most takes its
place. Writes that no replica has received are lost; switchover loses none. A master that is down needs no order: the agents
replace it by themselves. Where the master's agent does not run, the order is called off.

Where durability is "wait:k" and too many nodes have been lost, the agents choose nobody, because writes that WAIT k
acknowledged could be among what is lost. "status" says which nodes they wait for. -accept-data-loss lets them choose
the best of what is left; history names you, and what was not there.`,
	}, "")
}

func (c *CLI) rescueRecordCommand() *cobra.Command {
	return c.orderCommand(failover.OrderRecord, &cobra.Command{
		Use:   "record GROUP",
		Short: "Make the group's record anew where no other way leads on",
		Long: `The agents remember the highest epoch that they have seen. When Consul's record is gone or is older, because a snapshot
was restored or the keys were deleted, they do nothing by themselves. Name the node whose data hold from now on: the
one that is open if one is, else the one that has the most ("status GROUP" shows keys and offsets). All others become its replicas;
what they have that it has not is saved to files first.

The same is taken up where a change of master has come to a stand because nobody can be chosen, as when all servers were
restarted and came back with histories that nobody knows.`,
	}, "master")
}

func (c *CLI) switchoverCommand() *cobra.Command {
	return c.orderCommand(failover.OrderSwitchover, &cobra.Command{
		Use:   "switchover GROUP",
		Short: "Hand the master's place over to a replica, as planned",
		Long: `Ask the agents to hand the master's place over: writes are paused until the replica has everything, then the roles
change. It loses nothing, or it is called off.`,
	}, "to")
}

func (c *CLI) bootstrapCommand() *cobra.Command {
	return c.orderCommand(failover.OrderBootstrap, &cobra.Command{
		Use:   "bootstrap GROUP",
		Short: "Start a group whose nodes hold different data, with the master named",
		Long: `Start a group whose nodes hold different data, with the node given as its master. Nodes that hold data of another
history stay frozen and keep them: empty one to have it join ("redis-cli CONFIG SET replica-read-only no", then FLUSHALL).
A group whose data are of one history, or which has none, starts by itself.`,
	}, "master")
}

// orderCommand completes a command that writes an order into Consul and waits for what comes of it. target is the
// name of the flag for the wanted node; empty for none.
func (c *CLI) orderCommand(kind failover.OrderKind, cmd *cobra.Command, target string) *cobra.Command {
	var node string
	var acceptLoss bool
	limit := orderLimit
	cmd.Args = one("GROUP")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (kind == failover.OrderBootstrap || kind == failover.OrderRecord) && node == "" {
			return usagef(cmd, "-%s NODE is missing: the data of the others are given up, so it is not guessed", target)
		}
		if limit <= 0 {
			return usagef(cmd, "-timeout must be more than 0")
		}
		k, err := c.connect()
		if err != nil {
			return err
		}
		return c.order(cmd.Context(), k, args[0], limit, failover.Order{
			ID: rand.Text(), Kind: kind, Target: node, AcceptLoss: acceptLoss, By: whoAmI(), At: time.Now().UTC()})
	}
	if target != "" {
		cmd.Flags().StringVar(&node, target, "", "the `NODE` that becomes master"+
			map[bool]string{true: " (default the best)"}[kind == failover.OrderSwitchover])
	}
	if kind == failover.OrderFailover {
		cmd.Flags().BoolVar(&acceptLoss, "accept-data-loss", false, "let it lose writes that the group's durability would keep")
	}
	cmd.Flags().DurationVar(&limit, "timeout", orderLimit, "how `LONG` to wait for the outcome")
	return c.addConsulFlags(cmd)
}

// whoAmI names the operator for the history.
func whoAmI() string {
	name, host := "somebody", "an unknown host"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

// order writes an order and follows it until the group is steady under its new master.
func (c *CLI) order(ctx context.Context, k *catalog.Catalog, group string, limit time.Duration, o failover.Order) error {
	if err := mustKnow(ctx, k, group); err != nil {
		return err
	}
	before, err := k.ReadGroup(ctx, group, true)
	if err != nil {
		return err
	}
	if err := mayOrder(group, before, o); err != nil {
		return err
	}
	if r := before.Record; r != nil {
		o.Epoch = r.Epoch
	}
	begun := time.Now()
	if err := k.PutOrder(ctx, group, o); err != nil {
		return err
	}
	fmt.Fprintf(c.Stdout, "%s of %s ordered\n", o.Kind, group)

	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	f := follower{cli: c, order: o, begun: begun}
	if r := before.Record; r != nil {
		f.before = r.Epoch
		if r.Phase == failover.Steady { // of a group that has no master it may become the same again
			f.master = r.Master
		}
	}
	k.WatchGroup(wait, group, func(s failover.State) {
		if f.see(s) {
			cancel()
		}
	})
	if !f.done {
		return c.withdraw(k, group, o, f, ctx.Err() == nil, limit)
	}
	if f.refused != "" {
		_ = k.DeleteOrder(context.WithoutCancel(ctx), group, f.refusedAt) // it has been read
		return refusedf("refused: %s", f.refused)
	}
	if f.amiss != "" {
		return refusedf("%s; \"history %s\" and the log of the leader say why", f.amiss, group)
	}
	return c.tellSteps(ctx, k, group, f.after)
}

// mayOrder refuses what no leader could do, before anything is written.
func mayOrder(group string, s failover.State, o failover.Order) error {
	switch {
	case s.Order != nil && s.Order.Refused == "" && !o.AcceptLoss:
		return refusedf("the %s ordered by %s %s ago has not been taken up yet", s.Order.Kind, s.Order.By, ago(time.Now(), s.Order.At))
	case o.Kind == failover.OrderBootstrap && s.Record != nil:
		return refusedf("the group was started already: %s is master of epoch %d", s.Record.Master, s.Record.Epoch)
	case o.Kind != failover.OrderBootstrap && o.Kind != failover.OrderRecord && s.Record == nil:
		return refusedf("the group has not been started, \"status %s\" says why", group)
	}
	if _, ok := s.Nodes[o.Target]; o.Target != "" && !ok {
		return refusedf("no node %q in group %s, there is: %s", o.Target, group, list(slices.Sorted(maps.Keys(s.Nodes))))
	}
	return nil
}

// follower looks at the states that follow an order, and tells each step once.
type follower struct {
	cli    *CLI
	order  failover.Order
	before uint64 // the epoch when it was written
	master string // then; empty when there was none
	begun  time.Time

	read, electing, elected bool
	// done is set with what came of it: either refused, or the epoch after, or how that is not what was ordered.
	done      bool
	refused   string
	refusedAt uint64
	after     uint64
	amiss     string
}

// see takes in a state and tells whether the order has come to its end.
func (f *follower) see(s failover.State) bool {
	waits := s.Order != nil && s.Order.ID == f.order.ID
	if waits && s.Order.Refused != "" {
		f.done, f.refused, f.refusedAt = true, s.Order.Refused, s.OrderIndex
		return true
	}
	f.read = f.read || waits
	r := s.Record
	if r == nil {
		return false
	}
	if r.Phase == failover.Electing && !f.electing {
		f.electing = true
		f.say("electing, led by %s: %s", r.Election.Leader, r.Election.Cause)
	}
	switch {
	case r.Phase != failover.Steady || r.Epoch < f.before:
		return false
	case r.Epoch == f.before:
		if f.done = f.read && !waits; f.done {
			f.amiss = fmt.Sprintf("it was called off, and %s is still master of epoch %d", r.Master, r.Epoch)
		}
		return f.done
	}
	if !f.elected {
		f.elected = true
		f.say("%s is master of epoch %d, and redis-master names %s", r.Master, r.Epoch, r.Address)
	}
	if waits { // this master came without it
		return false
	}
	if _, open := r.Open(); open && !f.done {
		f.done, f.after, f.amiss = true, r.Epoch, f.otherwise(r.Master)
		f.say("%s takes writes", r.Master)
	}
	return f.done
}

// otherwise says how this master is not what was ordered; empty when it is.
func (f *follower) otherwise(master string) string {
	switch planned := f.order.Kind == failover.OrderSwitchover || f.order.Kind == failover.OrderFailover; {
	case planned && master == f.master:
		return fmt.Sprintf("it was called off, and %s was chosen again", master)
	case f.order.Target != "" && master != f.order.Target:
		return fmt.Sprintf("%s became master, and not %s", master, f.order.Target)
	}
	return ""
}

func (f *follower) say(format string, args ...any) {
	fmt.Fprintf(f.cli.Stdout, "%8s  %s\n", time.Since(f.begun).Round(time.Millisecond), fmt.Sprintf(format, args...))
}

// withdraw takes back an order that nobody took up, so that it does not take effect when nobody expects it any more.
func (c *CLI) withdraw(k *catalog.Catalog, group string, o failover.Order, f follower, timedOut bool, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	why := "interrupted"
	if timedOut {
		why = fmt.Sprintf("not done within %v", limit)
	}
	s, err := k.ReadGroup(ctx, group, true)
	if err != nil {
		return coded{ExitTimeout, fmt.Errorf("%s, and the order may still be taken up: %w", why, err)}
	}
	if s.Order != nil && s.Order.ID == o.ID {
		err := k.DeleteOrder(ctx, group, s.OrderIndex)
		if err == nil {
			return coded{ExitTimeout, fmt.Errorf("%s: no agent took up the order, it was withdrawn; \"status %s\" says what is wrong", why, group)}
		}
		if !errors.Is(err, catalog.ErrConflict) {
			return coded{ExitTimeout, fmt.Errorf("%s, and the order could not be withdrawn: %w", why, err)}
		}
	}
	at := "it was taken up and is still under way"
	if f.elected {
		at = "a new master was chosen and has not opened yet"
	}
	return coded{ExitTimeout, fmt.Errorf("%s: %s; \"status %s\" shows it", why, at, group)}
}

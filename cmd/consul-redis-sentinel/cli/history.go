package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

func (c *CLI) historyCommand() *cobra.Command {
	var asJSON bool
	n := 10
	cmd := &cobra.Command{
		Use:   "history GROUP",
		Short: "Show the changes of master: why, who was chosen, and how long each step took",
		Args:  one("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.connect()
			if err != nil {
				return err
			}
			if err := mustKnow(cmd.Context(), k, args[0]); err != nil {
				return err
			}
			if n <= 0 {
				n = math.MaxInt
			}
			list, err := k.History(cmd.Context(), args[0], n)
			if err != nil {
				return err
			}
			if asJSON {
				if list == nil {
					list = []failover.History{}
				}
				return c.printJSON(list)
			}
			if len(list) == 0 {
				fmt.Fprintln(c.Stdout, "No change of master yet.")
			}
			for i, h := range list {
				if i > 0 {
					fmt.Fprintln(c.Stdout)
				}
				printHistory(c.Stdout, h)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, the newest first")
	cmd.Flags().IntVar(&n, "last", n, "how `MANY` of the last hundred, 0 for all")
	return c.addConsulFlags(cmd)
}

func printHistory(w io.Writer, h failover.History) {
	fmt.Fprintf(w, "epoch %d   %s   %s → %s\n", h.Epoch, h.At.Local().Format("2006-01-02 "+clock), dash(h.From), h.To)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, value)
		}
	}
	row("cause", h.Cause)
	row("votes", list(h.Votes))
	row("leader", h.Leader)
	row("chosen", h.To+": "+h.Why)
	for _, k := range h.Candidates {
		if k.Refused != "" {
			row("not chosen", k.Node+": "+k.Refused)
		}
	}
	row("steps", stepsLine(h.Steps))
	switch {
	case h.NotReplicated > 0:
		row("discarded", fmt.Sprintf("%d bytes of the old master's history", h.NotReplicated))
	case h.NotReplicated < 0:
		row("discarded", "unknown")
	}
	for _, r := range h.Rescued {
		row("rescued", fmt.Sprintf("%s: %s (%s, on the machine of agent %s)", r.Node, r.File, r.Why, r.Agent))
	}
	_ = t.Flush()
}

func stepsLine(steps []failover.Step) string {
	var parts []string
	for _, s := range steps {
		parts = append(parts, s.Name+" "+tenths(time.Duration(s.Took)))
	}
	return strings.Join(parts, ", ")
}

// tenths writes a duration in milliseconds with one decimal, seconds from ten of them on.
func tenths(d time.Duration) string {
	if d >= 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}

// historyGrace is how long to wait for a history to be complete: its last step is that the others follow.
const historyGrace = 3 * time.Second

// tellSteps prints the steps of a change of master as its leader wrote them.
func (c *CLI) tellSteps(ctx context.Context, k *catalog.Catalog, group string, epoch uint64) error {
	h, err := awaitHistory(ctx, k, group, epoch, historyGrace)
	if err != nil || len(h.Steps) == 0 {
		return nil //nolint:nilerr // it was done; that its history cannot be read now is no failure
	}
	fmt.Fprintln(c.Stdout, "steps: "+stepsLine(h.Steps))
	return nil
}

// awaitHistory reads the history of an epoch, and waits a little until its last step is in it.
func awaitHistory(ctx context.Context, k *catalog.Catalog, group string, epoch uint64, limit time.Duration) (failover.History, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var found failover.History
	for {
		all, err := k.History(ctx, group, math.MaxInt)
		for _, h := range all {
			if h.Epoch == epoch {
				found = h
			}
		}
		if len(found.Steps) > 0 && found.Steps[len(found.Steps)-1].Name == "follow" {
			return found, nil
		}
		select {
		case <-ctx.Done():
			if found.Epoch == 0 {
				return found, errors.Join(fmt.Errorf("no history of epoch %d", epoch), err)
			}
			return found, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func list(names []string) string { return strings.Join(names, ", ") }

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

func (c *CLI) pauseCommand() *cobra.Command {
	return c.settingCommand("pause GROUP", "Let no change of master begin but by order", `Let no change of master begin but by order: a master that dies is not
replaced, and drain and maintenance mode wait. Leases, freezes and resyncs go on.`, true)
}

func (c *CLI) resumeCommand() *cobra.Command {
	return c.settingCommand("resume GROUP", "End a pause", "", false)
}

func (c *CLI) settingCommand(use, short, long string, paused bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  one("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.connect()
			if err != nil {
				return err
			}
			changed, err := setPaused(cmd.Context(), k, args[0], paused)
			if err != nil {
				return err
			}
			word := map[bool]string{true: "paused", false: "not paused"}[paused]
			if !changed {
				word = "already " + word
			}
			fmt.Fprintf(c.Stdout, "%s is %s\n", args[0], word)
			return nil
		},
	}
	return c.addConsulFlags(cmd)
}

// setPaused changes the shared settings; changed is false when they are so already.
func setPaused(ctx context.Context, k *catalog.Catalog, group string, paused bool) (changed bool, err error) {
	_, err = changeSettings(ctx, k, group, func(s *failover.Settings) error {
		changed = s.Paused != paused
		s.Paused = paused
		return nil
	})
	return changed, err
}

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

func (c *CLI) pauseCommand() *cobra.Command {
	return c.settingCommand("pause GROUP", "Stop everything automatic in a group; everything is still shown", true)
}

func (c *CLI) resumeCommand() *cobra.Command {
	return c.settingCommand("resume GROUP", "End a pause", false)
}

func (c *CLI) settingCommand(use, short string, paused bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
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

// setPaused changes the shared settings, and tries again when somebody else changed them meanwhile.
func setPaused(ctx context.Context, k *catalog.Catalog, group string, paused bool) (changed bool, err error) {
	known, err := k.Groups(ctx)
	if err != nil {
		return false, err
	}
	if err := isKnown(group, known); err != nil {
		return false, err
	}
	for range 10 {
		s, err := k.ReadGroup(ctx, group, true)
		if err != nil {
			return false, err
		}
		if s.Settings == nil {
			return false, refusedf("group %s has no settings yet: no agent has written them", group)
		}
		if s.Settings.Paused == paused {
			return false, nil
		}
		next := *s.Settings
		next.Paused = paused
		if err := k.PutSettings(ctx, group, next, s.SettingsIndex); !errors.Is(err, catalog.ErrConflict) {
			return err == nil, err
		}
	}
	return false, errors.New("the settings change all the time: try again")
}

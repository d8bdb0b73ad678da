package cli

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/redis"
)

// builtIn are the drivers that this binary serves when it is started as a plugin.
var builtIn = map[string]func(hclog.Logger) plugin.Driver{
	"redis": redis.New,
}

func (c *CLI) pluginCommand() *cobra.Command {
	names := slices.Sorted(maps.Keys(builtIn))
	return &cobra.Command{
		Use:   "plugin NAME",
		Short: "Serve a built-in driver (the agent runs this)",
		Long: "Serve a built-in driver to the agent that started this process. Drivers: " + strings.Join(names, ", ") + `.

There is nothing to be done with it by hand: it refuses unless an agent started it.`,
		Args:      one("the NAME of a driver"),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			driver, ok := builtIn[args[0]]
			if !ok {
				return usagef(cmd, "no built-in driver %q, there is: %s", args[0], strings.Join(names, ", "))
			}
			c.beFrugal()
			log := plugin.NewLogger(args[0])
			err := plugin.Serve(driver(log), log)
			if errors.Is(err, plugin.ErrStartedByHand) {
				return coded{ExitRefused, err}
			}
			return err
		},
	}
}

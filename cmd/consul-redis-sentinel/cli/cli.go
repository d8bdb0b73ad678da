// Package cli is the command line of consul-redis-sentinel: a value with its streams, so that tests run it as a shell
// does.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// CLI is one run of the program.
type CLI struct {
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Build          Build

	consul consulFlags
}

// Run runs the command line (without the program's name) until it is done or ctx ends, and returns the exit code.
// SIGINT and SIGTERM end ctx.
func (c *CLI) Run(ctx context.Context, args []string) ExitCode {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := c.root()
	root.SetArgs(doubleDashes(args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	var said quietError
	if !errors.As(err, &said) {
		fmt.Fprintf(c.Stderr, "consul-redis-sentinel: %s\n", strings.TrimRight(err.Error(), "\n"))
	}
	return exitCode(err)
}

// root builds the tree of commands.
func (c *CLI) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "consul-redis-sentinel",
		Short: "Redis failover run by HashiCorp Consul",
		Long: `consul-redis-sentinel watches groups of Redis servers, agrees in Consul when a master is down, promotes the best
replica, and moves redis-master.service.consul to it.

Flags are written with one dash or two. Consul is found as with HashiCorp's own tools: CONSUL_HTTP_ADDR,
CONSUL_HTTP_TOKEN, CONSUL_CACERT and so on, which a configuration overrides, which flags override.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2 // a letter too many and one too few
	root.SetOut(c.Stdout)
	root.SetErr(c.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef(cmd, "%v", err)
	})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "see", Title: "See:"},
		&cobra.Group{ID: "act", Title: "Act:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add("run", c.agentCommand(), c.devCommand(), c.validateCommand(), c.pluginCommand())
	add("see", c.statusCommand(), c.watchCommand(), c.historyCommand(), c.rescueCommand(), c.doctorCommand())
	add("act", c.failoverCommand(), c.switchoverCommand(), c.bootstrapCommand(), c.pauseCommand(), c.resumeCommand(), c.drainCommand(), c.settingsCommand(), c.forgetCommand())
	root.AddCommand(c.versionCommand())
	return root
}

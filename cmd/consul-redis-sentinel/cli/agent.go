package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/agent"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
)

func (c *CLI) agentCommand() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "agent -config PATH",
		Short: "Run the agent in the foreground",
		Long: `Run the agent beside this machine's Consul agent, in the foreground; it logs to standard error.

SIGHUP reads the configuration again, and is no less than a restart; a mistake in it is logged, and the old one stays.
Unless Consul confirms its master within 100 ms, an agent that starts freezes it until it does. SIGTERM and SIGINT end the
agent in order. The Redis servers stay as they are, unless drain_on_leave hands their masters over, or on_agent_loss
freezes them.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(paths) == 0 {
				return usagef(cmd, "-config PATH is missing")
			}
			return c.runAgent(cmd.Context(), paths)
		},
	}
	cmd.Flags().StringArrayVar(&paths, "config", nil, "configuration `PATH`, a file or a folder (repeatable)")
	return cmd
}

func (c *CLI) runAgent(ctx context.Context, paths []string) error {
	cfg, err := c.loadConfig(paths)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, which serves the built-in drivers: %w", err)
	}
	c.beFrugal()
	log := c.logger(cfg)
	warn(log, cfg)
	return agent.Run(ctx, agent.Options{
		Config: cfg, Logger: log, Version: c.Build.Version,
		BuiltIn: func(driver string) []string { return []string{self, "plugin", driver} },
		Reload:  c.reloads(ctx, log, paths),
	})
}

// beFrugal keeps the Go runtime from spreading a few milliseconds of work over all processors, which Redis and Consul have
// a better use for: handing goroutines from one to another costs more than it gains, and delays a failover by a sixth on a
// machine of two. A heap of a few megabytes need not be collected in the middle of one either. The environment variables
// GOMAXPROCS and GOGC overrule it.
func (c *CLI) beFrugal() {
	if c.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if c.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// loadConfig reads a configuration; its mistakes have an exit code of their own.
func (c *CLI) loadConfig(paths []string) (*config.Config, error) {
	cfg, err := config.Load(paths...)
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		return nil, coded{ExitConfig, fmt.Errorf("the configuration has %s:\n%w", count(len(mistakes), "mistake"), err)}
	}
	return cfg, err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *CLI) logger(cfg *config.Config) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Output: c.Stderr, Level: hclog.LevelFromString(cfg.Agent.LogLevel), JSONFormat: cfg.Agent.LogJSON,
	})
}

func warn(log hclog.Logger, cfg *config.Config) {
	for _, line := range cfg.Warnings {
		log.Warn(line)
	}
}

// reloads delivers the configuration as it is after each SIGHUP. A file with a mistake changes nothing.
func (c *CLI) reloads(ctx context.Context, log hclog.Logger, paths []string) <-chan *config.Config {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	out := make(chan *config.Config)
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
			}
			cfg, err := config.Load(paths...)
			if err != nil {
				log.Error("the configuration has mistakes, the old one stays", "error", err)
				continue
			}
			log.SetLevel(hclog.LevelFromString(cfg.Agent.LogLevel))
			warn(log, cfg)
			select {
			case out <- cfg:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

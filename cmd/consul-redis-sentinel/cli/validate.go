package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (c *CLI) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate PATH...",
		Short: "Show every mistake of a configuration, with file, line and mend",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "PATH is missing: a file or a folder of configuration")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := c.loadConfig(args)
			if err != nil {
				return err
			}
			for _, line := range cfg.Warnings {
				fmt.Fprintf(c.Stdout, "warning: %s\n", line)
			}
			fmt.Fprintf(c.Stdout, "The configuration is valid: agent %s, %s, %s.\n", cfg.Agent.Name,
				count(len(cfg.Groups), "group"), count(len(cfg.Nodes), "node"))
			return nil
		},
	}
}

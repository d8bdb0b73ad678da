package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Reference is the part of docs/cli.md that is made from the commands themselves.
func Reference() string {
	var b strings.Builder
	b.WriteString("## Exit codes\n\n| code | meaning |\n| --- | --- |\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.what)
	}
	b.WriteString("\n## Commands\n")
	root := (&CLI{}).root()
	for _, cmd := range root.Commands() {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		describe(&b, cmd)
	}
	return b.String()
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	path := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	fmt.Fprintf(b, "\n### %s\n\n    consul-redis-sentinel %s%s\n\n", path, strings.TrimSuffix(path, cmd.Name()), usageLine(cmd))
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "%s\n", text)
	var rows []string
	consul := false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		switch {
		case f.Name == "help":
		case isConsulFlag(cmd, f.Name):
			consul = true
		default:
			kind, what := pflag.UnquoteUsage(f)
			name := strings.TrimSpace("-" + f.Name + " " + kind)
			if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
				what += " (default " + f.DefValue + ")"
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s |\n", name, what))
		}
	})
	if len(rows) > 0 {
		b.WriteString("\n| flag | |\n| --- | --- |\n" + strings.Join(rows, ""))
	}
	if consul {
		b.WriteString("\nIt takes the [flags of Consul](#how-consul-is-found).\n")
	}
	for _, sub := range cmd.Commands() {
		describe(b, sub)
	}
}

func usageLine(cmd *cobra.Command) string {
	if cmd.HasAvailableLocalFlags() && !strings.Contains(cmd.Use, "-config") {
		return cmd.Use + " [flags]"
	}
	return cmd.Use
}

// isConsulFlag tells the flags that many commands share.
func isConsulFlag(cmd *cobra.Command, name string) bool {
	if cmd.Flags().Lookup("http-addr") == nil {
		return false
	}
	switch name {
	case "config", "http-addr", "token", "token-file", "ca-file", "datacenter", "kv-prefix":
		return true
	}
	return false
}

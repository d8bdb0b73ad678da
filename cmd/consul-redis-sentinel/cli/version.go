package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Build is what was stamped into the binary; Commit and Date are empty in a build by hand.
type Build struct {
	Version, Commit, Date string
}

// versionInfo is what "version -json" prints.
type versionInfo struct {
	Version        string `json:"version"`
	Commit         string `json:"commit,omitempty"`
	Date           string `json:"date,omitempty"`
	Go             string `json:"go"`
	Platform       string `json:"platform"`
	PluginProtocol int    `json:"plugin_protocol"`
}

// info completes what was stamped with what Go itself keeps in a binary.
func (b Build) info() versionInfo {
	v := versionInfo{Version: b.Version, Commit: b.Commit, Date: b.Date, Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, PluginProtocol: plugin.ProtocolVersion}
	if known, ok := debug.ReadBuildInfo(); ok && v.Commit == "" {
		for _, s := range known.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value[:min(12, len(s.Value))]
			case "vcs.time":
				v.Date = s.Value
			}
		}
	}
	return v
}

func (c *CLI) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, commit, Go and plugin protocol",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := c.Build.info()
			if asJSON {
				return c.printJSON(v)
			}
			fmt.Fprintf(c.Stdout, "consul-redis-sentinel %s\n", v.Version)
			if v.Commit != "" {
				fmt.Fprintf(c.Stdout, "commit          %s of %s\n", v.Commit, v.Date)
			}
			fmt.Fprintf(c.Stdout, "go              %s %s\n", v.Go, v.Platform)
			fmt.Fprintf(c.Stdout, "plugin protocol %d\n", v.PluginProtocol)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printJSON writes a value as people like to read JSON.
func (c *CLI) printJSON(v any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

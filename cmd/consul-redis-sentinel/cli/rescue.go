package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/rescue"
)

// rescueFlags say which folder is meant.
type rescueFlags struct {
	dir    string
	config []string
	asJSON bool
}

func (c *CLI) rescueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rescue",
		Short: "See what deposed masters had beyond the new master's history",
		Long: `See the data sets that were saved on this machine. Before a deposed master is resynced, its agent saves what the new master's
history lacks to a file in rescue_dir; docs/rescue.md tells how to get at it.`,
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.rescueListCommand(), c.rescueShowCommand(), c.rescueRecordCommand())
	return cmd
}

// noSubcommand is for a command that only has others under it.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "unknown command %q", args[0])
	}
	return nil
}

func (c *CLI) rescueListCommand() *cobra.Command {
	var f rescueFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the data sets that were saved on this machine, the newest first",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			store, err := c.rescueStore(f)
			if err != nil {
				return err
			}
			files, err := store.List()
			if err != nil {
				return err
			}
			if f.asJSON {
				return c.printJSON(files)
			}
			if len(files) == 0 {
				fmt.Fprintf(c.Stdout, "Nothing was saved in %s.\n", store.Dir())
				return nil
			}
			t := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(t, "saved\tgroup\tnode\tepoch\tdiscarded\tkeys\tsize\tname")
			for _, file := range files {
				if file.SHA256 == "" {
					fmt.Fprintf(t, "%s\t?\t?\t?\t?\t?\t%s\t%s\n", file.SavedAt.Local().Format("2006-01-02 15:04:05"), size(file.Size), file.Name)
					continue
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", file.SavedAt.Local().Format("2006-01-02 15:04:05"),
					file.Group, file.Node, file.Epoch, discarded(file), file.Keys, size(file.Size), file.Name)
			}
			if err := t.Flush(); err != nil {
				return err
			}
			for _, file := range files {
				if file.Problem != "" {
					fmt.Fprintf(c.Stdout, "%s: %s\n", file.Name, file.Problem)
				}
			}
			return nil
		},
	}
	return f.add(cmd)
}

func (c *CLI) rescueShowCommand() *cobra.Command {
	var f rescueFlags
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show what is known of a data set, compare the file with what was saved, and tell how to look inside",
		Long: `Show what is known of a data set, compare the file with what was saved (which reads all of it), and tell how to look inside.
NAME is that of the list, or its beginning where no other name begins so.`,
		Args: one("the NAME of a data set"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := c.rescueStore(f)
			if err != nil {
				return err
			}
			file, err := store.Find(args[0])
			if errors.Is(err, rescue.ErrNotFound) {
				return fmt.Errorf("%w; see: consul-redis-sentinel rescue list", err)
			} else if err != nil {
				return err
			}
			return c.showRescue(file, f.asJSON)
		},
	}
	return f.add(cmd)
}

func (c *CLI) showRescue(file rescue.File, asJSON bool) error {
	wrong := file.Verify()
	if wrong != nil {
		file.Problem = wrong.Error()
	}
	if asJSON {
		if err := c.printJSON(rescueJSON{file, file.Path, lookInside(file.Path)}); err != nil {
			return err
		}
	} else {
		c.printRescue(file)
	}
	if wrong != nil {
		return quietError{ExitFailed}
	}
	return nil
}

// rescueJSON is what "rescue show -json" prints.
type rescueJSON struct {
	rescue.File
	Path       string   `json:"path"`
	LookInside []string `json:"look_inside"`
}

func (c *CLI) printRescue(file rescue.File) {
	t := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("file", "%s", file.Path)
	row("size", "%s", size(file.Size))
	if file.SHA256 != "" {
		row("sha256", "%s", file.SHA256)
		row("saved", "%s", file.SavedAt.Local().Format("2006-01-02 "+clock))
		row("group", "%s", file.Group)
		row("node", "%s", file.Node)
		row("deposed", "at the start of epoch %d, run %s", file.Epoch, file.RunID)
		row("history", "%s up to offset %d", file.ReplID, file.LastOffset)
		row("discarded", "%s", discardedFrom(file))
		row("keys", "%d", file.Keys)
	}
	if file.Problem == "" {
		row("file is", "what was saved")
	} else {
		row("wrong", "%s", file.Problem)
	}
	_ = t.Flush()
	fmt.Fprintln(c.Stdout, "\nTo look inside, start a server of its own on it; it changes nothing:")
	for _, line := range lookInside(file.Path) {
		fmt.Fprintln(c.Stdout, "  "+line)
	}
}

// lookInside is a shell script that shows the data set. The server gets a link to the file, so that not even a BGSAVE
// would write into it; it is reached by a socket in a folder of its own, because the data is nobody else's business;
// and it is a read-only replica of nobody, because a master would drop what has expired since and take writes.
func lookInside(path string) []string {
	return []string{
		`d=$(mktemp -d) && ln -s ` + shellQuoted(path) + ` "$d/dump.rdb"`,
		`redis-server --port 0 --unixsocket "$d/redis.sock" --dir "$d" --dbfilename dump.rdb --save '' --appendonly no ` +
			`--replicaof 127.0.0.1 1 --replica-read-only yes --replica-serve-stale-data yes > "$d/log" &`,
		`until redis-cli -s "$d/redis.sock" ping 2>&1 | grep -q PONG; do sleep 0.1; done   # it loads`,
		`redis-cli -s "$d/redis.sock" info keyspace`,
		`redis-cli -s "$d/redis.sock" --scan         # the names of all keys; -n 1 before it for database 1`,
		`redis-cli -s "$d/redis.sock" type KEY       # then get, hgetall, lrange, ...`,
		`redis-cli -s "$d/redis.sock" shutdown nosave; rm -r "$d"`,
	}
}

func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func discarded(f rescue.File) string {
	if f.Beyond < 0 {
		return "unknown"
	}
	return size(f.Beyond)
}

func discardedFrom(f rescue.File) string {
	if f.Beyond >= 0 {
		return fmt.Sprintf("%d bytes, from offset %d on", f.Beyond, f.FirstOffset)
	}
	if f.Reason != "" {
		return f.Reason
	}
	return "unknown"
}

// size writes a number of bytes; small ones exactly.
func size(n int64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), "KMGTPE"
	for value /= 1024; value >= 1000 && len(units) > 1; value /= 1024 {
		units = units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}

func (f *rescueFlags) add(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&f.dir, "dir", "", "the `FOLDER` of the data sets, instead of the configuration's rescue_dir")
	cmd.Flags().StringArrayVar(&f.config, "config", nil, "configuration `PATH` whose rescue_dir is used (repeatable)")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

func (c *CLI) rescueStore(f rescueFlags) (*rescue.Store, error) {
	dir := f.dir
	if dir == "" {
		cfg := config.Default()
		if len(f.config) > 0 {
			var err error
			if cfg, err = c.loadConfig(f.config); err != nil {
				return nil, err
			}
		}
		dir = rescueDir(cfg)
	}
	store, err := rescue.View(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w; an agent makes it: name the folder with -dir, or its configuration with -config", err)
	}
	return store, err
}

// rescueDir is where the agent of a configuration saves data sets.
func rescueDir(cfg *config.Config) string {
	if cfg.Agent.RescueDir == "" { // not read from a file
		return filepath.Join(cfg.Agent.DataDir, "rescue")
	}
	return cfg.Agent.RescueDir
}

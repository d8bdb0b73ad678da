package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
)

// grade says how bad a finding is.
type grade string

const (
	gradeOK      grade = "ok"
	gradeWarning grade = "warning"
	gradeWrong   grade = "wrong"
)

// finding is the outcome of one check. The zero value is none: the check does not apply, or another one has said it.
type finding struct {
	// Subject is a node's name, or "machine".
	Subject string `json:"subject"`
	Check   string `json:"check"`
	Grade   grade  `json:"grade"`
	What    string `json:"what"`
	// Mend is what to do about it, empty when all is well.
	Mend string `json:"mend,omitempty"`
}

func fine(format string, args ...any) finding {
	return finding{Grade: gradeOK, What: fmt.Sprintf(format, args...)}
}

// warning is for what works, but not in every case that the guarantees speak of, or not as well as it could.
func warning(mend, format string, args ...any) finding {
	return finding{Grade: gradeWarning, What: fmt.Sprintf(format, args...), Mend: mend}
}

// bad is for what breaks a guarantee, or the failover itself.
func bad(mend, format string, args ...any) finding {
	return finding{Grade: gradeWrong, What: fmt.Sprintf(format, args...), Mend: mend}
}

// doctorLimit bounds the examination of one node: some dozen short questions.
const doctorLimit = 15 * time.Second

func (c *CLI) doctorCommand() *cobra.Command {
	var paths []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor -config PATH",
		Short: "Examine this machine and its Redis servers, and say how to mend what is wrong",
		Long: `Examine this machine and the Redis servers of a configuration, and say how to mend what is wrong. It is to be run on the
machine of the agent, as the agent's user where that can be: some rights are those of whoever runs it.

It looks at the machine and its Redis, not at Consul. It asks and reads only, nothing is changed, so it may be run at any
time. docs/doctor.md lists what it looks at. The exit code is 1 when something is wrong; warnings leave it 0.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(paths) == 0 {
				return usagef(cmd, "-config PATH is missing")
			}
			cfg, err := c.loadConfig(paths)
			if err != nil {
				return err
			}
			return c.tellFindings(cfg, examine(cmd.Context(), cfg), asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&paths, "config", nil, "configuration `PATH`, a file or a folder (repeatable)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// examine does every check.
func examine(ctx context.Context, cfg *config.Config) []finding {
	var all []finding
	note := func(subject, check string, f finding) {
		if f.Grade != "" {
			f.Subject, f.Check = subject, check
			all = append(all, f)
		}
	}
	for _, check := range machineChecks {
		note("machine", check.name, check.look(cfg))
	}
	for _, n := range cfg.Nodes {
		if n.Driver != "redis" {
			note(n.Name, "reachable", fine("driver %q: only Redis servers are examined", n.Driver))
			continue
		}
		examineNode(ctx, cfg, n, note)
	}
	return all
}

func examineNode(ctx context.Context, cfg *config.Config, n config.Node, note func(subject, check string, f finding)) {
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	p := &patient{node: n, rescueDir: rescueDir(cfg)}
	for _, g := range cfg.Groups {
		if g.Name == n.Group {
			p.group = g
		}
	}
	reached := p.meet(ctx)
	note(n.Name, "reachable", reached)
	if reached.Grade == gradeWrong {
		return
	}
	for _, check := range nodeChecks {
		if check.look != nil {
			note(n.Name, check.name, check.look(ctx, p))
		}
	}
}

// report is what "doctor -json" prints.
type report struct {
	Agent    string    `json:"agent"`
	Wrong    int       `json:"wrong"`
	Warnings int       `json:"warnings"`
	OK       int       `json:"ok"`
	Findings []finding `json:"findings"`
}

func (c *CLI) tellFindings(cfg *config.Config, all []finding, asJSON bool) error {
	r := report{Agent: cfg.Agent.Name, Findings: all}
	for _, f := range all {
		switch f.Grade {
		case gradeWrong:
			r.Wrong++
		case gradeWarning:
			r.Warnings++
		default:
			r.OK++
		}
	}
	if asJSON {
		if err := c.printJSON(r); err != nil {
			return err
		}
	} else {
		c.printFindings(cfg, r)
	}
	if r.Wrong > 0 {
		return quietError{ExitFailed}
	}
	return nil
}

func (c *CLI) printFindings(cfg *config.Config, r report) {
	title := map[string]string{"machine": "machine of agent " + cfg.Agent.Name}
	for _, n := range cfg.Nodes {
		title[n.Name] = fmt.Sprintf("node %s of group %s at %s", n.Name, n.Group, n.Address)
	}
	subject := ""
	var t *tabwriter.Writer
	for _, f := range r.Findings {
		if f.Subject != subject {
			if t != nil {
				_ = t.Flush()
				fmt.Fprintln(c.Stdout)
			}
			subject = f.Subject
			fmt.Fprintln(c.Stdout, title[subject])
			t = tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", f.Grade, f.Check, f.What)
		if f.Mend != "" {
			fmt.Fprintf(t, "  \t\t→ %s\n", f.Mend)
		}
	}
	if t != nil {
		_ = t.Flush()
	}
	fmt.Fprintf(c.Stdout, "\n%d wrong, %s, %d ok.\n", r.Wrong, count(r.Warnings, "warning"), r.OK)
}

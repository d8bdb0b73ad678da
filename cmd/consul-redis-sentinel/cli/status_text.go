package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// print writes the screen of a group.
func (s status) print(w io.Writer) {
	fmt.Fprintf(w, "%s   %s\n", s.Group, s.headline())
	fmt.Fprintf(w, "%s\n\n", s.terms())
	s.printNodes(w)
	fmt.Fprintln(w)
	s.printAgents(w)
	fmt.Fprintln(w)
	if len(s.Notes) > 0 {
		fmt.Fprintln(w, "To know:")
		for _, line := range s.Notes {
			fmt.Fprintf(w, "  - %s\n", line)
		}
		fmt.Fprintln(w)
	}
	if len(s.Wrong) == 0 {
		fmt.Fprintln(w, "Nothing is wrong.")
		return
	}
	fmt.Fprintln(w, "Wrong:")
	for _, line := range s.Wrong {
		fmt.Fprintf(w, "  ! %s\n", line)
	}
}

// headline is what matters most, in one line.
func (s status) headline() string {
	if s.Alarm != "" {
		if s.Phase == "" {
			return "ALARM, there is no record   no master"
		}
		return fmt.Sprintf("ALARM, epoch %d is not to be trusted   master %s at %s by the record", s.Epoch, s.Master, s.MasterAddress)
	}
	switch s.Phase {
	case failover.Steady:
		return fmt.Sprintf("epoch %d, steady for %s   master %s at %s", s.Epoch, ago(s.now, s.Since), s.Master, s.MasterAddress)
	case failover.Electing:
		return fmt.Sprintf("epoch %d, electing for %s   no master (was %s at %s)", s.Epoch, ago(s.now, s.Since), s.Master, s.MasterAddress)
	}
	return "not started   no master"
}

// terms are the lock, the votes and the settings that decide when something happens.
func (s status) terms() string {
	lock := "lock free"
	if s.Lock != "" {
		lock = "lock held by " + s.Lock
	}
	parts := []string{lock, fmt.Sprintf("votes down %d of %d needed", s.Quorum.Down, s.Quorum.Need)}
	if s.Durability != "" {
		parts = append(parts, s.durability())
	}
	if t := s.Settings; t != nil {
		parts = append(parts, "down_after "+brief(t.DownAfter), "fence_after "+brief(t.FenceAfter))
		if t.Paused {
			parts = append(parts, "PAUSED")
		}
	}
	return strings.Join(parts, " · ")
}

// durability is what is in force, and what is wanted where that is something else.
func (s status) durability() string {
	now, _ := failover.ParseDurability(s.Durability)
	if t := s.Settings; t != nil {
		if want, err := failover.ParseDurability(t.Durability); err == nil && want != now {
			return fmt.Sprintf("durability %s (%s is wanted and not in force)", s.Durability, cmp.Or(t.Durability, failover.DurabilityNone))
		}
	}
	return "durability " + s.Durability
}

func (s status) printNodes(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tROLE\tSTATE\tHEALTH\tADDRESS\tAGENT\tDATA\tREPLICATION")
	for _, n := range s.Nodes {
		agent := dash(n.Agent)
		if n.Agent != "" && !n.AgentAlive {
			agent += " (not running)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n.Name, dash(n.Role), dash(n.State), n.Health, n.Address, agent, n.data(), dash(n.Replication))
	}
	_ = t.Flush()
}

// data is how much a server has, and how far of which history.
func (n nodeStatus) data() string {
	if n.RunID == "" {
		return dash("")
	}
	keys := fmt.Sprintf("%d keys", n.Keys)
	if n.Position.ReplID == "" {
		return keys
	}
	return fmt.Sprintf("%s, %d of %.8s", keys, n.Position.Offset, n.Position.ReplID)
}

func (s status) printAgents(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "AGENT\tMACHINE\tRUNS\tVERSION\tVOTE")
	for _, a := range s.Agents {
		runs := "yes"
		if !a.Alive {
			runs = "no"
		}
		vote := "-"
		if v := a.Vote; v != nil {
			vote = fmt.Sprintf("%s for %s: %s", v.Verdict, ago(s.now, v.Since), v.Cause)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a.Name, dash(a.Machine), runs, dash(a.Version), vote)
	}
	_ = t.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ago is how long ago a time was, as people say it. Clocks of machines differ, so it is never negative.
func ago(now, then time.Time) string {
	d := max(now.Sub(then), 0)
	switch {
	case then.IsZero():
		return "?"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// brief writes a duration without the zeroes of "1m0s".
func brief(d failover.Duration) string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

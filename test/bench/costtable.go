package main

import (
	"fmt"
	"strings"
)

func (c *Cost) String() string {
	var parts []string
	for _, kind := range partKinds {
		if u := c.Parts[kind]; u != nil {
			parts = append(parts, fmt.Sprintf("%s %.0f MiB %.2f %% %d fds", kind, u.RSS, u.CPU, u.FDs))
		}
	}
	return fmt.Sprintf("%s; %.1f commands/s to Redis; writable again: one killed after %s, many killed %s, a machine's %s", strings.Join(parts, "; "),
		c.Commands, millis(float64(c.One)), many(c.Killed, c.KilledGroups), many(c.Half, c.HalfGroups))
}

// partKinds are the kinds of processes, in the order of the tables.
var partKinds = []string{"agent", "driver", "sentinel", "consul"}

func (r *Result) costTables() []*table {
	usage := &table{title: "What an idle installation costs on one machine: resident memory, per cent of one core, open files, goroutines.",
		head: []string{"groups", "process", "MiB", "% of a core", "files", "goroutines"}}
	traffic := &table{title: "What it asks of others while nothing happens, per second.",
		head: []string{"groups", "", "commands to all Redis servers", "to each", "entries in Consul's log (without agents)", "requests to Consul", "queries waiting"}}
	recovery := &table{title: "Until the groups can be written to again.",
		head: []string{"groups", "", "one master killed", "many killed at once", "a machine dies with many"}}
	for _, c := range r.Costs {
		groups := fmt.Sprint(c.Groups)
		for _, kind := range partKinds {
			u := c.Parts[kind]
			if u == nil {
				continue
			}
			goroutines := "-"
			if u.Goroutines > 0 {
				goroutines = fmt.Sprint(u.Goroutines)
			}
			usage.add(groups, kind, fmt.Sprintf("%.1f", u.RSS), fmt.Sprintf("%.2f", u.CPU), fmt.Sprint(u.FDs), goroutines)
		}
		consul := []string{"-", "-", "-"}
		if c.System == ours {
			consul = []string{fmt.Sprintf("%.2f (%.2f)", c.Writes, c.ConsulIdle), fmt.Sprintf("%.1f", c.Requests), fmt.Sprintf("%.0f", c.Blocking)}
		}
		traffic.add(append([]string{groups, c.System, fmt.Sprintf("%.1f", c.Commands), fmt.Sprintf("%.2f", c.CommandsEach)}, consul...)...)
		recovery.add(groups, c.System, millis(float64(c.One)), many(c.Killed, c.KilledGroups), many(c.Half, c.HalfGroups))
	}
	return []*table{usage, traffic, recovery}
}

// many is how long the last of some groups took, and how many they were.
func many(took ms, groups int) string {
	if groups == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (of %d)", millis(float64(took)), groups)
}

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table is what is printed on the terminal and, in Markdown, in the README.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table in columns.
func (t *table) print(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(tw, "  "+strings.ReplaceAll(strings.Join(row, "\t"), "`", ""))
	}
	_ = tw.Flush()
}

// markdown writes the table as GitHub reads it.
func (t *table) markdown(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "%s\n\n| %s |\n|%s\n", t.title, strings.Join(t.head, " | "), strings.Repeat(" --- |", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintln(w)
}

// tables are all that a result has to say.
func (r *Result) tables() []*table {
	return append([]*table{r.outageTable(), r.lossTable(), r.cutTable(), r.busyTable(), r.stepTable()}, r.costTables()...)
}

func printTables(w io.Writer, r *Result) {
	for _, t := range r.tables() {
		t.print(w)
	}
	for _, s := range r.Series {
		if s.Refused+s.Failed > 0 {
			fmt.Fprintf(w, "\n%s, down_after %s, %s: %d run(s) refused for noise and repeated, %d failed\n",
				s.Case, downAfterText(s.DownAfter), s.System, s.Refused, s.Failed)
		}
	}
}

func (r *Result) outageTable() *table {
	t := &table{title: "Write outage: the longest time between two acknowledged writes of one client.",
		head: []string{"fault", "`down_after`", "median", "p95", "Sentinel, median", "p95", "ratio", "Sentinel, go-redis"}}
	for _, d := range r.duels() {
		a, b := d.figures(ours), d.figures(peer)
		if a.median == "-" && b.median == "-" {
			continue
		}
		t.add(d.fault.title, downAfterText(d.downAfter), a.median, a.p95, b.median, b.p95, d.ratio(), b.goRedis)
	}
	return t
}

func (r *Result) lossTable() *table {
	t := &table{title: "Acknowledged writes that the new master does not have, and changes of master, for each fault.",
		head: []string{"fault", "`down_after`", "lost", "with WAIT", "changes", "Sentinel: lost", "with WAIT", "changes"}}
	for _, d := range r.duels() {
		a, b := d.figures(ours), d.figures(peer)
		if a.lost == "-" && b.lost == "-" {
			continue
		}
		t.add(d.fault.title, downAfterText(d.downAfter), a.lost, a.lostWait, a.changes, b.lost, b.lostWait, b.changes)
	}
	return t
}

// cutTable is about the clients on the side of a master that was cut off.
func (r *Result) cutTable() *table {
	t := &table{title: "A master that is cut off, and the clients on its side.",
		head: []string{"`down_after`", "", "last acknowledgement after the cut", "lost", "with WAIT"}}
	for _, d := range r.duels() {
		for _, system := range []string{ours, peer} {
			s := d.of[system]
			if s == nil || len(s.outages(clientOldSide)) == 0 {
				continue
			}
			t.add(downAfterText(d.downAfter), system, millis(median(s.until(clientOldSide))),
				numbers(s.lost(clientOldSide)), numbers(s.lost(clientOldSideWait)))
		}
	}
	return t
}

func (r *Result) busyTable() *table {
	t := &table{title: "Needless failovers of a healthy master that is kept busy for 0.3 to 0.5 s again and again, with all cores busy, in " +
		span(r.Options.BusyFor) + ".",
		head: []string{"`down_after`", ours, "Sentinel"}}
	for _, d := range r.duels() {
		if d.fault.name == "busy" {
			t.add(downAfterText(d.downAfter), d.figures(ours).changes, d.figures(peer).changes)
		}
	}
	return t
}

// stepTable tells where the time goes.
func (r *Result) stepTable() *table {
	t := &table{title: "Where the time goes: milliseconds after the fault, medians.", head: []string{"fault", "`down_after`", "", "steps"}}
	for _, d := range r.duels() {
		for _, system := range []string{ours, peer} {
			if d.of[system] == nil {
				continue
			}
			var parts []string
			for _, s := range d.of[system].medianSteps(clientPoll) {
				parts = append(parts, fmt.Sprintf("%s %.0f", s.Name, s.At))
			}
			if len(parts) > 0 {
				t.add(d.fault.title, downAfterText(d.downAfter), system, strings.Join(parts, ", "))
			}
		}
	}
	return t
}

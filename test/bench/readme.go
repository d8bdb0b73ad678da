package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	readmeBegin = "<!-- bench:begin -->"
	readmeEnd   = "<!-- bench:end -->"
	// plotFile is where the plot is kept, seen from the README.
	plotFile = "docs/bench.svg"
)

// writeReadme renews the part of a file between the comments, and the plot beside it.
func writeReadme(file string, r *Result) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(b)
	begin, end := strings.Index(text, readmeBegin), strings.Index(text, readmeEnd)
	if begin < 0 || end < begin {
		return fmt.Errorf("%s: want a line %s and, after it, a line %s", file, readmeBegin, readmeEnd)
	}
	text = text[:begin+len(readmeBegin)] + "\n" + r.section() + text[end:]
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	return writePlot(filepath.Join(filepath.Dir(file), plotFile), r)
}

// section is what the README says of the result.
func (r *Result) section() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Measured by `make bench` on %s, on %d cores (%s), Linux %s, Redis %s, Consul %s, %s", r.At.Format("2006-01-02"),
		m.Cores, m.CPU, m.Kernel, strings.TrimPrefix(m.Redis, "v"), strings.TrimPrefix(m.Consul, "v"), m.Go)
	if m.Program != "" {
		fmt.Fprintf(&b, ", commit %s", m.Program)
	}
	b.WriteString(".\n\n")
	if len(r.Series) > 0 {
		fmt.Fprintf(&b, "![Writes around a fault, and all outages](%s)\n\n", plotFile)
	}
	for _, t := range r.tables() {
		t.markdown(&b)
	}
	b.WriteString(r.caveats())
	return b.String()
}

// caveats say what the figures are, and what they are not.
func (r *Result) caveats() string {
	runs, refused, failed := 0, 0, 0
	var fsync []float64
	for _, s := range r.Series {
		for _, run := range s.Runs {
			if run.Fsync > 0 {
				fsync = append(fsync, float64(run.Fsync))
			}
		}
		runs += len(s.Runs)
		refused += s.Refused
		failed += s.Failed
	}
	lines := []string{
		"Everything runs on one machine: three Consul servers and three agents, or three sentinels, with three Redis servers and all clients. " +
			"There is no network between them, so every machine of a real installation adds its round trips; and Consul's servers, which " +
			"Sentinel does without, share the processors with the rest.",
		fmt.Sprintf("Both systems are measured in turn in the same run, each time in a new installation and with the fault at a random time: %d faults. "+
			"%d runs were refused because more than 1 in 100 sleeps of a millisecond took %s longer, and were repeated; %d failed.",
			runs, refused, span(r.Options.Jitter), failed),
		fmt.Sprintf("A client writes one key after the other, %s after the last reply, and asks every %s where the master is: Consul's DNS, or "+
			"`SENTINEL get-master-addr-by-name`. A client that keeps an answer for longer is as slow as that.", span(r.Options.Every), span(r.Options.Resolve)),
		fmt.Sprintf("Our `durability` is %q and `fence_after` %s (where groups are counted, 3 s, as by default): the lease of a master whose agent has died, or is cut off, "+
			"is waited for that long. Sentinel has a quorum of %d and `failover-timeout` %g s; everything else is as both come.",
			r.Options.Durability, span(r.Options.FenceAfter), sentinelQuorum, sentinelTimeout.Seconds()),
		fmt.Sprintf("Consul's servers write every commit to disk before it counts, and a change of master is two of them in a row, a planned one three: an fsync "+
			"took %s here, in the median.", millis(median(fsync))),
		"Of each kind of process the dearest of the three machines is shown. Commands that replicas and masters send each other are left out, " +
			"but for the master's `PING` every 10 s.",
	}
	if len(r.Costs) == 0 {
		lines = lines[:len(lines)-1]
	}
	return "- " + strings.Join(lines, "\n- ") + "\n"
}

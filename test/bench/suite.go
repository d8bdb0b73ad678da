package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// measureFailovers runs all cases in rounds, each with both systems one after the other, so that whatever changes on
// the machine in the course of an hour changes for both.
func measureFailovers(ctx context.Context, o *options, result *Result, say func(string, ...any)) error {
	failed := 0
	for round := range o.N {
		for _, name := range o.Cases {
			c, _ := caseNamed(name)
			downAfter := c.downAfter
			if len(o.DownAfter) > 0 {
				downAfter = o.DownAfter
			}
			for _, d := range downAfter {
				for _, system := range o.systems(round) {
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					if err := measureOne(ctx, o, result, c, d, system, round, say); err != nil && ctx.Err() == nil {
						failed++
						say("%v", err)
					}
				}
			}
		}
	}
	return failures(failed)
}

// failures is an error that counts what was told before.
func failures(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d measurement(s) failed", n)
}

// measureOne measures until a run is not refused, a bounded number of times.
func measureOne(ctx context.Context, o *options, result *Result, c kase, d time.Duration, system string, round int, say func(string, ...any)) error {
	series := result.series(c.name, d, system)
	head := fmt.Sprintf("%d/%d  %-11s %6v  %-22s", round+1, o.N, c.name, d, system)
	for range o.Repeats + 1 {
		run, err := measure(ctx, o, c, d, system)
		if err != nil {
			series.Failed++
			return fmt.Errorf("%s  failed: %w", head, err)
		}
		if o.Jitter > 0 && run.Jitter.duration() > o.Jitter {
			series.Refused++
			say("%s  refused: 1 in 100 sleeps of %v took %v longer; the limit is %v", head, nap, run.Jitter.duration().Round(time.Microsecond), o.Jitter)
			continue
		}
		series.Runs = append(series.Runs, run)
		say("%s  %s", head, run)
		return nil
	}
	return fmt.Errorf("%s  given up: the machine is too noisy; nothing else should run on it", head)
}

// keepLogs copies the logs of a run.
func keepLogs(o *options, dir string) {
	if o.KeepLogs == "" {
		return
	}
	to := filepath.Join(o.KeepLogs, filepath.Base(dir))
	if err := os.MkdirAll(to, 0o755); err != nil {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	for _, file := range logs {
		if b, err := os.ReadFile(file); err == nil {
			_ = os.WriteFile(filepath.Join(to, filepath.Base(file)), b, 0o644)
		}
	}
}

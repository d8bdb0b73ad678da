// Command bench measures this project and redis-sentinel side by side: the same faults and the same clients on the
// same machine in the same run. "go run ./test/bench -h" tells what it can do; "make bench" runs what the README
// reports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	result := newResult(o)
	if o.From != "" {
		if result, err = readResult(o.From); err != nil {
			return err
		}
	} else {
		if err := o.enterNetwork(); err != nil { // begins this process anew
			return err
		}
		if err := o.findBinary(); err != nil {
			return err
		}
		defer o.removeBinary()
		result.Machine.Program = program(o.Binary)
		say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
		if !o.CostOnly() {
			err = errors.Join(err, measureFailovers(ctx, o, result, say))
		}
		if o.Cost {
			err = errors.Join(err, measureCosts(ctx, o, result, say))
		}
	}
	if !o.AllAcks {
		result.trim()
	}
	// What was measured before an error or Ctrl-C is of use all the same.
	printTables(os.Stdout, result)
	for _, out := range []struct {
		file  string
		write func(string, *Result) error
	}{{o.JSON, writeResult}, {o.SVG, writePlot}, {o.Readme, writeReadme}} {
		if out.file != "" {
			err = errors.Join(err, out.write(out.file, result))
		}
	}
	return err
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/test/hosts"
)

// options are what the command line says.
type options struct {
	N         int
	Cases     []string
	DownAfter []time.Duration // empty is each case's own
	Binary    string
	JSON      string
	SVG       string
	Readme    string
	From      string
	AllAcks   bool

	Every      time.Duration
	Resolve    time.Duration
	Settle     time.Duration
	Tail       time.Duration
	BusyFor    time.Duration
	Durability string
	FenceAfter time.Duration
	Jitter     time.Duration
	Repeats    int
	Only       string
	KeepLogs   string
	ConsulHCL  string

	Cost   bool
	Groups []int
	Window time.Duration

	casesGiven bool
	built      string // a directory made for the binary
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	var cases, downAfter, groups string
	f.IntVar(&o.N, "n", 10, "how many `runs` of each case and system")
	f.StringVar(&cases, "case", "all", "the `cases` to run, of "+strings.Join(caseNames(), ",")+", or all")
	f.StringVar(&downAfter, "down-after", "", "down_after of all cases, such as 5s,500ms; without it each case's own")
	f.StringVar(&o.Binary, "binary", os.Getenv("CRS_BINARY"), "the consul-redis-sentinel to measure; built if not given, nor in CRS_BINARY")
	f.StringVar(&o.Only, "system", "", "only one of "+ours+", "+peer+" (for work on the benchmark)")
	f.StringVar(&o.JSON, "json", "", "write everything measured to `FILE`")
	f.StringVar(&o.SVG, "svg", "", "write the plot to `FILE`")
	f.StringVar(&o.Readme, "readme", "", "renew the part of `FILE` between the bench comments")
	f.StringVar(&o.From, "from", "", "measure nothing, take the `FILE` that -json wrote")
	f.BoolVar(&o.AllAcks, "all-acks", false, "keep every acknowledgement in the JSON, not those of the median runs only")
	f.DurationVar(&o.Every, "every", 2*time.Millisecond, "pause between two writes of a client")
	f.DurationVar(&o.Resolve, "resolve", 5*time.Millisecond, "how often a client asks where the master is")
	f.DurationVar(&o.Settle, "settle", 3*time.Second, "the fault comes at a random time up to this long after all is whole")
	f.DurationVar(&o.Tail, "tail", 2*time.Second, "how long clients go on writing after the last change of master")
	f.DurationVar(&o.BusyFor, "busy-for", time.Minute, "how long the case busy lasts")
	f.StringVar(&o.Durability, "durability", "none", "the durability setting of "+ours)
	f.DurationVar(&o.FenceAfter, "fence-after", 3*time.Second, "the fence_after of "+ours)
	f.DurationVar(&o.Jitter, "jitter", 5*time.Millisecond, "refuse a run if more than 1 in 100 sleeps of 1 ms took this much longer; 0 refuses none")
	f.IntVar(&o.Repeats, "repeats", 3, "how often a refused run is repeated")
	f.StringVar(&o.KeepLogs, "logs", "", "copy the logs of the servers of every run into `DIR`")
	f.StringVar(&o.ConsulHCL, "consul-hcl", "", "further `configuration` of the Consul servers, for experiments")
	f.BoolVar(&o.Cost, "cost", false, "measure what an idle installation costs, and failovers of many groups; -case adds failovers of one")
	f.StringVar(&groups, "groups", "1,10,100", "the numbers of groups for -cost")
	f.DurationVar(&o.Window, "window", 30*time.Second, "how long costs are measured")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	f.Visit(func(f *flag.Flag) { o.casesGiven = o.casesGiven || f.Name == "case" })
	return o, errors.Join(o.setCases(cases), o.setDownAfter(downAfter), o.setGroups(groups), o.check())
}

// CostOnly tells that no failovers of a single group are wanted.
func (o *options) CostOnly() bool { return o.Cost && !o.casesGiven }

func (o *options) check() error {
	if o.N < 1 {
		return errors.New("-n wants a number of at least 1")
	}
	if o.Only != "" && o.Only != ours && o.Only != peer {
		return fmt.Errorf("-system: there is no %q", o.Only)
	}
	if o.Readme != "" && o.From == "" {
		return errors.New("-readme wants -from: a result is looked at before it is published")
	}
	return nil
}

func (o *options) setCases(list string) error {
	if list == "all" {
		o.Cases = caseNames()
		return nil
	}
	for name := range strings.SplitSeq(list, ",") {
		if _, ok := caseNamed(name); !ok {
			return fmt.Errorf("-case: there is no %q; there are %s", name, strings.Join(caseNames(), ", "))
		}
		o.Cases = append(o.Cases, name)
	}
	return nil
}

func (o *options) setDownAfter(list string) error {
	if list == "" {
		return nil
	}
	for s := range strings.SplitSeq(list, ",") {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("-down-after: %w", err)
		}
		o.DownAfter = append(o.DownAfter, d)
	}
	return nil
}

func (o *options) setGroups(list string) error {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxGroups {
			return fmt.Errorf("-groups: %q is no number from 1 to %d", s, maxGroups)
		}
		o.Groups = append(o.Groups, n)
	}
	return nil
}

// systems are those to be measured, in an order that changes with the round.
func (o *options) systems(round int) []string {
	if o.Only != "" {
		return []string{o.Only}
	}
	list := []string{ours, peer}
	if round%2 == 1 {
		slices.Reverse(list)
	}
	return list
}

// enterNetwork makes this process one that can have hosts of its own, if the cases need them. Where that is not possible
// those cases are left out.
func (o *options) enterNetwork() error {
	needs := func(name string) bool {
		c, _ := caseNamed(name)
		return c.cut != nil
	}
	if o.CostOnly() || !slices.ContainsFunc(o.Cases, needs) {
		return nil
	}
	err := hosts.Enter()
	if errors.Is(err, hosts.ErrUnsupported) {
		fmt.Printf("without the cases that cut machines off: %v\n", err)
		o.Cases = slices.DeleteFunc(o.Cases, needs)
		return nil
	}
	return err
}

// findBinary builds the program when none was given.
func (o *options) findBinary() (err error) {
	if o.Binary != "" {
		o.Binary, err = filepath.Abs(o.Binary)
		return err
	}
	if o.built, err = os.MkdirTemp("", "crs-bench-"); err != nil {
		return err
	}
	o.Binary = filepath.Join(o.built, "consul-redis-sentinel")
	cmd := exec.Command("go", "build", "-trimpath", "-o", o.Binary,
		"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

func (o *options) removeBinary() {
	if o.built != "" {
		_ = os.RemoveAll(o.built)
	}
}

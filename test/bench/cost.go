package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

const (
	maxGroups = 500
	// costDownAfter is that of all groups; it decides how often servers are asked whether they live.
	costDownAfter = time.Second
	// fleetLimit bounds the start of hundreds of servers.
	fleetLimit = 10 * time.Minute
	// trackEvery is how often the clients of a group ask for its master after a fault. It is slower than the clients of
	// a single group, and those of many together ask no more than a thousand times a second, so that it is not the clients that
	// are measured.
	trackEvery = 20 * time.Millisecond
)

// Cost is what an installation of many groups, each a master and a replica, costs while nothing happens, and how long
// it takes to recover.
type Cost struct {
	Groups int    `json:"groups"`
	System string `json:"system"`
	// Parts are the processes, by kind; each is the dearest of its kind on the three machines.
	Parts map[string]*Usage `json:"parts"`
	// Commands is how many commands all Redis servers together got, per second; CommandsEach the mean of one.
	Commands     float64 `json:"redis_commands_per_second"`
	CommandsEach float64 `json:"redis_commands_per_second_each"`
	// ConsulIdle is what Consul's log grows by without agents, per second; Writes is what it grows by with them.
	ConsulIdle float64 `json:"consul_idle_writes_per_second,omitempty"`
	Writes     float64 `json:"consul_writes_per_second,omitempty"`
	// Requests is how many Consul's servers have answered, per second; Blocking is how many queries wait for a change.
	Requests float64 `json:"consul_requests_per_second,omitempty"`
	Blocking float64 `json:"consul_blocking_queries,omitempty"`
	// One is how long one group whose master was killed could not be written to. Half is how long the last of
	// HalfGroups could not whose masters died with their machine, Killed how long the last of KilledGroups could not
	// whose masters were killed together.
	One          ms  `json:"one_ms"`
	Half         ms  `json:"half_ms,omitempty"`
	HalfGroups   int `json:"half_groups,omitempty"`
	Killed       ms  `json:"killed_ms,omitempty"`
	KilledGroups int `json:"killed_groups,omitempty"`
}

// Usage is what one process needs.
type Usage struct {
	// RSS is resident memory in MiB, CPU per cent of one core.
	RSS        float64 `json:"rss_mib"`
	CPU        float64 `json:"cpu_percent"`
	FDs        int     `json:"fds"`
	Goroutines int     `json:"goroutines,omitempty"`
}

// fleet is an installation of many groups.
type fleet interface {
	// servers are the Redis servers.
	servers() *servers
	// settle returns when every group has a master, and a replica that may take over.
	settle(ctx context.Context) error
	// finder asks on some machines where the master of a group is.
	finder(g int, ask []int) finder
	// parts are the processes of a machine, by kind.
	parts(i int) map[string]int
	// watch measures for a while what only this system has.
	watch(ctx context.Context, c *Cost, window time.Duration) error
	// count fills in what can be known of processes only by ending them, and starts them again.
	count(ctx context.Context, c *Cost) error
	// watchers are the processes of a machine that take part in decisions.
	watchers(i int) []*sandbox.Process
	logs() string
	close() error
}

func measureCosts(ctx context.Context, o *options, result *Result, say func(string, ...any)) error {
	failed := 0
	for _, groups := range o.Groups {
		for _, name := range o.systems(0) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			say("cost of %d group(s), %s", groups, name)
			cost, err := measureCost(ctx, o, name, groups)
			if err != nil {
				failed++
				say("cost of %d groups, %s: %v", groups, name, err)
				continue
			}
			result.Costs = append(result.Costs, cost)
			say("  %s", cost)
		}
	}
	return failures(failed)
}

func measureCost(ctx context.Context, o *options, name string, groups int) (c *Cost, err error) {
	c = &Cost{Groups: groups, System: name, Parts: map[string]*Usage{}}
	starting, cancel := context.WithTimeout(ctx, fleetLimit)
	defer cancel()
	var f fleet
	if name == ours {
		f, err = startOurFleet(starting, o, groups, c)
	} else {
		f, err = startPeerFleet(starting, groups)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, f.logs())
		}
		keepLogs(o, f.servers().s.Dir)
		err = errors.Join(err, f.close())
	}()
	if err := f.settle(starting); err != nil {
		return nil, err
	}
	if err := c.idle(ctx, f, o.Window); err != nil {
		return nil, err
	}
	if err := f.count(ctx, c); err != nil {
		return nil, err
	}
	return c, c.failovers(ctx, f, groups)
}

// idle measures for a while what happens when nothing happens.
func (c *Cost) idle(ctx context.Context, f fleet, window time.Duration) error {
	meter, err := f.servers().meter(ctx)
	if err != nil {
		return err
	}
	defer meter.close()
	begin := snapshot(f)
	var watching sync.WaitGroup
	var watchErr error
	watching.Go(func() { watchErr = f.watch(ctx, c, window) })
	sleep(ctx, window)
	c.addUsage(begin, snapshot(f))
	if c.Commands, err = meter.perSecond(ctx); err != nil {
		return err
	}
	c.CommandsEach = c.Commands / float64(2*c.Groups)
	watching.Wait()
	return errors.Join(watchErr, context.Cause(ctx))
}

// failovers measures how long a group cannot be written to: one alone, all those of a machine that dies, and as many
// others at once.
func (c *Cost) failovers(ctx context.Context, f fleet, groups int) error {
	s := f.servers()
	masters, err := masterMachines(ctx, f, groups)
	if err != nil {
		return err
	}
	one := groups - 1
	ended := []*sandbox.Process{s.of(one, masters[one])}
	if c.One, err = trackAll(ctx, f, map[int]int{one: masters[one]}, ended); err != nil || groups < 2 {
		return err
	}
	if masters, err = heal(ctx, f, ended, groups); err != nil {
		return err
	}
	// No group changes its master twice: Sentinel waits long before it does that.
	const dies = 0
	dying, killed := map[int]int{}, map[int]int{}
	ended = f.watchers(dies)
	for g := range groups {
		ended = append(ended, s.of(g, dies))
		switch {
		case g == one:
		case masters[g] == dies:
			dying[g] = dies
		default:
			killed[g] = masters[g]
		}
	}
	c.HalfGroups, c.KilledGroups = len(dying), len(killed)
	if c.Half, err = trackAll(ctx, f, dying, ended); err != nil || len(killed) == 0 {
		return err
	}
	if _, err = heal(ctx, f, ended, groups); err != nil {
		return err
	}
	ended = nil
	for g, machine := range killed {
		ended = append(ended, s.of(g, machine))
	}
	c.Killed, err = trackAll(ctx, f, killed, ended)
	return err
}

// heal starts what has ended again and returns the machines of all masters when every group is whole.
func heal(ctx context.Context, f fleet, ended []*sandbox.Process, groups int) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, fleetLimit)
	defer cancel()
	for _, p := range ended {
		if err := p.Start(); err != nil {
			return nil, err
		}
	}
	if err := f.settle(ctx); err != nil {
		return nil, err
	}
	return masterMachines(ctx, f, groups)
}

// masterMachines are the machines of the masters of all groups. A machine that is too busy may have changed them.
func masterMachines(ctx context.Context, f fleet, groups int) ([]int, error) {
	var all []int
	for g := range groups {
		addr, err := f.finder(g, []int{2})(ctx)
		if err != nil {
			return nil, fmt.Errorf("find the master of group %d: %w", g, err)
		}
		all = append(all, slices.Index([]string{f.servers().addr(g, 0), f.servers().addr(g, 1)}, addr))
		if all[g] < 0 {
			return nil, fmt.Errorf("the master of group %d is at %s", g, addr)
		}
	}
	return all, nil
}

// trackAll kills processes and returns how long it took until the last of some groups could be written to elsewhere than
// on the machines of their masters, by clients that ask the third machine where the master is.
func trackAll(ctx context.Context, f fleet, masters map[int]int, kill []*sandbox.Process) (ms, error) {
	ctx, cancel := context.WithTimeout(ctx, outageLimit)
	defer cancel()
	if err := f.servers().lead(ctx, f); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := killAll(kill); err != nil {
		return 0, err
	}
	var parts sync.WaitGroup
	var mu sync.Mutex
	var longest time.Duration
	var errs []error
	pause := max(trackEvery, time.Duration(len(masters))*time.Millisecond)
	for g, machine := range masters {
		parts.Go(func() {
			old, find := f.servers().addr(g, machine), f.finder(g, []int{2})
			err := sandbox.WaitFor(ctx, fmt.Sprintf("group %d can be written to", g), func(ctx context.Context) error {
				err := writable(ctx, find, old)
				if err != nil {
					sleep(ctx, pause)
				}
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, time.Since(begun))
			errs = append(errs, err)
		})
	}
	parts.Wait()
	return msOf(longest), errors.Join(errs...)
}

// writable is nil when another server than the old master is named and takes a write.
func writable(ctx context.Context, find finder, old string) error {
	addr, err := find(ctx)
	switch {
	case err != nil:
		return err
	case addr == old:
		return errors.New("the master is the old one")
	}
	c := plain(addr, loopback)
	defer c.Close()
	return set(ctx, c, "bench", "1", 0)
}

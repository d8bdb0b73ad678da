package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// consulSystem is this project: on each of three machines a Consul server, an agent, and a Redis server.
type consulSystem struct{ s *sandbox.Sandbox }

func startOurs(ctx context.Context, on sandbox.Options, o *options, downAfter time.Duration) (system, error) {
	on.Binary, on.Fallbacks, on.ConsulHCL = o.Binary, true, o.ConsulHCL
	on.GroupHCL = fmt.Sprintf("down_after = %q\nfence_after = %q\ndurability = %q\n", downAfter, o.FenceAfter, o.Durability)
	s, err := sandbox.Start(ctx, on)
	if err != nil {
		return nil, err
	}
	return &consulSystem{s}, nil
}

func (c *consulSystem) redis(i int) *sandbox.Redis { return c.s.Redis(i) }

func (c *consulSystem) settle(ctx context.Context) (int, error) {
	state, err := c.s.WaitSteady(ctx, 1)
	if err != nil {
		return 0, err
	}
	return machineOf(c, state.Record.Address)
}

// machineOf is the machine of the Redis server with an address.
func machineOf(s system, addr string) (int, error) {
	for i := range machines {
		if s.redis(i).Addr() == addr {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no Redis server has the address %s", addr)
}

func (c *consulSystem) finder(d dial, ask []int) finder {
	var servers []string
	for _, i := range ask {
		servers = append(servers, c.s.Consul(i).DNSAddr())
	}
	return dnsFinder(d, c.s.MasterName(), servers)
}

func (c *consulSystem) clients(dial, []int) map[string]store { return nil }

func (c *consulSystem) lose(i int) error {
	all := []*sandbox.Process{c.s.Redis(i).Process, c.s.Agent(i).Process, c.s.Consul(i).Process}
	return killAll(all)
}

// killAll kills processes at once, and then returns when they are gone.
func killAll(all []*sandbox.Process) error {
	var errs []error
	for _, p := range all {
		errs = append(errs, p.Signal(sigkill))
	}
	for _, p := range all {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// lead makes the Consul server of a machine the leader of Consul.
func (c *consulSystem) lead(ctx context.Context, i int) error {
	return sandbox.WaitFor(ctx, c.s.Consul(i).Name+" leads Consul", func(ctx context.Context) error {
		now, err := c.s.ConsulLeader(ctx)
		if err != nil || now == i {
			return err
		}
		operator := c.s.Consul(now).Client.Operator()
		raft, err := operator.RaftGetConfiguration((&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		for _, server := range raft.Servers {
			if strings.HasPrefix(server.Address, c.s.IP(i)+":") {
				if _, err := operator.RaftLeaderTransfer(server.ID, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
					return err
				}
			}
		}
		return fmt.Errorf("%s led", c.s.Consul(now).Name)
	})
}

func (c *consulSystem) switchover(ctx context.Context, notBy int) error {
	k, err := c.s.Catalog(others(notBy)[0])
	if err != nil {
		return err
	}
	now := time.Now()
	return k.PutOrder(ctx, c.s.Group(), failover.Order{ID: strconv.FormatInt(now.UnixNano(), 36),
		Kind: failover.OrderSwitchover, By: "the benchmark", At: now})
}

func (c *consulSystem) changes(ctx context.Context, notBy int) (int, error) {
	state, err := c.state(ctx, notBy)
	if err != nil {
		return 0, err
	}
	return int(state.Record.Epoch), nil
}

func (c *consulSystem) state(ctx context.Context, notBy int) (failover.State, error) {
	k, err := c.s.Catalog(others(notBy)[0])
	if err != nil {
		return failover.State{}, err
	}
	state, err := k.ReadGroup(ctx, c.s.Group(), true)
	if err == nil && state.Record == nil {
		err = errors.New("the group has no record")
	}
	return state, err
}

// steps are those of the history entry. Up to the commit they follow each other and end when the choice was made,
// which is the time of the entry; those after it are counted from the commit, whose time is not known.
func (c *consulSystem) steps(ctx context.Context, notBy int, fault time.Time) ([]step, error) {
	k, err := c.s.Catalog(others(notBy)[0])
	if err != nil {
		return nil, err
	}
	all, err := k.History(ctx, c.s.Group(), 100)
	if err != nil {
		return nil, err
	}
	// The first change after the fault is the one that ended the outage.
	var h *failover.History
	for i := range all {
		if all[i].At.After(fault) {
			h = &all[i]
		}
	}
	if h == nil {
		return nil, errors.New("no change of master is in the history")
	}
	var before []failover.Step
	total := failover.Duration(0)
	for _, s := range h.Steps {
		if s.Name != "open" && s.Name != "follow" {
			before = append(before, s)
			total += s.Took
		}
	}
	at := h.At.Add(-time.Duration(total))
	steps := []step{{"quorum", msOf(at.Sub(fault))}}
	for _, s := range before {
		at = at.Add(time.Duration(s.Took))
		name, _, _ := strings.Cut(s.Name, ":")
		steps = append(steps, step{name, msOf(at.Sub(fault))})
	}
	return steps, nil
}

func (c *consulSystem) run(i int, name, path string, args ...string) (*sandbox.Process, error) {
	return c.s.Run(i, name, path, args...)
}

func (c *consulSystem) logs() string { return c.s.AgentLogs() }
func (c *consulSystem) dir() string  { return c.s.Dir }
func (c *consulSystem) close() error { return c.s.Close() }

package chaos

import (
	"context"
	"errors"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// fault is something that goes wrong on host i; mend undoes it, if it has to be.
type fault struct {
	name   string
	strike func(c *chaos, i int) (mend func() error, err error)
}

var faults = []fault{
	{"Redis killed", func(c *chaos, i int) (func() error, error) { return nil, c.h.Redis(i).Kill() }},
	{"Redis stopped", func(c *chaos, i int) (func() error, error) { return c.h.Redis(i).Cont, c.h.Redis(i).Stop() }},
	{"Redis hangs", func(c *chaos, i int) (func() error, error) { return nil, c.h.Hang(i, 2*time.Second) }},
	{"a script without end", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.h.EndScript(i) }, c.h.StuckScript(i, c.r.IntN(2) == 0)
	}},
	{"disk full", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.h.FreeDisk(i) }, c.h.FillDisk(i)
	}},
	{"host cut off", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.healed(c.h.Network.HealHost(i)) }, c.h.Network.Cut(i)
	}},
	{"two hosts cut off from each other", func(c *chaos, i int) (func() error, error) {
		j := (i + 1) % len(c.h.Redises())
		return func() error { return c.healed(c.h.Network.HealPair(i, j)) }, c.h.Network.CutPair(i, j)
	}},
	{"one direction cut", func(c *chaos, i int) (func() error, error) {
		j := (i + 1) % len(c.h.Redises())
		return func() error { return c.healed(c.h.Network.HealPair(i, j)) }, c.h.Network.CutOneWay(i, j)
	}},
	{"slow and lossy network", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.h.Network.Delay(i, 0, 0) }, c.h.Network.Delay(i, 30*time.Millisecond, 0.02)
	}},
	{"agent killed", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.h.Agent(i).Start() }, c.h.Agent(i).Kill()
	}},
	{"driver killed", func(c *chaos, i int) (func() error, error) { return nil, c.h.KillDriver(i) }},
	{"Consul leader killed", func(c *chaos, i int) (func() error, error) {
		leader, err := c.h.ConsulLeader(context.Background())
		if err != nil {
			return nil, err
		}
		return func() error { return c.startConsul(leader) }, c.h.StopConsul(leader)
	}},
	{"Consul server killed", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.startConsul(i) }, c.h.StopConsul(i)
	}},
	{"all of Consul killed", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.startConsul(0, 1, 2) }, c.h.StopConsul(0, 1, 2)
	}},
	{"switchover ordered", func(c *chaos, i int) (func() error, error) {
		return nil, c.h.Order(context.Background(), failover.Order{Kind: failover.OrderSwitchover})
	}},
	{"switchover ordered and an agent killed in it", func(c *chaos, i int) (func() error, error) {
		err := c.h.Order(context.Background(), failover.Order{Kind: failover.OrderSwitchover})
		c.sleep(60 * time.Millisecond) // in any step of it
		return func() error { return c.h.Agent(i).Start() }, errors.Join(err, c.h.Agent(i).Kill())
	}},
	{"Redis killed and an agent killed in the failover", func(c *chaos, i int) (func() error, error) {
		err := c.h.Redis(i).Kill()
		j := c.other(i)
		c.sleep(150 * time.Millisecond) // in any step of it
		return func() error { return c.h.Agent(j).Start() }, errors.Join(err, c.h.Agent(j).Kill())
	}},
	{"Redis killed and a driver killed in the failover", func(c *chaos, i int) (func() error, error) {
		err := c.h.Redis(i).Kill()
		c.sleep(150 * time.Millisecond)
		return nil, errors.Join(err, c.h.KillDriver(c.other(i)))
	}},
	{"Redis and its agent killed", func(c *chaos, i int) (func() error, error) {
		return func() error { return c.h.Agent(i).Start() }, errors.Join(c.h.Agent(i).Kill(), c.h.Redis(i).Kill())
	}},
}

// other is a host that is not host i.
func (c *chaos) other(i int) int {
	return (i + 1 + c.r.IntN(len(c.h.Redises())-1)) % len(c.h.Redises())
}

// sleep lets a part of a step pass that differs each time.
func (c *chaos) sleep(limit time.Duration) {
	time.Sleep(time.Duration(c.r.Int64N(int64(limit))))
}

// mendAll ends every fault.
func (c *chaos) mendAll() {
	_ = c.h.Network.Heal()
	for i := range c.h.Redises() {
		_ = c.h.Redis(i).Cont()
		_ = c.h.EndScript(i)
		_ = c.h.FreeDisk(i)
		_ = c.startConsul(i)
		if !c.h.Agent(i).Running() {
			_ = c.h.Agent(i).Start()
		}
	}
	k, err := c.h.Catalog(0)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s, err := k.ReadGroup(ctx, c.h.Group(), true); err == nil && s.Order != nil {
		_ = k.DeleteOrder(ctx, c.h.Group(), s.OrderIndex)
	}
}

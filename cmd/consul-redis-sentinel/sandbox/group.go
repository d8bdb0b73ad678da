package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// lookLimit bounds one look at Consul within a wait.
const lookLimit = 3 * time.Second

// Catalog is the state of the groups as a Consul server has it, or the others if it does not answer.
func (s *Sandbox) Catalog(i int) (*catalog.Catalog, error) {
	s.catalogs.Lock()
	defer s.catalogs.Unlock()
	if k := s.catalogs.of[i]; k != nil {
		return k, nil
	}
	k, err := s.newCatalog(i)
	if err == nil {
		if s.catalogs.of == nil {
			s.catalogs.of = map[int]*catalog.Catalog{}
		}
		s.catalogs.of[i] = k
	}
	return k, err
}

func (s *Sandbox) newCatalog(i int) (*catalog.Catalog, error) {
	conf := catalog.Config{Address: s.consuls[i].HTTPAddr(), Token: s.options.ConsulToken}
	for j := range s.consuls {
		if j != i {
			conf.Fallbacks = append(conf.Fallbacks, s.consuls[j].HTTPAddr())
		}
	}
	return catalog.New(conf)
}

// State reads the group from the first Consul server that runs, consistently.
func (s *Sandbox) State(ctx context.Context) (failover.State, error) {
	for i, c := range s.consuls {
		if !c.Running() {
			continue
		}
		k, err := s.Catalog(i)
		if err != nil {
			return failover.State{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		return k.ReadGroup(ctx, s.options.Group, true)
	}
	return failover.State{}, errors.New("read the group: no Consul server runs")
}

// RedisOf is the server of a node, nil for a name that is none of the sandbox's.
func (s *Sandbox) RedisOf(node string) *Redis {
	for _, r := range s.redises {
		if r.Node == node {
			return r
		}
	}
	return nil
}

// WaitSteady waits until the group is whole in an epoch not below the one given: the record names a master that has
// opened, every Redis that runs and has a running agent is it or follows it and is counted, and every Consul server that
// runs answers with it in DNS. It returns the state.
func (s *Sandbox) WaitSteady(ctx context.Context, epoch uint64) (failover.State, error) {
	var last failover.State
	err := WaitFor(ctx, fmt.Sprintf("the group is steady in epoch %d or later", epoch), func(ctx context.Context) error {
		state, err := s.State(ctx)
		if err != nil {
			return err
		}
		last = state
		return s.steady(ctx, state, epoch)
	})
	return last, err
}

func (s *Sandbox) steady(ctx context.Context, state failover.State, epoch uint64) error {
	r := state.Record
	switch {
	case r == nil:
		return errors.New("there is no record yet")
	case r.Epoch < epoch || r.Phase != failover.Steady:
		return fmt.Errorf("epoch %d is %s", r.Epoch, r.Phase)
	}
	if _, open := r.Open(); !open {
		return fmt.Errorf("%s has not opened yet", r.Master)
	}
	for i, redis := range s.redises {
		if !redis.Running() || i < len(s.agents) && !s.agents[i].Running() {
			continue
		}
		if err := redis.hasRole(ctx, r); err != nil {
			return err
		}
		// A replica that is not counted may lack what was just written: the group could not lose its master yet.
		if run := state.Nodes[redis.Node].RunID; redis.Node != r.Master && r.Eligible[redis.Node].RunID != run {
			return fmt.Errorf("%s has not caught up with the master yet", redis.Node)
		}
	}
	for _, c := range s.consuls {
		if !c.Running() {
			continue
		}
		found, err := c.SRV(ctx, s.MasterName())
		if err != nil {
			return err
		}
		if len(found) != 1 || found[0].Addr() != r.Address {
			return fmt.Errorf("DNS of %s answers %v for %s, which is %s", c.Name, found, s.MasterName(), r.Address)
		}
	}
	return nil
}

// hasRole is nil when the server is what the record makes of it.
func (r *Redis) hasRole(ctx context.Context, record *failover.Record) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	info, err := r.Info(ctx)
	if err != nil {
		return err
	}
	switch {
	case record.Master == r.Node && info["role"] == "master":
		return nil
	case record.Master == r.Node:
		return fmt.Errorf("%s is the master and has the role %s", r.Node, info["role"])
	case info["role"] != "slave":
		return fmt.Errorf("%s is a replica and has the role %s", r.Node, info["role"])
	case info["master_host"]+":"+info["master_port"] != record.Address || info["master_link_status"] != "up":
		return fmt.Errorf("%s follows %s:%s, link %s", r.Node, info["master_host"], info["master_port"], info["master_link_status"])
	}
	return nil
}

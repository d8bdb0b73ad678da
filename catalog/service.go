package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	metaManagedBy = "managed-by"
	metaAgent     = "agent"
	managedBy     = "consul-redis-sentinel"
)

// DefaultTTL is how long a check holds without an update: long enough for an agent to be restarted or upgraded without a change in
// what Consul says of its nodes.
const DefaultTTL = time.Minute

// Service is a service on the Consul agent of this machine.
type Service struct {
	ID, Name string
	Tags     []string
	Address  string
	Port     int
	Meta     map[string]string
	Checks   []Check
}

// Check is a TTL check of a service. Its id must be unique on the machine.
type Check struct {
	ID, Name string
	// TTL is DefaultTTL when zero.
	TTL time.Duration
}

func (k Check) ttl() time.Duration {
	if k.TTL == 0 {
		return DefaultTTL
	}
	return k.TTL
}

// registration is a service as it is sent to Consul, marked as this agent's. New checks are critical until their
// first update; those that are there already keep their status.
func (c *Catalog) registration(s Service) *api.AgentServiceRegistration {
	meta := maps.Clone(s.Meta)
	if meta == nil {
		meta = map[string]string{}
	}
	meta[metaManagedBy], meta[metaAgent] = managedBy, c.self.name()
	r := &api.AgentServiceRegistration{
		ID: s.ID, Name: s.Name, Tags: s.Tags, Address: s.Address, Port: s.Port, Meta: meta,
		Namespace: c.namespace, Partition: c.partition,
	}
	for _, k := range s.Checks {
		r.Checks = append(r.Checks, &api.AgentServiceCheck{
			CheckID: k.ID, Name: k.Name, TTL: k.ttl().String(), Status: api.HealthCritical,
		})
	}
	return r
}

// same says whether Consul has the service as it is wanted.
func (c *Catalog) same(s Service, there *api.AgentService) bool {
	want := c.registration(s)
	return there != nil && want.Name == there.Service && want.Address == there.Address && want.Port == there.Port &&
		slices.Equal(want.Tags, there.Tags) && maps.Equal(want.Meta, there.Meta)
}

// Owned lists the ids of all services on the local Consul agent that this agent has registered, in this run or
// an earlier one, except the agent's own.
func (c *Catalog) Owned(ctx context.Context) ([]string, error) {
	if err := c.self.wait(ctx); err != nil {
		return nil, err
	}
	services, err := c.ownServices(ctx)
	delete(services, c.self.serviceID())
	return slices.Sorted(maps.Keys(services)), err
}

func (c *Catalog) ownServices(ctx context.Context) (services map[string]*api.AgentService, err error) {
	filter := fmt.Sprintf("Meta[%q] == %q and Meta[%q] == %q", metaManagedBy, managedBy, metaAgent, c.self.name())
	err = c.local(ctx, "list registered services", callTimeout, func(ctx context.Context, a *api.Agent) (err error) {
		services, err = a.ServicesWithFilterOpts(filter, queryOptions(ctx, false))
		return err
	})
	return services, err
}

// deregister removes a service from the local Consul agent. It is no error if it is not there.
func (c *Catalog) deregister(ctx context.Context, id string) error {
	return c.local(ctx, "deregister service "+id, callTimeout, func(ctx context.Context, a *api.Agent) error {
		err := a.ServiceDeregisterOpts(id, queryOptions(ctx, false))
		if unknown(err) {
			return nil
		}
		return err
	})
}

// unknown says that the local Consul agent does not have the service or check that a call was about.
func unknown(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

// Health is a service as Consul's catalog has it, with its checks and those of its machine.
type Health struct {
	Service, ID string
	// Machine is the Consul node.
	Machine string
	Address string
	Port    int
	Tags    []string
	Meta    map[string]string
	Checks  []CheckHealth
}

// CheckHealth is one check. ID is the one of Check, or of the machine's own check (serfHealth).
type CheckHealth struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Status string `json:"status"`
	Output string `json:"output"`
}

// Health reads every service of a group: of its nodes, of the replicas, and of the master.
func (c *Catalog) Health(ctx context.Context, group string) ([]Health, error) {
	return c.health(ctx, "read the health of group "+group, fmt.Sprintf("ServiceMeta.group == %q", group),
		func(h Health) bool { return h.Meta["group"] == group })
}

// AgentHealth reads the services of the agents, of all groups.
func (c *Catalog) AgentHealth(ctx context.Context) ([]Health, error) {
	return c.health(ctx, "read the health of the agents", fmt.Sprintf("ServiceName == %q", AgentService),
		func(Health) bool { return true })
}

// health reads the services that a filter names, and of them those that are wanted.
func (c *Catalog) health(ctx context.Context, what, filter string, wanted func(Health) bool) ([]Health, error) {
	var all []Health
	err := c.read(ctx, what, func(ctx context.Context, client *api.Client) error {
		q := queryOptions(ctx, false)
		q.Filter = filter
		names, _, err := client.Catalog().Services(q)
		if err != nil {
			return err
		}
		all = nil
		for _, name := range slices.Sorted(maps.Keys(names)) {
			entries, _, err := client.Health().Service(name, "", false, queryOptions(ctx, false))
			if err != nil {
				return err
			}
			for _, e := range entries {
				if h := healthOf(e); wanted(h) {
					all = append(all, h)
				}
			}
		}
		return nil
	})
	return all, err
}

func healthOf(e *api.ServiceEntry) Health {
	h := Health{Service: e.Service.Service, ID: e.Service.ID, Machine: e.Node.Node, Address: e.Service.Address,
		Port: e.Service.Port, Tags: e.Service.Tags, Meta: e.Service.Meta}
	for _, k := range e.Checks {
		h.Checks = append(h.Checks, CheckHealth{ID: k.CheckID, Name: k.Name, Status: k.Status, Output: k.Output})
	}
	return h
}

// Status is that of the worst check: "critical", "warning" or "passing".
func (h Health) Status() string {
	status := api.HealthPassing
	for _, k := range h.Checks {
		switch {
		case k.Status == api.HealthCritical:
			return api.HealthCritical
		case k.Status != api.HealthPassing:
			status = api.HealthWarning
		}
	}
	return status
}

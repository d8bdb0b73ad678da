package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/beat"
)

// maintenanceEvery is how often the local Consul agent is asked what is in maintenance; it answers from memory.
const maintenanceEvery = time.Second

// WatchMaintenance delivers, until ctx ends, which services of the local Consul agent an operator has put into maintenance, by id,
// and why. The id "" stands for the whole machine.
func (c *Catalog) WatchMaintenance(ctx context.Context, each func(map[string]string)) {
	var known map[string]string
	for ctx.Err() == nil {
		if found, err := c.maintenance(ctx); err == nil && !maps.Equal(found, known) {
			each(found)
			known = found
		}
		sleep(ctx, beat.Until(maintenanceEvery))
	}
}

func (c *Catalog) maintenance(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	err := c.local(ctx, "look for maintenance mode", callTimeout, func(ctx context.Context, a *api.Agent) error {
		checks, err := a.ChecksWithFilterOpts(`CheckID matches "^_(node|service)_maintenance"`, queryOptions(ctx, false))
		for id, check := range checks {
			if id == api.NodeMaint {
				found[""] = check.Notes
			} else if service, ok := strings.CutPrefix(id, api.ServiceMaintPrefix); ok {
				found[service] = check.Notes
			}
		}
		return err
	})
	return found, err
}

// Maintain puts the services of a node that are registered on the local Consul agent into maintenance mode, or ends
// that. It returns their ids.
func (c *Catalog) Maintain(ctx context.Context, node string, on bool, reason string) ([]string, error) {
	what := "set the maintenance mode of node " + node
	var ids []string
	err := c.local(ctx, what, callTimeout, func(ctx context.Context, a *api.Agent) error {
		filter := fmt.Sprintf("Meta[%q] == %q and Meta[\"node\"] == %q", metaManagedBy, managedBy, node)
		services, err := a.ServicesWithFilterOpts(filter, queryOptions(ctx, false))
		if err != nil {
			return err
		}
		ids = slices.Sorted(maps.Keys(services))
		for _, id := range ids {
			if on {
				err = a.EnableServiceMaintenanceOpts(id, reason, queryOptions(ctx, false))
			} else {
				err = a.DisableServiceMaintenanceOpts(id, queryOptions(ctx, false))
			}
			if err != nil && !unknown(err) { // its agent may have removed it since
				return err
			}
		}
		return nil
	})
	return ids, err
}

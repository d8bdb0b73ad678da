package catalog

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"
)

// ClaimTag makes way for an instance of a service, by its id own, that is to take a tag. It names, by id, the others in the whole
// catalog that have the tag and are not critical: the ones that DNS would answer with, for which the claim has to wait. From
// those whose machine is away it takes the tag off, if it may take, and waits for them else. Such an entry would pass again the
// moment its machine is back, before anybody there can correct it.
func (c *Catalog) ClaimTag(ctx context.Context, service, tag, own string, take bool) (holders []string, err error) {
	what := fmt.Sprintf("claim the tag %s of %s", tag, service)
	var entries []*api.ServiceEntry
	err = c.read(ctx, what, func(ctx context.Context, client *api.Client) error {
		found, meta, err := client.Health().Service(service, tag, false, queryOptions(ctx, true))
		if err == nil && meta.ResultsFilteredByACLs {
			err = ErrFiltered
		}
		entries = found
		return err
	})
	for _, e := range entries {
		switch status := e.Checks.AggregatedStatus(); {
		case e.Service.ID == own:
		case status == api.HealthPassing || status == api.HealthWarning:
			holders = append(holders, e.Service.ID)
		case away(e) && !take:
			holders = append(holders, e.Service.ID)
		case away(e):
			if err := c.takeTagOff(ctx, what, e, tag); err != nil {
				return nil, err
			}
		}
	}
	return holders, err
}

// away tells whether the machine of an entry fails a check of its own, serfHealth for one, and not only the service.
func away(e *api.ServiceEntry) bool {
	return slices.ContainsFunc(e.Checks, func(k *api.HealthCheck) bool {
		return k.ServiceID == "" && k.Status == api.HealthCritical
	})
}

// takeTagOff changes an entry in the catalog alone, unless it has changed meanwhile. Its machine's Consul agent writes its own
// over it when it is back.
func (c *Catalog) takeTagOff(ctx context.Context, what string, e *api.ServiceEntry, tag string) error {
	s := *e.Service
	s.Tags = slices.DeleteFunc(slices.Clone(s.Tags), func(t string) bool { return t == tag })
	c.log.Info("take a tag off an entry whose machine is away", "tag", tag, "service", s.ID, "machine", e.Node.Node)
	_, err := c.commit(ctx, what, "", api.TxnOps{{Service: &api.ServiceTxnOp{Verb: api.ServiceCAS, Node: e.Node.Node, Service: s}}})
	return err
}

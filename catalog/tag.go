package catalog

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"
)

// MetaEpoch is the key of the metadata that says in which epoch an instance was registered.
const MetaEpoch = "epoch"

// TagClaim is the wish of an instance of a service to be the only one with a tag.
type TagClaim struct {
	Service, Tag string
	// Own is the id of the instance, which is of Epoch.
	Own   string
	Epoch uint64
	// Before is of each other, by id, the last epoch in which it may have got the tag, whatever Consul knows of it. It must have been
	// registered since.
	Before map[string]uint64
	// Overdue tells that the agent of one of an older epoch, if it runs, would have registered it anew by now, Expired that what
	// such an agent last said before it ended has expired, and Gone that one of which Consul has no entry is not coming back.
	Overdue, Expired, Gone bool
}

// missing are those that Consul has no entry of, though one of the last two before this epoch may have the tag on its way: Consul's
// autopilot removes a server that has failed, and all that is registered on its machine.
func (t TagClaim) missing(entries []*api.ServiceEntry) (ids []string) {
	for id, of := range t.Before {
		here := slices.ContainsFunc(entries, func(e *api.ServiceEntry) bool { return e.Service.ID == id })
		if id != t.Own && of > 0 && of+2 >= t.Epoch && !here {
			ids = append(ids, id)
		}
	}
	return ids
}

// ClaimTag makes way for an instance that is to take a tag. It names, by id, those for which the claim has to wait: the others that
// have the tag and are not critical, with which DNS would answer, and those that may have got it since they were registered. older
// tells that any is of an older epoch, so that the look has to be repeated.
//
// One of an older epoch whose machine is away, or that is overdue, gets a critical check in the catalog until it is of this epoch.
// Its Consul agent may have had an update on the way when it was cut off, with the tag: that arrives any time, even after the
// machine is seen again, and would count. Nothing that the agent says of the services and checks it knows takes the check away, only
// its comparison with the whole catalog, every minute or two. It may have the tag then, and pass, if its machine is there without our
// agent: so the claim waits for it until that has expired.
func (c *Catalog) ClaimTag(ctx context.Context, t TagClaim) (waitFor []string, older bool, err error) {
	what := fmt.Sprintf("claim the tag %s of %s", t.Tag, t.Service)
	entries, err := c.instances(ctx, what, t.Service, true)
	if err != nil {
		return nil, false, err
	}
	granted := slices.ContainsFunc(entries, func(e *api.ServiceEntry) bool { // to the last run of this agent, which has waited
		return e.Service.ID == t.Own && slices.Contains(e.Service.Tags, t.Tag) && e.Service.Meta[MetaEpoch] == strconv.FormatUint(t.Epoch, 10)
	})
	overdue, expired := t.Overdue || granted, t.Expired || granted
	var ops, own api.TxnOps
	for _, e := range entries {
		of, err := strconv.ParseUint(e.Service.Meta[MetaEpoch], 10, 64)
		old, tagged := err == nil && of < t.Epoch, slices.Contains(e.Service.Tags, t.Tag)
		suspect := old && of <= t.Before[e.Service.ID]
		status := e.Checks.AggregatedStatus()
		counts := suspect || tagged && (status == api.HealthPassing || status == api.HealthWarning)
		superseded := slices.ContainsFunc(e.Checks, func(k *api.HealthCheck) bool { return k.CheckID == supersededID(e) })
		switch {
		case superseded && !old && !tagged:
			ops = append(ops, c.supersede(api.CheckDelete, e, t.Epoch)...)
		case superseded && e.Service.ID == t.Own:
			own = c.supersede(api.CheckDelete, e, t.Epoch)
		case e.Service.ID == t.Own:
		case superseded, old && (away(e) || overdue && counts):
			older = true
			if !superseded {
				ops = append(ops, c.supersede(api.CheckSet, e, t.Epoch)...)
			}
			if !expired && !away(e) && (suspect || tagged) {
				waitFor = append(waitFor, e.Service.ID)
			}
		default:
			older = older || old
			if counts {
				waitFor = append(waitFor, e.Service.ID)
			}
		}
	}
	if missing := t.missing(entries); !granted && !t.Gone && len(missing) > 0 {
		waitFor, older = append(waitFor, missing...), true
	}
	if len(waitFor) == 0 {
		ops = append(ops, own...) // what stands there may have the tag of an epoch before
	}
	if len(ops) > 0 {
		_, err = c.commit(ctx, what, "", ops)
	}
	return waitFor, older, err
}

// away tells whether the machine of an entry fails a check of its own, serfHealth for one, and not only the service.
func away(e *api.ServiceEntry) bool {
	return slices.ContainsFunc(e.Checks, func(k *api.HealthCheck) bool {
		return k.ServiceID == "" && k.Status == api.HealthCritical
	})
}

func supersededID(e *api.ServiceEntry) string { return e.Service.ID + ":superseded" }

// supersede sets or deletes the check of an entry of an older epoch, unless the entry has changed meanwhile.
func (c *Catalog) supersede(verb api.CheckOp, e *api.ServiceEntry, epoch uint64) api.TxnOps {
	c.log.Info("an entry is or was of an older epoch", "service", e.Service.ID, "machine", e.Node.Node, "check_superseded", string(verb))
	return api.TxnOps{
		{Service: &api.ServiceTxnOp{Verb: api.ServiceCAS, Node: e.Node.Node, Service: *e.Service}},
		{Check: &api.CheckTxnOp{Verb: verb, Check: api.HealthCheck{
			Node: e.Node.Node, CheckID: supersededID(e), Name: "superseded", Status: api.HealthCritical,
			Output:    fmt.Sprintf("epoch %d has begun, of which nothing has come from this machine yet", epoch),
			ServiceID: e.Service.ID, ServiceName: e.Service.Service, Namespace: c.namespace, Partition: c.partition,
		}}},
	}
}

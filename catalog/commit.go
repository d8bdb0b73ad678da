package catalog

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// MasterEntry is the one catalog entry that names the master of a group. It stands on an external node, which
// belongs to no Consul agent, so that no anti-entropy can bring an older one back.
type MasterEntry struct {
	// Service is the name under which clients look the master up, such as "redis-master".
	Service string
	// Node is the name of the external node.
	Node    string
	Address string
	Port    int
	// Meta is epoch, group, node, run_id.
	Meta map[string]string
	// Status is "passing" or "critical"; Output is one line for people.
	Status, Output string
}

// Create writes a group's first record and the entry of its master, in one transaction, over the record of index casIndex,
// 0 if there must be none. order is the index of the operator's order that it takes up, 0 if there is none. The lock must be held;
// otherwise it is ErrConflict. It returns the record's index.
func (c *Catalog) Create(ctx context.Context, group string, r *failover.Record, casIndex, order uint64, m MasterEntry) (uint64, error) {
	return c.lead(ctx, "create record", group, r, casIndex, api.KVCheckSession, c.takeUp(group, order), m)
}

// takeUp deletes an operator's order, if it is still the one of that index.
func (c *Catalog) takeUp(group string, order uint64) api.TxnOps {
	if order == 0 {
		return nil
	}
	key := c.keys(group).order()
	// delete-cas would succeed on an order that is gone.
	return api.TxnOps{
		c.kvOp(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: order}),
		c.kvOp(api.KVTxnOp{Verb: api.KVDelete, Key: key}),
	}
}

// Grounds are what an election rests on; it is not committed if any of it has changed since it was read.
type Grounds struct {
	// Votes are the votes of the quorum: of each agent the index of its vote, 0 if there is none in Consul.
	Votes map[string]uint64
	// Order is the index of an operator's order; it is taken up, and so deleted, with the commit. 0 is none.
	Order uint64
}

// Elect takes the lock, unless this agent holds it already, writes a record that is electing over the one of index
// casIndex, and turns the master's entry critical, so that clients fail fast: all in one transaction. It is
// ErrConflict if another agent holds the lock, or the record or the grounds have changed.
func (c *Catalog) Elect(ctx context.Context, group string, r *failover.Record, casIndex uint64, g Grounds, failing MasterEntry) (uint64, error) {
	k := c.keys(group)
	var ops api.TxnOps
	for agent, index := range g.Votes {
		verb := api.KVCheckIndex
		if index == 0 {
			verb = api.KVCheckNotExists
		}
		ops = append(ops, c.kvOp(api.KVTxnOp{Verb: verb, Key: k.vote(agent), Index: index}))
	}
	ops = append(ops, c.takeUp(group, g.Order)...)
	return c.lead(ctx, "elect", group, r, casIndex, api.KVLock, ops, failing)
}

// Commit writes the record of the next epoch over the one of index casIndex and moves the master's entry, in one
// transaction: there is no instant at which Consul names two masters. It is ErrConflict if the lock is not held
// or the record has changed.
func (c *Catalog) Commit(ctx context.Context, group string, r *failover.Record, casIndex uint64, m MasterEntry) (uint64, error) {
	return c.lead(ctx, "commit", group, r, casIndex, api.KVCheckSession, nil, m)
}

// lead writes record and master entry as the holder of the lock, which it checks or takes as the verb says. The whole
// entry is written even where only its check changes: an entry that somebody has removed would fail the transaction
// otherwise, and unchanged parts cost Consul nothing.
func (c *Catalog) lead(ctx context.Context, what, group string, r *failover.Record, casIndex uint64, lock api.KVOp, more api.TxnOps, m MasterEntry) (uint64, error) {
	what = fmt.Sprintf("%s of group %s, epoch %d", what, group, r.Epoch)
	session, err := c.held(what)
	if err != nil {
		return 0, err
	}
	k := c.keys(group)
	held := api.KVTxnOp{Verb: lock, Key: k.leader(), Session: session}
	if lock == api.KVLock {
		held.Value = c.holder()
	}
	ops := append(api.TxnOps{
		c.kvOp(held),
		c.kvOp(api.KVTxnOp{Verb: api.KVCAS, Key: k.record(), Value: r.Encode(), Index: casIndex}),
	}, more...)
	ops = append(ops, c.nodeOp(m), c.serviceOp(m), c.checkOp(m))
	return c.commit(ctx, what, k.record(), ops)
}

// Amend writes a record over the one of index casIndex and leaves the master's entry alone: it is how the
// master's agent keeps membership and lineage. It needs no lock. It is ErrConflict if the record has changed.
func (c *Catalog) Amend(ctx context.Context, group string, r *failover.Record, casIndex uint64) (uint64, error) {
	k := c.keys(group)
	return c.commit(ctx, fmt.Sprintf("amend record of group %s, epoch %d", group, r.Epoch), k.record(), api.TxnOps{
		c.kvOp(api.KVTxnOp{Verb: api.KVCAS, Key: k.record(), Value: r.Encode(), Index: casIndex}),
	})
}

func (c *Catalog) nodeOp(m MasterEntry) *api.TxnOp {
	return &api.TxnOp{Node: &api.NodeTxnOp{Verb: api.NodeSet, Node: api.Node{
		Node: m.Node, Address: m.Address, Partition: c.partition,
		// consul-esm's name for nodes without a Consul agent; it must not probe this one.
		Meta: map[string]string{"external-node": "true", "external-probe": "false", metaManagedBy: managedBy},
	}}}
}

func (c *Catalog) serviceOp(m MasterEntry) *api.TxnOp {
	return &api.TxnOp{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: m.Node, Service: api.AgentService{
		ID: m.Service, Service: m.Service, Address: m.Address, Port: m.Port, Meta: m.Meta,
		Namespace: c.namespace, Partition: c.partition,
	}}}
}

func (c *Catalog) checkOp(m MasterEntry) *api.TxnOp {
	return &api.TxnOp{Check: &api.CheckTxnOp{Verb: api.CheckSet, Check: api.HealthCheck{
		Node: m.Node, CheckID: m.Service, Name: "master", Status: m.Status, Output: m.Output,
		ServiceID: m.Service, ServiceName: m.Service, Namespace: c.namespace, Partition: c.partition,
	}}}
}

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
	// Meta is epoch, group, node, run_id, driver, version.
	Meta map[string]string
	Tags []string
	// Status is "passing" or "critical"; Output is one line for people.
	Status, Output string
}

// Create writes a group's first record and the entry of its master, in one transaction. The lock must be held
// and there must be no record; otherwise it is ErrConflict. It returns the record's index.
func (c *Catalog) Create(ctx context.Context, group string, r *failover.Record, m MasterEntry) (uint64, error) {
	return c.lead(ctx, "create record", group, r, 0, 0, m)
}

// Elect writes a record that is electing over the one of index casIndex, and with it turns the master's entry
// critical, so that clients fail fast. A non-zero orderIndex takes up the order of that index: it is deleted in
// the same transaction. It is ErrConflict if the lock is not held, or record or order have changed.
func (c *Catalog) Elect(ctx context.Context, group string, r *failover.Record, casIndex, orderIndex uint64, failing MasterEntry) (uint64, error) {
	return c.lead(ctx, "elect", group, r, casIndex, orderIndex, failing)
}

// Commit writes the record of the next epoch over the one of index casIndex and moves the master's entry, in one
// transaction: there is no instant at which Consul names two masters. It is ErrConflict if the lock is not held
// or the record has changed.
func (c *Catalog) Commit(ctx context.Context, group string, r *failover.Record, casIndex uint64, m MasterEntry) (uint64, error) {
	return c.lead(ctx, "commit", group, r, casIndex, 0, m)
}

// lead writes record and master entry as the holder of the lock. The whole entry is written even where only its
// check changes: an entry that somebody has removed would fail the transaction otherwise, and unchanged parts
// cost Consul nothing.
func (c *Catalog) lead(ctx context.Context, what, group string, r *failover.Record, casIndex, orderIndex uint64, m MasterEntry) (uint64, error) {
	what = fmt.Sprintf("%s of group %s, epoch %d", what, group, r.Epoch)
	session := c.Session()
	if session == "" {
		return 0, fmt.Errorf("%s: %w", what, ErrNoSession)
	}
	k := c.keys(group)
	ops := api.TxnOps{
		c.kvOp(api.KVTxnOp{Verb: api.KVCheckSession, Key: k.leader(), Session: session}),
		c.kvOp(api.KVTxnOp{Verb: api.KVCAS, Key: k.record(), Value: r.Encode(), Index: casIndex}),
	}
	if orderIndex != 0 {
		// delete-cas would succeed on an order that is gone.
		ops = append(ops,
			c.kvOp(api.KVTxnOp{Verb: api.KVCheckIndex, Key: k.order(), Index: orderIndex}),
			c.kvOp(api.KVTxnOp{Verb: api.KVDelete, Key: k.order()}))
	}
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

// MarkMaster sets the check of the master's entry and nothing else, provided that the record still is the one
// of index recordIndex: an agent that is late must not speak about another master. Otherwise it is ErrConflict.
func (c *Catalog) MarkMaster(ctx context.Context, group string, recordIndex uint64, m MasterEntry) error {
	k := c.keys(group)
	_, err := c.commit(ctx, "mark master of group "+group, k.record(), api.TxnOps{
		c.kvOp(api.KVTxnOp{Verb: api.KVCheckIndex, Key: k.record(), Index: recordIndex}),
		c.checkOp(m),
	})
	return err
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
		ID: m.Service, Service: m.Service, Address: m.Address, Port: m.Port, Tags: m.Tags, Meta: m.Meta,
		Namespace: c.namespace, Partition: c.partition,
	}}}
}

func (c *Catalog) checkOp(m MasterEntry) *api.TxnOp {
	return &api.TxnOp{Check: &api.CheckTxnOp{Verb: api.CheckSet, Check: api.HealthCheck{
		Node: m.Node, CheckID: m.Service, Name: "master", Status: m.Status, Output: m.Output,
		ServiceID: m.Service, ServiceName: m.Service, Namespace: c.namespace, Partition: c.partition,
	}}}
}

package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// historyKept is how many changes of master are kept.
const historyKept = 100

// PutReport writes what an agent says of one of its nodes. It returns the report's index.
func (c *Catalog) PutReport(ctx context.Context, group string, r failover.Report) (uint64, error) {
	what, key := "report node "+r.Node, c.keys(group).node(r.Node)
	value, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return c.commit(ctx, what, key, api.TxnOps{c.kvOp(api.KVTxnOp{Verb: api.KVSet, Key: key, Value: value})})
}

// DeleteReport removes a node's report.
func (c *Catalog) DeleteReport(ctx context.Context, group, node string) error {
	return c.delete(ctx, "delete report of node "+node, c.keys(group).node(node))
}

// PutAgent makes an agent known to a group: from now on its vote counts.
func (c *Catalog) PutAgent(ctx context.Context, group string, a failover.AgentInfo) error {
	return c.put(ctx, "introduce agent "+a.Agent, c.keys(group).agent(a.Agent), a)
}

// DeleteAgent makes a group forget an agent.
func (c *Catalog) DeleteAgent(ctx context.Context, group, agent string) error {
	return c.delete(ctx, "forget agent "+agent, c.keys(group).agent(agent))
}

// PutSettings writes the settings of a group over those of index casIndex; 0 creates them. It is ErrConflict if
// somebody else has written them.
func (c *Catalog) PutSettings(ctx context.Context, group string, s failover.Settings, casIndex uint64) error {
	return c.cas(ctx, "write settings of group "+group, c.keys(group).settings(), s, casIndex)
}

// cas writes v over the entry of index casIndex, 0 if there must be none. It is ErrConflict if there is another.
func (c *Catalog) cas(ctx context.Context, what, key string, v any, casIndex uint64) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return c.write(ctx, what, func(ctx context.Context, client *api.Client) error {
		p := &api.KVPair{Key: key, Value: value, ModifyIndex: casIndex}
		ok, _, err := client.KV().CAS(p, writeOptions(ctx))
		return won(ok, err)
	})
}

// AnswerOrder writes the answer to the order of index casIndex over it. It is ErrConflict if there is another, or none any more.
func (c *Catalog) AnswerOrder(ctx context.Context, group string, o failover.Order, casIndex uint64) error {
	return c.cas(ctx, "answer the order for group "+group, c.keys(group).order(), o, casIndex)
}

// PutOrder writes what an operator asks for over what is there.
func (c *Catalog) PutOrder(ctx context.Context, group string, o failover.Order) error {
	return c.put(ctx, "write order for group "+group, c.keys(group).order(), o)
}

// DeleteOrder removes the order of index casIndex, if it is still there. It is ErrConflict if there is another.
func (c *Catalog) DeleteOrder(ctx context.Context, group string, casIndex uint64) error {
	return c.write(ctx, "delete order for group "+group, func(ctx context.Context, client *api.Client) error {
		p := &api.KVPair{Key: c.keys(group).order(), ModifyIndex: casIndex}
		ok, _, err := client.KV().DeleteCAS(p, writeOptions(ctx))
		return won(ok, err)
	})
}

// PutHistory writes what is known of a change of master, and removes the one that is too old to be kept.
func (c *Catalog) PutHistory(ctx context.Context, group string, h failover.History) error {
	k := c.keys(group)
	what := fmt.Sprintf("write history of group %s, epoch %d", group, h.Epoch)
	value, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	ops := api.TxnOps{c.kvOp(api.KVTxnOp{Verb: api.KVSet, Key: k.history(h.Epoch), Value: value})}
	if h.Epoch > historyKept {
		ops = append(ops,
			c.kvOp(api.KVTxnOp{Verb: api.KVDelete, Key: k.history(h.Epoch - historyKept)}),
			c.kvOp(api.KVTxnOp{Verb: api.KVDeleteTree, Key: k.rescues(h.Epoch - historyKept)}))
	}
	_, err = c.commit(ctx, what, k.history(h.Epoch), ops)
	return err
}

// PutRescued writes that a data set was saved because of the change of master of an epoch.
func (c *Catalog) PutRescued(ctx context.Context, group string, epoch uint64, r failover.Rescued) error {
	return c.put(ctx, "note the rescued data of node "+r.Node, c.keys(group).rescues(epoch)+r.Node, r)
}

func (c *Catalog) put(ctx context.Context, what, key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return c.write(ctx, what, func(ctx context.Context, client *api.Client) error {
		_, err := client.KV().Put(&api.KVPair{Key: key, Value: value}, writeOptions(ctx))
		return err
	})
}

func (c *Catalog) delete(ctx context.Context, what, key string) error {
	return c.write(ctx, what, func(ctx context.Context, client *api.Client) error {
		_, err := client.KV().Delete(key, writeOptions(ctx))
		return err
	})
}

// won turns the answer of a compare-and-set into an error.
func won(ok bool, err error) error {
	if err == nil && !ok {
		return ErrConflict
	}
	return err
}

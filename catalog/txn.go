package catalog

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

// kvOp completes an operation on a KV entry.
func (c *Catalog) kvOp(op api.KVTxnOp) *api.TxnOp {
	op.Namespace, op.Partition = c.namespace, c.partition
	return &api.TxnOp{KV: &op}
}

// commit applies all operations in one Raft entry, or none. It returns the index that the entry for key has
// after it.
func (c *Catalog) commit(ctx context.Context, what, key string, ops api.TxnOps) (index uint64, err error) {
	err = c.write(ctx, what, func(ctx context.Context, client *api.Client) error {
		ok, answer, _, err := client.Txn().Txn(ops, queryOptions(ctx, false))
		if err != nil {
			return err
		}
		if !ok {
			return failed(txnErrors(ops, answer.Errors))
		}
		for _, r := range answer.Results {
			if r.KV != nil && r.KV.Key == key {
				index = max(index, r.KV.ModifyIndex)
			}
		}
		return nil
	})
	return index, err
}

// txnErrors says in one line why Consul refused a transaction. It is a conflict if operations on KV failed, all of
// which compare; anything else, such as a missing right, will not get better by reading again.
func txnErrors(ops api.TxnOps, errs api.TxnErrors) error {
	conflict := len(errs) > 0
	var whats []string
	for _, e := range errs {
		whats = append(whats, e.What)
		if e.OpIndex < 0 || e.OpIndex >= len(ops) || ops[e.OpIndex].KV == nil || denied(e.What) {
			conflict = false
		}
	}
	what := strings.Join(whats, "; ")
	if conflict {
		return fmt.Errorf("%w: %s", ErrConflict, what)
	}
	return fmt.Errorf("transaction refused: %s", what)
}

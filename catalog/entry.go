package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"
)

// KeepEntry puts the entry of a master back when somebody has removed it, or made another of it, and tells whether that was so. It
// does so in one transaction with a look at the record that the entry is of, which must still have the index given; otherwise it is
// ErrConflict, and the entry stays as it is. Where the name is somebody else's as well, it is an error that says whose.
func (c *Catalog) KeepEntry(ctx context.Context, group string, index uint64, m MasterEntry) (back bool, err error) {
	what := fmt.Sprintf("keep the entry %s of group %s", m.Service, group)
	found, err := c.instances(ctx, what, m.Service, false)
	for _, e := range found {
		if err == nil && !m.yields(e) {
			err = fmt.Errorf("%s: the name is taken by %s on node %s, which says %v", what, e.Service.ID, e.Node.Node, e.Service.Meta)
		}
	}
	if err != nil || slices.ContainsFunc(found, m.stands) {
		return false, err
	}
	key := c.keys(group).record()
	_, err = c.commit(ctx, what, key, api.TxnOps{
		c.kvOp(api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: index}), c.nodeOp(m), c.serviceOp(m), c.checkOp(m),
	})
	return err == nil, err
}

// yields tells whether what Consul has is the entry of this group as it is or was, and not one of other agents that work under the
// same name.
func (m MasterEntry) yields(e *api.ServiceEntry) bool {
	had, _ := strconv.ParseUint(e.Service.Meta[MetaEpoch], 10, 64)
	has, _ := strconv.ParseUint(m.Meta[MetaEpoch], 10, 64)
	group, marked := e.Service.Meta["group"]
	return e.Node.Node == m.Node && e.Service.ID == m.Service && (!marked || group == m.Meta["group"]) && had <= has
}

// stands tells whether what Consul has is the entry.
func (m MasterEntry) stands(e *api.ServiceEntry) bool {
	s := e.Service
	return e.Node.Node == m.Node && s.ID == m.Service && s.Address == m.Address && s.Port == m.Port &&
		maps.Equal(s.Meta, m.Meta) && len(s.Tags) == 0 &&
		slices.ContainsFunc(e.Checks, func(k *api.HealthCheck) bool { return k.CheckID == m.Service && k.Status == m.Status })
}

package catalog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// txnOps is how many operations Consul takes in one transaction.
const txnOps = 128

// VersionedRecord is a record and the index of the write that made it. Record is nil, and Index 0, while the
// group has none.
type VersionedRecord struct {
	Record *failover.Record
	Index  uint64
}

// ReadGroup reads everything that is kept of a group in one read. A consistent read is confirmed by a majority
// of the Consul servers; the other kind is answered by the leader alone.
//
// A record or settings that cannot be understood are an error that names the key, with the rest in the state;
// other entries that cannot be are logged and left out.
func (c *Catalog) ReadGroup(ctx context.Context, group string, consistent bool) (failover.State, error) {
	var s failover.State
	var broken error
	err := c.read(ctx, "read group "+group, func(ctx context.Context, client *api.Client) (err error) {
		s, broken, err = c.list(client, queryOptions(ctx, consistent), group)
		return err
	})
	c.told.forget(group)
	if err == nil && broken != nil {
		err = fmt.Errorf("read group %s: %w", group, broken)
	}
	return s, err
}

// list reads a group; broken is about entries without which the state must not be acted on.
func (c *Catalog) list(client *api.Client, q *api.QueryOptions, group string) (s failover.State, broken, err error) {
	root := c.keys(group).root
	pairs, meta, err := client.KV().List(root, q)
	if err != nil {
		return s, nil, err
	}
	if meta.ResultsFilteredByACLs {
		return s, nil, ErrFiltered
	}
	s, broken = c.state(group, pairs, meta.LastIndex)
	return s, broken, nil
}

// state is a group as its entries have it; broken is about those without which it must not be acted on.
func (c *Catalog) state(group string, pairs api.KVPairs, index uint64) (s failover.State, broken error) {
	root := c.keys(group).root
	s, errs := decode(root, pairs)
	s.Index = index
	for _, e := range errs {
		c.log.Error("entry in Consul KV cannot be read", "error", e)
	}
	return s, fatal(root, errs)
}

// instances are all of a service, healthy or not. It is ErrFiltered if the token may not see some of them.
func (c *Catalog) instances(ctx context.Context, what, service string, consistent bool) (found []*api.ServiceEntry, err error) {
	err = c.read(ctx, what, func(ctx context.Context, client *api.Client) error {
		entries, meta, err := client.Health().Service(service, "", false, queryOptions(ctx, consistent))
		if err == nil && meta.ResultsFilteredByACLs {
			err = ErrFiltered
		}
		found = entries
		return err
	})
	return found, err
}

// ReadRecords reads the records of several groups consistently, in one request for each 128 of them. Every
// group asked for is in the answer. A record that cannot be understood is an error: it must not pass for none.
func (c *Catalog) ReadRecords(ctx context.Context, groups []string) (map[string]VersionedRecord, error) {
	records := make(map[string]VersionedRecord, len(groups))
	for part := range slices.Chunk(groups, txnOps) {
		err := c.readAtOnce(ctx, "read records", func(ctx context.Context, client *api.Client) error {
			return c.readRecords(ctx, client, part, records)
		})
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

func (c *Catalog) readRecords(ctx context.Context, client *api.Client, groups []string, into map[string]VersionedRecord) error {
	var ops api.TxnOps
	for _, group := range groups {
		ops = append(ops, c.kvOp(api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: c.keys(group).record()}))
	}
	ok, answer, _, err := client.Txn().Txn(ops, queryOptions(ctx, true))
	if err != nil {
		return err
	}
	if !ok {
		return failed(txnErrors(ops, answer.Errors))
	}
	// Consul leaves out what the token may not read, and sends an empty entry for what does not exist.
	pairs := map[string]*api.KVPair{}
	for _, r := range answer.Results {
		if r.KV != nil {
			pairs[r.KV.Key] = r.KV
		}
	}
	for _, group := range groups {
		p := pairs[c.keys(group).record()]
		switch {
		case p == nil:
			return fmt.Errorf("record of group %s: %w", group, ErrFiltered)
		case p.ModifyIndex == 0:
			into[group] = VersionedRecord{}
			continue
		}
		record, err := c.parsed.record(p)
		if err != nil {
			return failed(&KeyError{p.Key, err})
		}
		into[group] = VersionedRecord{record, p.ModifyIndex}
	}
	return nil
}

// parsed keeps the records that were read last: leases read the same ones several times a second.
type parsed struct {
	mu    sync.Mutex
	known map[string]parsedRecord // by key
}

type parsedRecord struct {
	value  []byte
	record *failover.Record
}

// record is the record that an entry holds. It is shared, and not to be changed. What counts is the value: after a restored
// snapshot another one may have the same index.
func (p *parsed) record(kv *api.KVPair) (*failover.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.known[kv.Key]; ok && bytes.Equal(known.value, kv.Value) {
		return known.record, nil
	}
	r, err := failover.ParseRecord(kv.Value)
	if err == nil {
		p.known[kv.Key] = parsedRecord{kv.Value, r}
	}
	return r, err
}

// Groups names all groups that Consul KV has entries of.
func (c *Catalog) Groups(ctx context.Context) ([]string, error) {
	var found []string
	err := c.read(ctx, "list groups", func(ctx context.Context, client *api.Client) (err error) {
		found, _, err = client.KV().Keys(c.prefix, "/", queryOptions(ctx, false))
		return err
	})
	var groups []string
	for _, key := range found {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(key, c.prefix), "/"); ok && name != "" {
			groups = append(groups, name)
		}
	}
	return groups, err
}

// History returns the last n changes of master that are kept, the newest first.
func (c *Catalog) History(ctx context.Context, group string, n int) ([]failover.History, error) {
	var pairs api.KVPairs
	k := c.keys(group)
	err := c.read(ctx, "read history of group "+group, func(ctx context.Context, client *api.Client) error {
		list, meta, err := client.KV().List(k.past, queryOptions(ctx, false))
		if err == nil && meta.ResultsFilteredByACLs {
			err = ErrFiltered
		}
		pairs = list
		return err
	})
	if err != nil {
		return nil, err
	}
	var list []failover.History
	var broken []error
	saved := map[string][]failover.Rescued{} // by epoch
	for _, p := range pairs {
		if epoch, _, ok := strings.Cut(strings.TrimPrefix(p.Key, k.past), "/"+dirRescued); ok {
			if r, err := value[failover.Rescued](p); err == nil {
				saved[epoch] = append(saved[epoch], r)
			}
			continue
		}
		h, err := value[failover.History](p)
		if err != nil {
			broken = append(broken, &KeyError{p.Key, err})
			continue
		}
		list = append(list, h)
	}
	for i := range list {
		list[i].Rescued = saved[strconv.FormatUint(list[i].Epoch, 10)]
	}
	slices.SortFunc(list, func(a, b failover.History) int { return cmp.Compare(b.Epoch, a.Epoch) })
	return list[:min(n, len(list))], errors.Join(broken...)
}

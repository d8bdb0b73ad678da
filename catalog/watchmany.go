package catalog

import (
	"context"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// fewGroups is how many groups are watched by a query for each. A query occupies a connection while it waits, and one that was
// given up still does until Consul would have answered it: with many, an agent that is started again twice in five minutes would
// reach the 200 that one machine may have (limits.http_max_conns_per_client), and lose its leases. One query for all groups is
// answered with the entries of all whenever one changes.
const fewGroups = 8

// restFor is how long such a query is not made again, for each entry of its answer, and restAtMost for any number: what changes
// meanwhile is answered at once then. Votes that were told hold for a second, and are to be in Consul by then.
const (
	restFor    = 100 * time.Microsecond
	restAtMost = 100 * time.Millisecond
)

// WatchGroups is WatchGroup for several groups. States of one group come one after the other.
func (c *Catalog) WatchGroups(ctx context.Context, groups []string, each func(group string, s failover.State)) {
	if len(groups) > fewGroups {
		c.watchMany(ctx, groups, each)
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	for _, group := range groups {
		all.Go(func() { c.WatchGroup(ctx, group, func(s failover.State) { each(group, s) }) })
	}
}

// watchMany watches the whole prefix, and delivers the groups whose entries have changed.
func (c *Catalog) watchMany(ctx context.Context, groups []string, each func(group string, s failover.State)) {
	seed := maphash.MakeSeed()
	var last uint64
	c.watch(ctx, func(client *api.Client, q *api.QueryOptions) (uint64, func(), error) {
		pairs, meta, err := client.KV().List(c.prefix, q)
		if err == nil && meta.ResultsFilteredByACLs {
			err = ErrFiltered
		}
		if err != nil {
			c.told.clear()
			return 0, nil, err
		}
		byGroup := map[string]api.KVPairs{}
		for _, p := range pairs {
			group, _, _ := strings.Cut(strings.TrimPrefix(p.Key, c.prefix), "/")
			byGroup[group] = append(byGroup[group], p)
		}
		return meta.LastIndex, func() {
			if meta.LastIndex < last {
				c.told.clear() // Consul was restored: all have another index
			}
			last = meta.LastIndex
			for _, group := range groups {
				if !c.told.isNew(group, fingerprint(seed, byGroup[group])) {
					continue
				}
				if s, broken := c.state(group, byGroup[group], meta.LastIndex); broken == nil {
					each(group, s)
				}
			}
			sleep(ctx, min(time.Duration(len(pairs))*restFor, restAtMost))
		}, nil
	})
}

// fingerprint changes when an entry is written, added, removed, locked or released. Indexes alone would not do: after a
// restored snapshot they come again.
func fingerprint(seed maphash.Seed, pairs api.KVPairs) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, p := range pairs {
		fmt.Fprintln(&h, p.Key, p.ModifyIndex, p.Session, len(p.Value))
		_, _ = h.Write(p.Value)
	}
	return h.Sum64()
}

// told is what watchMany delivered last of each group. What else was read of a group is forgotten with it: that may have been
// undone since, so that all is as it was delivered, and not as it was read.
type told struct {
	mu    sync.Mutex
	known map[string]uint64
}

func (t *told) isNew(group string, print uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if before, told := t.known[group]; told && before == print {
		return false
	}
	t.known[group] = print
	return true
}

func (t *told) forget(group string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, group)
}

func (t *told) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.known)
}

package catalog

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

const (
	// watchWait is how long Consul may hold a blocking query; it is Consul's own default. It adds up to a
	// sixteenth, so that not all queries return at once.
	watchWait = 5 * time.Minute
	// watchDeadline is when an answer is overdue: the wait, the sixteenth, and time for the answer to arrive.
	watchDeadline = watchWait + watchWait/16 + 10*time.Second
	// A failed query is repeated at once or nearly so, since a failover may be waiting, and then ever less
	// often: a Consul that struggles is not helped by being asked.
	watchRetryFirst, watchRetryLast = 50 * time.Millisecond, 2 * time.Second
)

// WatchGroup calls each with the state of a group: first as it is, and then whenever it has changed, until ctx
// ends. Calls come one after the other; the state of a later call is not older. A state whose record or settings
// cannot be understood is logged and not delivered.
func (c *Catalog) WatchGroup(ctx context.Context, group string, each func(failover.State)) {
	c.watch(ctx, func(client *api.Client, q *api.QueryOptions) (uint64, func(), error) {
		s, broken, err := c.list(client, q, group)
		if err != nil {
			return 0, nil, err
		}
		return s.Index, func() {
			if broken == nil {
				each(s)
			}
		}, nil
	})
}

// watch repeats a blocking query until ctx ends. The query returns its index and what to do if that is new. It is
// the one place that knows the rules of blocking queries
// (https://developer.hashicorp.com/consul/api-docs/features/blocking).
func (c *Catalog) watch(ctx context.Context, query func(*api.Client, *api.QueryOptions) (uint64, func(), error)) {
	var index uint64
	consistent := false
	retry := watchRetryFirst
	for ctx.Err() == nil {
		got, deliver, err := c.ask(ctx, index, consistent, query)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errMoved) {
			continue
		}
		c.outage.note(ctx, err)
		if err != nil {
			sleep(ctx, retry/2+rand.N(retry))
			retry = min(2*retry, watchRetryLast)
			continue
		}
		retry = watchRetryFirst
		got = max(got, 1) // 0 would not block
		switch {
		case got < index && !consistent:
			// Either a server that is behind answered, or Consul was restored from a snapshot. A
			// consistent read tells which.
			index, consistent = 0, true
			continue
		case got != index || consistent:
			deliver()
		}
		index, consistent = got, false
	}
}

// ask makes one blocking query. It ends early when its address has failed another call: a Consul that is cut off
// or stopped would keep it until its deadline. It ends with errMoved when the configured address is used again.
func (c *Catalog) ask(ctx context.Context, index uint64, consistent bool, query func(*api.Client, *api.QueryOptions) (uint64, func(), error)) (uint64, func(), error) {
	limit := watchDeadline
	if index == 0 {
		limit = callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	i, moved := c.endpoints.pick()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-moved:
			cancel()
		case <-done:
		}
	}()
	q := queryOptions(ctx, consistent)
	q.WaitIndex, q.WaitTime = index, watchWait
	got, deliver, err := query(c.endpoints.clients[i], q)
	if err != nil && i != 0 && !c.endpoints.away() {
		return 0, nil, errMoved
	}
	if err != nil && !refused(err) {
		c.endpoints.avoid(i)
	}
	return got, deliver, err
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// A watch tells how things are, then each change, through a restart of Consul, and tells of the outage once.
func TestWatchGroups(t *testing.T) {
	t.Run("few", func(t *testing.T) { watchGroups(t, 1) })
	t.Run("many", func(t *testing.T) { watchGroups(t, fewGroups+1) })
}

func watchGroups(t *testing.T, n int) {
	groups := []string{"redis"}
	for i := range n - 1 {
		groups = append(groups, fmt.Sprintf("redis%d", i)) // a group's name may begin with another's
	}
	s := catalogtest.StartConsul(t, 1).Servers[0]
	var mu sync.Mutex
	var seen []failover.State
	var outages []error
	c := connect(t, s, func(cfg *Config) {
		cfg.OnOutage = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			outages = append(outages, err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		c.WatchGroups(ctx, groups, func(group string, state failover.State) {
			mu.Lock()
			defer mu.Unlock()
			if group == "redis" {
				seen = append(seen, state)
			}
		})
	})
	defer wg.Wait()
	defer cancel()
	epochIs := func(want uint64) {
		t.Helper()
		eventually(t, func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(seen) == 0 {
				return errors.New("nothing seen")
			}
			last := seen[len(seen)-1]
			if want == 0 && last.Record == nil {
				return nil
			}
			if last.Record == nil || last.Record.Epoch != want {
				return fmt.Errorf("last seen is %+v, want epoch %d", last.Record, want)
			}
			return nil
		})
	}
	epochIs(0)
	for epoch := range uint64(20) {
		putRecord(t, s, "redis", record(epoch+1, "a").Encode())
		epochIs(epoch + 1)
	}
	s.Kill()
	eventually(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(outages) == 0 {
			return errors.New("no outage was told")
		}
		return nil
	})
	s.Start()
	eventually(t, func() error {
		_, err := s.Client().KV().Put(&api.KVPair{Key: DefaultPrefix + "redis/record", Value: record(21, "a").Encode()}, nil)
		return err
	})
	epochIs(21)
	// A record that cannot be understood is not delivered as none.
	putRecord(t, s, "redis", []byte("broken"))
	putRecord(t, s, "redis", record(22, "a").Encode())
	epochIs(22)
	mu.Lock()
	defer mu.Unlock()
	if len(outages) < 2 || outages[0] == nil || outages[1] != nil {
		t.Errorf("outages told are %v, want one and its end", outages)
	}
	for i, state := range seen[1:] {
		if state.Index < seen[i].Index || state.Record == nil {
			t.Errorf("state %d has index %d and record %v after index %d", i+1, state.Index, state.Record, seen[i].Index)
		}
	}
}

// An answer that is older than one already given is not delivered; when Consul confirms it, it is the truth.
func TestWatchOrder(t *testing.T) {
	c := connect(t, catalogtest.StartConsul(t, 1).Servers[0])
	ctx, cancel := context.WithCancel(t.Context())
	type ask struct {
		index      uint64
		consistent bool
	}
	var asked []ask
	var delivered []uint64
	answers := []uint64{10, 12, 11, 12, 12, 13, 5, 5, 6}
	c.watch(ctx, func(_ *api.Client, q *api.QueryOptions) (uint64, func(), error) {
		asked = append(asked, ask{q.WaitIndex, q.RequireConsistent})
		index := answers[len(asked)-1]
		if len(asked) == len(answers) {
			defer cancel()
		}
		return index, func() { delivered = append(delivered, index) }, nil
	})
	wantAsked := []ask{{0, false}, {10, false}, {12, false}, {0, true}, {12, false}, {12, false}, {13, false}, {0, true}, {5, false}}
	if fmt.Sprint(asked) != fmt.Sprint(wantAsked) {
		t.Errorf("asked %v, want %v", asked, wantAsked)
	}
	if fmt.Sprint(delivered) != fmt.Sprint([]uint64{10, 12, 12, 13, 5}) {
		t.Errorf("delivered %v", delivered)
	}
}

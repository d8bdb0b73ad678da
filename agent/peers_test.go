package agent

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
)

// refusing are agents that promise nothing.
type refusing struct {
	Peers
	asked atomic.Int64
}

func (r *refusing) Promise(_ context.Context, _, agent string, _ peers.PromiseRequest) (peers.PromiseAnswer, error) {
	r.asked.Add(1)
	return peers.PromiseAnswer{Why: agent + " has its reasons"}, nil
}

// A master that is refused promises asks again while its lease lasts, but not as fast as the answers come, and says once why it may
// not stay open, whoever answers first.
func TestPromisesThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		others := &refusing{}
		began := time.Now()
		g := &group{name: "redis", news: make(chan func() bool, 1), running: map[string]bool{}, peers: &peerPort{client: others},
			log: hclog.New(&hclog.LoggerOptions{Output: &log}), now: func() time.Duration { return time.Since(began) }}
		a := failover.AskPromises{Node: "redis-a", Agents: []string{"b", "c"}, For: g.view.Fence()}
		for g.now() < g.view.Fence()/2 {
			g.askPromises(t.Context(), "promises", a)
			(<-g.news)()
		}
		if n := others.asked.Load() / 2; n < 2 || n > 5 {
			t.Errorf("they were asked %d times in half a lease", n)
		}
		if n := strings.Count(log.String(), "may not stay open"); n != 1 {
			t.Errorf("it was said %d times:\n%s", n, &log)
		}
	})
}

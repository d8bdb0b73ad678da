package main

import (
	"context"
	"net"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// failoverClient is what most applications in Go use with Sentinel: go-redis' own client, which follows the events of
// the sentinels. It has go-redis' defaults, but for retries, so that what was acknowledged is known.
type failoverClient struct {
	client *goredis.Client

	mu   sync.Mutex
	addr string
}

func (p *sentinelSystem) clients(d dial, ask []int) map[string]store {
	f := &failoverClient{}
	var sentinels []string
	isSentinel := map[string]bool{}
	for _, i := range ask {
		sentinels = append(sentinels, sentinelAddr(p.s, i))
	}
	for _, addr := range p.addrs() {
		isSentinel[addr] = true
	}
	f.client = goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName:    p.group,
		SentinelAddrs: sentinels,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := d(ctx, network, addr)
			if err == nil && !isSentinel[addr] {
				f.mu.Lock()
				f.addr = addr
				f.mu.Unlock()
			}
			return conn, err
		},
		PoolSize:    1,
		MaxRetries:  -1,
		ReadTimeout: replyLimit, WriteTimeout: replyLimit,
	})
	return map[string]store{clientGoRedis: f}
}

func (f *failoverClient) set(ctx context.Context, key, value string, wait int) (string, error) {
	err := set(ctx, f.client, key, value, wait)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addr, err
}

func (f *failoverClient) close() { _ = f.client.Close() }

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// event is what a sentinel has published.
type event struct {
	at         time.Time
	name, what string
}

// events gathers what sentinels publish.
type events struct {
	subscriptions []*goredis.PubSub
	clients       []*goredis.SentinelClient
	ended         sync.WaitGroup

	mu   sync.Mutex
	seen [][]event
}

// watchEvents subscribes to sentinels; when it returns they have confirmed it.
func watchEvents(sentinels []string) (*events, error) {
	e := &events{seen: make([][]event, len(sentinels))}
	for i, addr := range sentinels {
		c := sentinelClient(addr, nil)
		e.clients = append(e.clients, c)
		if err := e.watch(i, c); err != nil {
			e.close()
			return nil, fmt.Errorf("subscribe to the events of %s: %w", addr, err)
		}
	}
	return e, nil
}

func (e *events) watch(i int, c *goredis.SentinelClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		s := c.PSubscribe(ctx, "*")
		if _, err := s.Receive(ctx); err != nil {
			_ = s.Close()
			if ctx.Err() != nil {
				return err
			}
			sleep(ctx, 10*time.Millisecond) // it is just starting
			continue
		}
		e.subscriptions = append(e.subscriptions, s)
		messages := s.Channel(goredis.WithChannelHealthCheckInterval(0))
		e.ended.Go(func() {
			for m := range messages {
				e.mu.Lock()
				e.seen[i] = append(e.seen[i], event{time.Now(), m.Channel, m.Payload})
				e.mu.Unlock()
			}
		})
		return nil
	}
}

// of are the events of one sentinel so far.
func (e *events) of(i int) []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]event(nil), e.seen[i]...)
}

func (e *events) close() {
	for _, s := range e.subscriptions {
		_ = s.Close()
	}
	e.ended.Wait()
	for _, c := range e.clients {
		_ = c.Close()
	}
}

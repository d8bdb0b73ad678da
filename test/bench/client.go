package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// replyLimit is how long a client waits for a connection or a reply before it connects anew.
	replyLimit = 500 * time.Millisecond
	// waitLimit is how long WAIT may take.
	waitLimit = 200 * time.Millisecond
)

// dial connects from the machine of a client.
type dial func(ctx context.Context, network, addr string) (net.Conn, error)

// finder tells the address of the master.
type finder func(ctx context.Context) (string, error)

// store is what a writer writes to.
type store interface {
	// set writes a key and says which server has acknowledged it; with wait > 0 only after so many replicas have.
	set(ctx context.Context, key, value string, wait int) (addr string, err error)
	close()
}

// polled is a client that asks all the time where the master is, connects to it, and connects anew when the answer
// changes: a server that hangs would never tell it to.
type polled struct {
	find   finder
	dial   dial
	every  time.Duration
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu     sync.Mutex
	addr   string
	client *goredis.Client
	found  []sighting
}

// sighting is when a client was first told of an address.
type sighting struct {
	at   time.Time
	addr string
}

func newPolled(ctx context.Context, d dial, every time.Duration, find finder) *polled {
	ctx, cancel := context.WithCancel(ctx)
	p := &polled{find: find, dial: d, every: every, cancel: cancel}
	p.ended.Go(func() { p.follow(ctx) })
	return p
}

func (p *polled) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if addr, err := p.find(ctx); err == nil && addr != p.at() {
			p.move(addr)
		}
		sleep(ctx, p.every)
	}
}

func (p *polled) at() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

func (p *polled) move(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		_ = p.client.Close() // whoever waits for a reply gets an error
	}
	p.addr, p.client = addr, plain(addr, p.dial)
	p.found = append(p.found, sighting{time.Now(), addr})
}

// plain is a client of one server that tries everything once, so that what was acknowledged is known.
func plain(addr string, d dial) *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: addr, Dialer: d, Protocol: 2, DisableIdentity: true,
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: replyLimit, ReadTimeout: replyLimit, WriteTimeout: replyLimit})
}

var errNotFound = errors.New("the master has not been found yet")

func (p *polled) set(ctx context.Context, key, value string, wait int) (string, error) {
	p.mu.Lock()
	addr, c := p.addr, p.client
	p.mu.Unlock()
	if c == nil {
		return "", errNotFound
	}
	return addr, set(ctx, c, key, value, wait)
}

func (p *polled) close() {
	p.cancel()
	p.ended.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		_ = p.client.Close()
	}
}

// sightings are the addresses that the client was told, each with the time.
func (p *polled) sightings() []sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]sighting(nil), p.found...)
}

// set writes a key, and with wait > 0 has so many replicas acknowledge it, on one connection.
func set(ctx context.Context, c *goredis.Client, key, value string, wait int) error {
	if wait == 0 {
		return c.Set(ctx, key, value, 0).Err()
	}
	pipe := c.Pipeline()
	set := pipe.Set(ctx, key, value, 0)
	waited := pipe.Do(ctx, "WAIT", wait, waitLimit.Milliseconds())
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if n, err := waited.Int(); err != nil || n < wait {
		return fmt.Errorf("%d replicas have acknowledged it: %w", n, err)
	}
	return set.Err()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

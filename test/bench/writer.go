package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// retryAfter is how long a writer waits after a write that was not acknowledged.
const retryAfter = time.Millisecond

// ack is an acknowledged write: the key is that of the writer and n, the value n.
type ack struct {
	n    int
	at   time.Time
	addr string
}

// writer writes one key after the other, whatever happens.
type writer struct {
	name   string
	store  store
	wait   int
	every  time.Duration
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	acks    []ack
	refused int
}

func startWriter(ctx context.Context, name string, s store, wait int, every time.Duration) *writer {
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{name: name, store: s, wait: wait, every: every, cancel: cancel}
	w.ended.Go(func() { w.run(ctx) })
	return w
}

func (w *writer) run(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		addr, err := w.store.set(ctx, w.key(n), strconv.Itoa(n), w.wait)
		now := time.Now()
		pause := w.every
		w.mu.Lock()
		if err == nil {
			w.acks = append(w.acks, ack{n, now, addr})
		} else {
			w.refused++
			pause = retryAfter
		}
		w.mu.Unlock()
		sleep(ctx, pause)
	}
}

func (w *writer) key(n int) string { return "bench:" + w.name + ":" + strconv.Itoa(n) }

// stop ends the writer and its connections.
func (w *writer) stop() {
	w.cancel()
	w.store.close()
	w.ended.Wait()
}

// all are the acknowledged writes so far, in their order.
func (w *writer) all() []ack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.acks)
}

// last is the newest acknowledged write.
func (w *writer) last() (ack, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.acks) == 0 {
		return ack{}, false
	}
	return w.acks[len(w.acks)-1], true
}

// count is the number of acknowledged writes so far.
func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acks)
}

// await waits until so many more writes were acknowledged.
func (w *writer) await(ctx context.Context, more int) error {
	from := w.count()
	return sandbox.WaitFor(ctx, w.name+" writes", func(context.Context) error {
		if got := w.count() - from; got < more {
			return fmt.Errorf("%d of %d writes were acknowledged", got, more)
		}
		return nil
	})
}

// outage is the longest time between two acknowledged writes that follow each other, the later one after the fault;
// and the time from the last one to the end, if that is longer: then the writer has never got through again.
func outage(acks []ack, fault, end time.Time) (time.Duration, error) {
	var longest time.Duration
	for i := 1; i < len(acks); i++ {
		if acks[i].at.After(fault) {
			longest = max(longest, acks[i].at.Sub(acks[i-1].at))
		}
	}
	if len(acks) == 0 || end.Sub(acks[len(acks)-1].at) > longest+time.Second {
		return longest, errors.New("no write was acknowledged at the end")
	}
	return longest, nil
}

// lostPart is how many keys are asked for at a time.
const lostPart = 1000

// lost is the number of acknowledged writes that a server does not have.
func (w *writer) lost(ctx context.Context, addr string, d dial) (int, error) {
	c := plain(addr, d)
	defer c.Close()
	lost := 0
	for part := range slices.Chunk(w.all(), lostPart) {
		keys := make([]string, len(part))
		for i, a := range part {
			keys[i] = w.key(a.n)
		}
		values, err := c.MGet(ctx, keys...).Result()
		if err != nil {
			return 0, fmt.Errorf("read the writes of %s back from %s: %w", w.name, addr, err)
		}
		for i, v := range values {
			if v != strconv.Itoa(part[i].n) {
				lost++
			}
		}
	}
	return lost, nil
}

package redis

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

// waitingContext tells when somebody waits for its end.
type waitingContext struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func (c *waitingContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}

// TestOrderCalledBeforeAFreezeIsNotGivenAfterIt has Open, Follow and Persist wait for their turn while a freeze is
// called and answered.
func TestOrderCalledBeforeAFreezeIsNotGivenAfterIt(t *testing.T) {
	redis := plugintest.StartRedis(t, plugintest.Frozen())
	settings := plugintest.Settings("a", redis)
	d, err := newDialer(settings)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(settings, d, hclog.NewNullLogger())
	s.observe(func(plugin.Observation) {})
	defer s.close()
	run := redis.Info("run_id")
	var at plugin.Position
	for name, order := range map[string]func(context.Context) error{
		"open":    func(ctx context.Context) error { _, err := s.open(ctx, run); return err },
		"follow":  func(ctx context.Context) error { return s.follow(ctx, run, at, "127.0.0.1:2") },
		"persist": func(ctx context.Context) error { return s.persist(ctx) },
	} {
		frozen, err := s.freeze(plugintest.Timeout(t))
		if err != nil {
			t.Fatal(err)
		}
		at = frozen.Position
		s.roles.Lock()
		ctx := &waitingContext{Context: plugintest.Timeout(t), waiting: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- order(ctx) }()
		<-ctx.waiting
		if _, err := s.freeze(plugintest.Timeout(t)); err != nil {
			t.Fatal(err)
		}
		s.roles.Unlock()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "a freeze came between") {
			t.Errorf("%s: %v", name, err)
		}
		if redis.Info("role") != "slave" || redis.Info("master_port") != "1" {
			t.Fatalf("%s: %s of port %s after a freeze", name, redis.Info("role"), redis.Info("master_port"))
		}
	}
}

// TestOrderGivenUpIsNotSent gives an order whose caller has gone.
func TestOrderGivenUpIsNotSent(t *testing.T) {
	redis := plugintest.StartRedis(t, plugintest.Frozen())
	d := New(nil)
	if err := d.Connect(t.Context(), plugintest.Settings("a", redis)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Disconnect(context.Background(), "a") }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Open(ctx, "a", redis.Info("run_id")); err == nil || redis.Info("role") == "master" {
		t.Fatalf("opened by an order that was given up, error %v", err)
	}
}

func BenchmarkFreezeOpen(b *testing.B) {
	redis := plugintest.StartRedis(b)
	d := New(nil)
	if err := d.Connect(b.Context(), plugintest.Settings("a", redis)); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Disconnect(context.Background(), "a") }()
	run := redis.Info("run_id")
	for b.Loop() {
		if _, err := d.Freeze(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
		if _, err := d.Open(b.Context(), "a", run); err != nil {
			b.Fatal(err)
		}
	}
}

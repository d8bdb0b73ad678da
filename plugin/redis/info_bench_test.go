package redis

import (
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

// BenchmarkInfo reads what a real server says of itself, as a driver does every second for each of its own.
func BenchmarkInfo(b *testing.B) {
	redis := plugintest.StartRedis(b)
	text := redis.MustDo("INFO", "server", "clients", "memory", "persistence", "stats", "replication", "keyspace").(string)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if i := parseFields(text).info("yes"); i.RunID == "" {
			b.Fatalf("no run id in %q", text)
		}
	}
}

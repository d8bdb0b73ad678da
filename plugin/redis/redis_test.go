package redis_test

import (
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/redis"
)

func TestMain(m *testing.M) { plugintest.Main(m, redis.New) }

// TestHarness runs the driver as the agent does: in a process of its own, supervised.
func TestHarness(t *testing.T) {
	plugintest.Run(t, plugintest.Harness{Driver: func(t testing.TB) plugin.Driver { return plugintest.Supervise(t) }})
}

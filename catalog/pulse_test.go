package catalog

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
)

// While the servers of Consul are silent, the Consul agent of this machine is told nothing that would have it wait for them: what is
// registered there can be changed. It is told when they are back.
func TestSilentServersHoldNothingUp(t *testing.T) {
	cluster := catalogtest.StartConsul(t, 1, catalogtest.WithClients(1))
	server, client := cluster.Servers[0], cluster.Clients[0]
	c, _ := running(t, client, "a")
	if err := c.Register(t.Context(), redis("a", "master")); err != nil {
		t.Fatal(err)
	}
	pass(t, c, redis("a"))
	eventually(t, func() error { return statusIs(server, "redis", "redis-a", api.HealthPassing) })

	server.Stop()
	defer server.Continue()
	asked, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for asked.Err() == nil {
			_, _ = c.ReadRecords(asked, []string{"redis"})
		}
	}()
	eventually(t, func() error {
		if !c.pulse.silent() {
			return errors.New("the servers do not count as silent")
		}
		return nil
	})
	c.SetCheck(t.Context(), "redis-a:lag", api.HealthCritical, "late")
	c.SetAgentCheck(api.HealthWarning, "Consul does not answer")
	c.tellChecks(t.Context())
	if err := c.heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	if _, _, err := client.Client().Agent().Service("redis-a", queryOptions(ctx, false)); err != nil {
		t.Errorf("the Consul agent is held up: %v", err)
	}

	server.Continue()
	eventually(t, func() error {
		return errors.Join(statusIs(server, "redis", "redis-a", api.HealthCritical),
			statusIs(server, AgentService, AgentService+"-a", api.HealthWarning))
	})
}

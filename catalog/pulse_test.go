package catalog

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/consul/api"
)

// While the servers of Consul are silent, the Consul agent of this machine is told nothing that would have it wait for them: what is
// registered there can be changed. It is told when they are back.
func TestSilentServersHoldNothingUp(t *testing.T) {
	server, client, c := onClient(t, "master")
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

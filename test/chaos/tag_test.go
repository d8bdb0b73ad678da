package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/test/hosts"
)

// A master and its agent end, and the machine goes on: for a while its Consul agent says of both what they said. It compares that with
// the catalog every minute or two, and removes what others have added there; here it does so all the time. Still no two masters ever
// have the tag (G1).
func TestTagOfDeadAgent(t *testing.T) {
	h, before := start(t, hosts.Options{Sandbox: sandbox.Options{
		GroupHCL: fmt.Sprintf("down_after = %q\nfence_after = %q", downAfter, fenceAfter)}})
	old := h.Of(before.Record.Master)
	client := h.Consul(old).Client
	names := watchNames(t.Context(), h, func() bool { return false })
	compare(t, client, h.Group())
	must(t, h.Agent(old).Kill())
	must(t, h.Redis(old).Kill())
	eventually(t, "another master has the tag", func(context.Context) error {
		tagged, _, err := client.Health().Service(h.Group(), "master", true, nil)
		for _, e := range tagged {
			if net.JoinHostPort(e.Service.Address, strconv.Itoa(e.Service.Port)) != before.Record.Address {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%d have it", len(tagged)))
	})
	must(t, h.Agent(old).Start())
	must(t, h.Redis(old).Start())
	namesSettle(t, h, whole(t, h))
	must(t, names())
}

// compare removes the checks of a service that no Consul agent knows of, as long as the test runs.
func compare(t *testing.T, client *api.Client, service string) {
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for ; t.Context().Err() == nil; sleepFor(t, 50*time.Millisecond) {
			all, _, err := client.Health().Checks(service, nil)
			for _, k := range all {
				if err == nil && k.Name == "superseded" {
					_, err = client.Catalog().Deregister(&api.CatalogDeregistration{Node: k.Node, CheckID: k.CheckID}, nil)
				}
			}
		}
	}()
}

package catalog

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
)

// redis is the service of a node, with two checks.
func redis(node string, tags ...string) Service {
	id := "redis-" + node
	return Service{ID: id, Name: "redis", Tags: tags, Address: "10.1.0.1", Port: 6379, Meta: map[string]string{"group": "redis"},
		Checks: []Check{{ID: id + ":alive", Name: "alive"}, {ID: id + ":lag", Name: "lag"}}}
}

func pass(t *testing.T, c *Catalog, s Service) {
	for _, k := range s.Checks {
		c.SetCheck(t.Context(), k.ID, api.HealthPassing, "fine")
	}
}

// onClient is a node that passes with a tag, registered with a Consul agent that is no server.
func onClient(t *testing.T, tag string) (server, client *catalogtest.Server, c *Catalog) {
	t.Helper()
	cluster := catalogtest.StartConsul(t, 1, catalogtest.WithClients(1))
	server, client = cluster.Servers[0], cluster.Clients[0]
	c, _ = running(t, client, "a")
	if err := c.Register(t.Context(), redis("a", tag)); err != nil {
		t.Fatal(err)
	}
	pass(t, c, redis("a"))
	return server, client, c
}

// A node is critical until its checks are set, and then what they say, at once.
func TestRegister(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c, _ := running(t, s, "a")
	if err := c.Register(t.Context(), redis("a", "replica")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return statusIs(s, "redis", "redis-a", api.HealthCritical) })
	pass(t, c, redis("a"))
	eventually(t, func() error { return statusIs(s, "redis", "redis-a", api.HealthPassing) })
	eventually(t, func() error { return names(s, "replica.redis", "10.1.0.1") })
	for _, status := range []string{api.HealthWarning, api.HealthCritical, api.HealthPassing} {
		c.SetCheck(t.Context(), "redis-a:lag", status, "because")
		eventually(t, func() error { return statusIs(s, "redis", "redis-a", status) })
	}
	// A mere output reaches the Consul agent as well.
	c.SetCheck(t.Context(), "redis-a:lag", api.HealthPassing, "another line")
	eventually(t, func() error {
		checks, err := s.Client().Agent().Checks()
		if err == nil && checks["redis-a:lag"].Output != "another line" {
			err = fmt.Errorf("output is %q", checks["redis-a:lag"].Output)
		}
		return err
	})
	c.SetCheck(t.Context(), "no such check", api.HealthPassing, "") // is ignored
	for range 2 {
		if err := c.Deregister(t.Context(), "redis-a"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error { return statusIs(s, "redis", "redis-a", "") })
}

// A check expires only if nobody refreshes it.
func TestChecksAreRefreshed(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c, stop := running(t, s, "a")
	service := redis("a")
	service.Checks[0].TTL = 3 * time.Second
	if err := c.Register(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	pass(t, c, service)
	eventually(t, func() error { return statusIs(s, "redis", "redis-a", api.HealthPassing) })
	for begun := time.Now(); time.Since(begun) < 3*service.Checks[0].TTL; time.Sleep(50 * time.Millisecond) {
		if err := statusIs(s, "redis", "redis-a", api.HealthPassing); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	eventually(t, func() error { return statusIs(s, "redis", "redis-a", api.HealthCritical) })
}

// A change of tags is no change of health: nobody who watches ever sees the node less than passing.
func TestRetagKeepsHealth(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c, _ := running(t, s, "a")
	if err := c.Register(t.Context(), redis("a", "replica")); err != nil {
		t.Fatal(err)
	}
	pass(t, c, redis("a"))
	eventually(t, func() error { return statusIs(s, "redis", "redis-a", api.HealthPassing) })
	var looks, bad atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil && looks.Load() < 1<<40 {
			if err := statusIs(s, "redis", "redis-a", api.HealthPassing); err != nil {
				bad.Add(1)
				t.Log(err)
			}
			looks.Add(1)
		}
	}()
	for i := range 30 {
		tag := []string{"master", "replica"}[i%2]
		if err := c.Register(t.Context(), redis("a", tag)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { return names(s, tag+".redis", "10.1.0.1") })
	}
	looks.Store(1 << 40)
	<-done
	if bad.Load() > 0 {
		t.Errorf("seen unhealthy %d times", bad.Load())
	}
}

// What the Consul agent has lost or changed is registered again, with the status that the checks had.
func TestRegistrationAfterRestart(t *testing.T) {
	server, client, _ := onClient(t, "replica")
	healthy := func() {
		t.Helper()
		eventually(t, func() error { return names(server, "replica.redis", "10.1.0.1") })
		eventually(t, func() error { return statusIs(server, "redis", "redis-a", api.HealthPassing) })
	}
	healthy()
	client.Restart()
	healthy()
	client.Kill()
	client.Wipe()
	eventually(t, func() error { return statusIs(server, "redis", "redis-a", api.HealthCritical) })
	client.Start()
	healthy()
	// Somebody else's hand. The servers may still have named the entry of before when the Consul agent, empty now, did not
	// know it again yet.
	eventually(t, func() error { return client.Client().Agent().ServiceDeregister("redis-a") })
	eventually(t, func() error { return statusIs(server, "redis", "redis-a", "") })
	healthy()
	foreign := &api.AgentServiceRegistration{ID: "redis-a", Name: "redis", Tags: []string{"master"}, Port: 1}
	if err := client.Client().Agent().ServiceRegister(foreign); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return names(server, "master.redis") })
	healthy()
}

// A registration wished for while the Consul agent was away is the one that counts when it is back, whatever it
// has on its disk.
func TestRegisterWhileConsulIsAway(t *testing.T) {
	cluster := catalogtest.StartConsul(t, 1, catalogtest.WithClients(1))
	server, client := cluster.Servers[0], cluster.Clients[0]
	c, _ := running(t, client, "a")
	if err := c.Register(t.Context(), redis("a", "master")); err != nil {
		t.Fatal(err)
	}
	pass(t, c, redis("a"))
	eventually(t, func() error { return names(server, "master.redis", "10.1.0.1") })
	client.Kill()
	if err := c.Register(t.Context(), redis("a", "replica")); err == nil {
		t.Fatal("registered with a Consul agent that was killed")
	}
	client.Start()
	eventually(t, func() error { return names(server, "replica.redis", "10.1.0.1") })
	eventually(t, func() error { return names(server, "master.redis") })
}

// Owned names what this agent has registered, in this run or another, and nobody else's.
func TestOwned(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	a, stop := running(t, s, "a")
	b, _ := running(t, s, "b")
	for c, node := range map[*Catalog]string{a: "a", b: "b"} {
		if err := c.Register(t.Context(), redis(node)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Client().Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "web", Name: "web"}); err != nil {
		t.Fatal(err)
	}
	stop()
	a, _ = running(t, s, "a")
	if ids, err := a.Owned(t.Context()); err != nil || !slices.Equal(ids, []string{"redis-a"}) {
		t.Errorf("owned are %v (%v), want redis-a", ids, err)
	}
}

// Whoever DNS would name as master holds the tag: passing and warning, but not critical.
func TestClaimTag(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c, _ := running(t, s, "a")
	of := func(epoch string, s Service) Service {
		s.Meta = map[string]string{"epoch": epoch}
		return s
	}
	for node, status := range map[string]string{"a": api.HealthPassing, "b": api.HealthWarning, "c": api.HealthCritical} {
		if err := c.Register(t.Context(), of("7", redis(node, "master"))); err != nil {
			t.Fatal(err)
		}
		pass(t, c, redis(node))
		c.SetCheck(t.Context(), "redis-"+node+":lag", status, "")
	}
	if err := c.Register(t.Context(), of("7", redis("d", "replica"))); err != nil {
		t.Fatal(err)
	}
	// claims tells whether a claim has to wait for what it should, and whether z is superseded then.
	claims := func(when string, claim TagClaim, waitFor []string, older, superseded bool) {
		t.Helper()
		claim.Service, claim.Tag = "redis", "master"
		var has bool
		eventually(t, func() error {
			others, old, err := c.ClaimTag(t.Context(), claim)
			slices.Sort(others)
			if err == nil && (!slices.Equal(others, waitFor) || old != older) {
				err = fmt.Errorf("%s: the claim waits for %v, %v; want %v, %v", when, others, old, waitFor, older)
			}
			return err
		})
		entries, _, err := s.Client().Health().Service("redis", "", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			has = has || slices.ContainsFunc(e.Checks, func(k *api.HealthCheck) bool { return k.CheckID == "redis-z:superseded" })
		}
		if has != superseded {
			t.Errorf("%s: superseded is %v, want %v", when, has, superseded)
		}
	}
	ab, abz := []string{"redis-a", "redis-b"}, []string{"redis-a", "redis-b", "redis-z"}
	claims("by another", TagClaim{Own: "redis-e", Epoch: 7}, ab, false, false)
	claims("by a holder", TagClaim{Own: "redis-a", Epoch: 7}, []string{"redis-b"}, false, false)
	claims("in the next epoch", TagClaim{Own: "redis-e", Epoch: 8}, ab, true, false)
	claims("in doubt", TagClaim{Own: "redis-e", Epoch: 9, Before: map[string]uint64{"redis-d": 7}}, []string{"redis-a", "redis-b", "redis-d"}, true, false)
	claims("without doubt, as it was registered since", TagClaim{Own: "redis-e", Epoch: 9, Before: map[string]uint64{"redis-d": 6}}, ab, true, false)

	abd := []string{"redis-a", "redis-b", "redis-d"}
	claims("with one that Consul has lost", TagClaim{Own: "redis-e", Epoch: 9, Before: map[string]uint64{"redis-d": 8, "redis-y": 7}}, append(abd, "redis-y"), true, false)
	claims("with one that it lost long ago", TagClaim{Own: "redis-e", Epoch: 9, Before: map[string]uint64{"redis-d": 8, "redis-y": 6}}, abd, true, false)
	claims("with one that is gone for good", TagClaim{Own: "redis-e", Epoch: 9, Before: map[string]uint64{"redis-d": 8, "redis-y": 8}, Gone: true}, abd, true, false)

	entry := func(serf, epoch string, tags ...string) {
		t.Helper()
		if _, err := s.Client().Catalog().Register(&api.CatalogRegistration{Node: "away", Address: "127.0.0.1",
			Service: &api.AgentService{ID: "redis-z", Service: "redis", Tags: tags, Meta: map[string]string{"epoch": epoch}},
			Checks:  api.HealthChecks{{CheckID: "serfHealth", Status: serf}, {CheckID: "z", ServiceID: "redis-z", Status: api.HealthPassing}},
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
	byE := TagClaim{Own: "redis-e", Epoch: 7}
	entry(api.HealthCritical, "6", "replica")
	claims("with a machine that is away", byE, ab, true, true)
	entry(api.HealthPassing, "6", "master")
	claims("when it is back, and what it had on the way arrives", byE, abz, true, true)
	entry(api.HealthPassing, "7", "replica")
	claims("when it is a replica of this epoch", byE, ab, false, false)
	entry(api.HealthPassing, "6", "master")
	claims("with an older one", byE, abz, true, false)
	byE.Overdue = true
	claims("with an older one that is overdue", byE, abz, true, true)
	byE.Expired = true
	claims("with an older one that cannot pass any more", byE, ab, true, true)
	entry(api.HealthPassing, "7", "replica")
	claims("when it is a replica again", byE, ab, false, false)
	entry(api.HealthPassing, "6", "master")
	claims("by one that had the tag before", TagClaim{Own: "redis-a", Epoch: 7}, []string{"redis-b"}, true, true)
	claims("by the one that is superseded", TagClaim{Own: "redis-z", Epoch: 7}, ab, false, true)
	for _, id := range ab {
		c.SetCheck(t.Context(), id+":lag", api.HealthCritical, "")
	}
	claims("by the one that is superseded, without others", TagClaim{Own: "redis-z", Epoch: 7}, nil, false, false)
}

package catalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"
	"github.com/miekg/dns"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// patience is how long tests wait for what should come soon.
const patience = time.Minute

func eventually(t *testing.T, f func() error) {
	t.Helper()
	catalogtest.Eventually(t, patience, f)
}

// connect is a catalog on a Consul agent, whoever asks.
func connect(t *testing.T, s *catalogtest.Server, change ...func(*Config)) *Catalog {
	t.Helper()
	cfg := Config{Address: s.HTTPAddr, Logger: hclog.New(&hclog.LoggerOptions{Output: t.Output(), Level: hclog.Debug})}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running is a catalog that runs as an agent with a session. stop ends it in order.
func running(t *testing.T, s *catalogtest.Server, name string) (c *Catalog, stop func()) {
	t.Helper()
	c = connect(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx, AgentSpec{Name: name, Version: "1"}) })
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	eventually(t, func() error { return hasSession(c) })
	return c, stop
}

func hasSession(c *Catalog) error {
	if c.Session() == "" {
		return errors.New("no session")
	}
	return nil
}

// leading is a running catalog that holds the lock of group "redis".
func leading(t *testing.T, s *catalogtest.Server, name string) *Catalog {
	t.Helper()
	c, _ := running(t, s, name)
	eventually(t, func() error { return lock(t, c) })
	return c
}

func lock(t *testing.T, c *Catalog) error {
	ok, err := c.AcquireLock(t.Context(), "redis")
	if err == nil && !ok {
		err = errors.New("another agent holds the lock")
	}
	return err
}

func record(epoch uint64, master string) *failover.Record {
	return &failover.Record{Epoch: epoch, Phase: failover.Steady, Master: master, RunID: "run-" + master,
		Address: "10.0.0.1:6379", Durability: "none", Eligible: map[string]failover.Member{}}
}

func electing(epoch uint64, master string) *failover.Record {
	r := record(epoch, master)
	r.Phase, r.Election = failover.Electing, &failover.Election{Kind: failover.ForFailure, Leader: "x", Cause: "test"}
	return r
}

func masterEntry(address, status string) MasterEntry {
	return MasterEntry{Service: "redis-master", Node: "redis-master", Address: address, Port: 6379,
		Meta: map[string]string{"group": "redis"}, Status: status, Output: "a line for " + address}
}

// resolve asks a Consul agent's DNS for the addresses of a name.
func resolve(s *catalogtest.Server, name string) ([]string, error) {
	q := new(dns.Msg)
	q.SetQuestion(name+".service.consul.", dns.TypeA)
	answer, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(q, s.DNSAddr)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			found = append(found, a.A.String())
		}
	}
	slices.Sort(found)
	return found, nil
}

// names checks that DNS answers with these addresses.
func names(s *catalogtest.Server, name string, want ...string) error {
	got, err := resolve(s, name)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("%s is %v in DNS, want %v", name, got, want)
	}
	return err
}

// health is the status of each instance of a service in the catalog, by id.
func health(s *catalogtest.Server, service string) (map[string]string, error) {
	entries, _, err := s.Client().Health().Service(service, "", false, &api.QueryOptions{RequireConsistent: true})
	found := map[string]string{}
	for _, e := range entries {
		found[e.Service.ID] = e.Checks.AggregatedStatus()
	}
	return found, err
}

func statusIs(s *catalogtest.Server, service, id, want string) error {
	found, err := health(s, service)
	if err == nil && found[id] != want {
		err = fmt.Errorf("%s is %q, want %q", id, found[id], want)
	}
	return err
}

// refusedPort is an address where nothing listens.
func refusedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// An application that knows nothing but a name and the address of a DNS server writes before and after a failover,
// and Consul answers with a time to live of 0.
func TestExampleClientResolvesThroughDNS(t *testing.T) {
	s, _ := start(t, exampleOptions(t))
	state := counted(t, s)
	exampleReplicas(t, s, 2)
	old := master(s, state)
	for i := range s.Consuls() {
		must(t, exampleWriteByName(t.Context(), t, s, i, "before", old))
	}
	must(t, old.Kill())
	state = steady(t, s, state.Record.Epoch+1)
	now := master(s, state)
	exampleReplicas(t, s, 1)
	for i := range s.Consuls() {
		must(t, exampleWriteByName(t.Context(), t, s, i, "after", now))
	}
	c := exampleRedis(t, now.Addr(), "", "")
	if v, err := c.Get(t.Context(), "before").Result(); err != nil || v != "1" {
		t.Errorf("what was written before is %q (%v)", v, err)
	}
}

// exampleWriteByName resolves the master with SRV and A questions and writes to it.
func exampleWriteByName(ctx context.Context, t *testing.T, s *sandbox.Sandbox, server int, key string, want *sandbox.Redis) error {
	ask := func(name string, kind uint16) (*dns.Msg, error) {
		m, err := dns.ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), s.Consul(server).DNSAddr())
		if err == nil && len(m.Answer) != 1 {
			err = fmt.Errorf("%d answers for %s: %v", len(m.Answer), name, m)
		}
		if err == nil && m.Answer[0].Header().Ttl != 0 {
			err = fmt.Errorf("the answer may be kept: %v", m.Answer[0])
		}
		return m, err
	}
	m, err := ask("redis-master.service.consul", dns.TypeSRV)
	if err != nil {
		return err
	}
	srv := m.Answer[0].(*dns.SRV)
	if m, err = ask(srv.Target, dns.TypeA); err != nil {
		return err
	}
	ip := m.Answer[0].(*dns.A).A.String()
	addr := net.JoinHostPort(ip, strconv.Itoa(int(srv.Port)))
	if addr != want.Addr() {
		return fmt.Errorf("DNS says %s, the master is %s", addr, want.Addr())
	}
	// The plain name, as most applications ask.
	if m, err = ask("redis-master.service.consul", dns.TypeA); err != nil {
		return err
	}
	if got := m.Answer[0].(*dns.A).A.String(); got != want.IP {
		return fmt.Errorf("DNS says %s, the master is %s", got, want.IP)
	}
	// WAIT counts the writes of its own connection. A replica that is dead cannot have it.
	c := exampleRedis(t, addr, "", "").Conn()
	defer c.Close()
	if err := c.Set(ctx, key, "1", 0).Err(); err != nil {
		return err
	}
	if n, err := c.Wait(ctx, 1, limit).Result(); err != nil || n < 1 {
		return fmt.Errorf("%d replicas have the write (%w)", n, err)
	}
	return nil
}

// The prepared query names the node on the same machine first, and the master when there is nothing else.
func TestExamplePreparedQuery(t *testing.T) {
	s, state := start(t, exampleOptions(t))
	exampleReplicas(t, s, 2)
	b, err := os.ReadFile(exampleFile(t, "prepared-query.json"))
	must(t, err)
	var query api.PreparedQueryDefinition
	must(t, json.Unmarshal(b, &query))
	_, _, err = s.Consul(0).Client.PreparedQuery().Create(&query, nil)
	must(t, err)

	for i, c := range s.Consuls() {
		eventually(t, "every node is named, the own one first", func(ctx context.Context) error {
			found, err := c.SRV(ctx, "redis-read.query.consul")
			if err == nil && (len(found) != 3 || found[0].Addr() != s.Redis(i).Addr()) {
				err = fmt.Errorf("%s answers %v", c.Name, found)
			}
			return err
		})
	}
	for _, r := range s.Redises() {
		if r.Node != state.Record.Master {
			must(t, r.Kill())
		}
	}
	for _, c := range s.Consuls() {
		eventually(t, "the master is named when no replica is there", func(ctx context.Context) error {
			found, err := c.SRV(ctx, "redis-read.query.consul")
			if err == nil && (len(found) != 1 || found[0].Addr() != state.Record.Address) {
				err = fmt.Errorf("%s answers %v", c.Name, found)
			}
			return err
		})
	}
}

package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

func putRecord(t *testing.T, s *catalogtest.Server, group string, value []byte) {
	t.Helper()
	p := &api.KVPair{Key: DefaultPrefix + group + "/record", Value: value}
	if _, err := s.Client().KV().Put(p, nil); err != nil {
		t.Fatal(err)
	}
}

// Hundreds of groups may change at once; Consul refuses more than 200 connections of one machine.
func TestManyCallsAtOnce(t *testing.T) {
	c := connect(t, catalogtest.StartConsul(t, 1).Servers[0])
	errs := make(chan error)
	const calls = 500
	for i := range calls {
		group := fmt.Sprint("group-", i)
		go func() {
			if _, err := c.PutReport(t.Context(), group, failover.Report{Node: "n"}); err != nil {
				errs <- err
				return
			}
			_, err := c.ReadGroup(t.Context(), group, true)
			errs <- err
		}()
	}
	late := 0
	for range calls {
		switch err := <-errs; {
		case errors.Is(err, context.DeadlineExceeded): // a machine that is slow may let one time out
			late++
		case err != nil:
			t.Error(err)
		}
	}
	if late > calls/10 {
		t.Errorf("%d of %d calls were not answered in time", late, calls)
	}
}

// Records are read in chunks; a group without one has none, and a broken one is an error, never none.
func TestReadRecords(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c := connect(t, s)
	var groups []string
	for i := range 300 {
		groups = append(groups, fmt.Sprint("group-", i))
		if i%2 == 0 {
			putRecord(t, s, groups[i], record(uint64(i+1), "a").Encode())
		}
	}
	records, err := c.ReadRecords(t.Context(), groups)
	if err != nil || len(records) != len(groups) {
		t.Fatalf("%d records (%v), want %d", len(records), err, len(groups))
	}
	for i, group := range groups {
		r := records[group]
		if i%2 == 1 && (r.Record != nil || r.Index != 0) {
			t.Fatalf("%s has record %+v, want none", group, r)
		}
		if i%2 == 0 && (r.Record == nil || r.Record.Epoch != uint64(i+1) || r.Index == 0) {
			t.Fatalf("%s has record %+v, want epoch %d", group, r, i+1)
		}
	}
	putRecord(t, s, "group-1", []byte("{}"))
	var broken *KeyError
	if _, err := c.ReadRecords(t.Context(), groups); !errors.As(err, &broken) || !errors.Is(err, failover.ErrRecord) {
		t.Errorf("a broken record gives %v, want an error that names it", err)
	}
	putRecord(t, s, "group-1", nil)
	if _, err := c.ReadRecords(t.Context(), groups); !errors.Is(err, failover.ErrRecord) {
		t.Errorf("an empty record gives %v, want %v", err, failover.ErrRecord)
	}
	if _, err := c.ReadGroup(t.Context(), "group-1", true); !errors.Is(err, failover.ErrRecord) {
		t.Errorf("a group with an empty record gives %v, want %v", err, failover.ErrRecord)
	}
	found, err := c.Groups(t.Context())
	if err != nil || len(found) != 151 || !slices.Contains(found, "group-298") {
		t.Errorf("groups are %v (%v), want 151", found, err)
	}
}

// A leader that no majority confirms must not answer the read that leases rest on.
func TestReadRecordsAsksTheMajority(t *testing.T) {
	cluster := catalogtest.StartConsul(t, 3)
	leader := cluster.Leader()
	putRecord(t, leader, "redis", record(1, "a").Encode())
	c := connect(t, leader)
	if _, err := c.ReadRecords(t.Context(), []string{"redis"}); err != nil {
		t.Fatal(err)
	}
	for _, s := range cluster.Servers {
		if s != leader {
			plugintest.Halt(t, s.PID())
			defer s.Continue()
		}
	}
	if r, err := c.ReadRecords(t.Context(), []string{"redis"}); err == nil {
		t.Errorf("a leader alone answers %+v", r)
	}
}

// What the token may not read must not look as if it were not there.
func TestUnreadableIsNotAbsent(t *testing.T) {
	const root, agent = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	s := catalogtest.StartConsul(t, 1, catalogtest.WithToken(root), catalogtest.WithConfig(`
acl {
  enabled        = true
  default_policy = "deny"
  tokens { initial_management = "`+root+`", agent = "`+root+`" }
}`)).Servers[0]
	putRecord(t, s, "redis", record(1, "a").Encode())
	rules := `service_prefix "" { policy = "read" }`
	if _, _, err := s.Client().ACL().PolicyCreate(&api.ACLPolicy{Name: "little", Rules: rules}, nil); err != nil {
		t.Fatal(err)
	}
	token := &api.ACLToken{SecretID: agent, Policies: []*api.ACLLink{{Name: "little"}}}
	if _, _, err := s.Client().ACL().TokenCreate(token, nil); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s, func(cfg *Config) { cfg.Token = agent })
	if r, err := c.ReadRecords(t.Context(), []string{"redis"}); err == nil {
		t.Errorf("records are %+v, want an error", r)
	}
	if r, err := c.ReadGroup(t.Context(), "redis", true); err == nil {
		t.Errorf("state is %+v, want an error", r)
	}
	_, err := c.Amend(t.Context(), "redis", record(1, "a"), 1)
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("a write without the right gives %v, want a plain error", err)
	}
	for _, secret := range []string{root, agent} {
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

// KV is read and written at another address when the first does not answer.
func TestFallback(t *testing.T) {
	cluster := catalogtest.StartConsul(t, 1, catalogtest.WithClients(1))
	server, client := cluster.Servers[0], cluster.Clients[0]
	c := connect(t, client, func(cfg *Config) { cfg.Fallbacks = []string{server.HTTPAddr} })
	putRecord(t, server, "redis", record(1, "a").Encode())
	seen := make(chan uint64, 10)
	go c.WatchGroup(t.Context(), "redis", func(s failover.State) { seen <- s.Record.Epoch })
	<-seen

	client.Stop() // its connections stay, and nothing answers
	defer client.Continue()
	read := func() error {
		r, err := c.ReadRecords(t.Context(), []string{"redis"})
		if err == nil && r["redis"].Record == nil {
			err = errors.New("no record")
		}
		return err
	}
	if err := read(); err != nil {
		t.Errorf("reading next to a stopped Consul agent: %v", err)
	}
	putRecord(t, server, "redis", record(2, "a").Encode())
	if epoch := <-seen; epoch != 2 {
		t.Errorf("the watch sees epoch %d at the other address, want 2", epoch)
	}
	client.Kill()
	if err := read(); err != nil {
		t.Errorf("reading next to a killed Consul agent: %v", err)
	}
	eventually(t, func() error {
		_, err := c.PutReport(t.Context(), "redis", failover.Report{Node: "a"})
		return err
	})
}

// Settings, orders, reports, agents and history are read as they were written.
func TestEntries(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c := connect(t, s)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.PutSettings(ctx, "redis", failover.Settings{Quorum: 2}, 0))
	if err := c.PutSettings(ctx, "redis", failover.Settings{Quorum: 3}, 0); !errors.Is(err, ErrConflict) {
		t.Errorf("settings created twice: %v, want %v", err, ErrConflict)
	}
	for _, node := range []string{"n/1", "n2"} {
		index, err := c.PutReport(ctx, "redis", failover.Report{Node: node})
		if must(err); index == 0 {
			t.Errorf("the report of %s has no index", node)
		}
	}
	must(c.DeleteReport(ctx, "redis", "n2"))
	must(c.PutAgent(ctx, "redis", failover.AgentInfo{Agent: "a"}))
	must(c.PutAgent(ctx, "redis", failover.AgentInfo{Agent: "b"}))
	must(c.DeleteAgent(ctx, "redis", "b"))
	must(c.PutOrder(ctx, "redis", failover.Order{ID: "x"}))
	state, err := c.ReadGroup(ctx, "redis", true)
	must(err)
	if state.Record != nil || state.Settings.Quorum != 2 || len(state.Nodes) != 1 || state.Nodes["n/1"].Node != "n/1" ||
		len(state.Agents) != 1 || state.Order.ID != "x" || state.Index == 0 {
		t.Errorf("state is %+v", state)
	}
	if err := c.DeleteOrder(ctx, "redis", state.OrderIndex-1); !errors.Is(err, ErrConflict) {
		t.Errorf("deleting another order: %v, want %v", err, ErrConflict)
	}
	must(c.DeleteOrder(ctx, "redis", state.OrderIndex))
	for epoch := uint64(1); epoch <= historyKept+3; epoch++ {
		must(c.PutHistory(ctx, "redis", failover.History{Epoch: epoch}))
	}
	history, err := c.History(ctx, "redis", 1000)
	if err != nil || len(history) != historyKept || history[0].Epoch != historyKept+3 {
		t.Errorf("%d changes of master (%v), want %d", len(history), err, historyKept)
	}
	if history, _ := c.History(ctx, "redis", 2); len(history) != 2 || history[1].Epoch != historyKept+2 {
		t.Errorf("the last two are %+v", history)
	}
}

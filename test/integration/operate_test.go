package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// A master in Consul's maintenance mode hands its place over, and does not get it back while it is in it.
func TestMaintenance(t *testing.T) {
	s, _ := start(t, sandbox.Options{})
	before := counted(t, s)
	old := master(s, before)
	w := s.StartWriter(t.Context(), 0, 2*time.Millisecond)
	defer w.Stop()
	acknowledged(t, w, 50)
	i := 0
	for j, r := range s.Redises() {
		if r == old {
			i = j
		}
	}
	k, err := s.Catalog(i)
	must(t, err)
	ids, err := k.Maintain(t.Context(), old.Node, true, "a test")
	if err != nil || len(ids) == 0 {
		t.Fatalf("maintenance of %v: %v", ids, err)
	}
	after := steady(t, s, before.Record.Epoch+1)
	if after.Record.Master == old.Node {
		t.Fatalf("%s is master in maintenance", old.Node)
	}
	acknowledged(t, w, len(w.Acks())+50)
	w.Stop()
	if lost, err := w.Lost(t.Context(), master(s, after)); err != nil || len(lost) > 0 {
		t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
	}
	_, err = k.Maintain(t.Context(), old.Node, false, "")
	must(t, err)
	eventually(t, "the maintenance is over", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if why := now.Nodes[old.Node].Ineligible; err == nil && why != "" {
			err = fmt.Errorf("%s: %s", old.Node, why)
		}
		return err
	})
}

// A record that was deleted stops everything automatic until an operator makes it anew.
func TestRecordLost(t *testing.T) {
	s, _ := start(t, sandbox.Options{})
	before := counted(t, s)
	old := master(s, before)
	do(t, old, "SET", "kept", "yes")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+s.Consuls()[0].HTTPAddr()+"/v1/kv/redis-sentinel/redis/record", nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	must(t, answer.Body.Close())
	everyAgentSays(t, s, "ALARM")
	order(t, s, failover.Order{Kind: failover.OrderRecord, Target: old.Node})
	after := steady(t, s, before.Record.Epoch+1)
	if after.Record.Master != old.Node {
		t.Errorf("%s is master, want %s", after.Record.Master, old.Node)
	}
	if v, err := old.Do(t.Context(), "GET", "kept"); err != nil || v != "yes" {
		t.Errorf("the key is %v, %v", v, err)
	}
}

package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// With drain_on_leave an agent that is told to end hands its master over first, which loses nothing and happens once.
func TestDrainOnLeave(t *testing.T) {
	s, _ := start(t, sandbox.Options{AgentHCL: "drain_on_leave = true\n", GroupHCL: longLease})
	before := counted(t, s)
	old := master(s, before)
	w := s.StartWriter(t.Context(), 0, time.Millisecond)
	defer w.Stop()
	acknowledged(t, w, 200)
	told := time.Now()
	must(t, agentOf(s, old).Terminate(limit))
	took := time.Since(told)
	now, err := s.State(t.Context())
	must(t, err)
	if now.Record.Master == old.Node || now.Record.Epoch != before.Record.Epoch+1 {
		t.Fatalf("%s is master of epoch %d when the agent of %s has ended, want another of epoch %d",
			now.Record.Master, now.Record.Epoch, old.Node, before.Record.Epoch+1)
	}
	named, _, err := s.Consul(1).Client.Catalog().Service("redis", "master", nil)
	must(t, err)
	for _, e := range named {
		if e.ServiceID == "redis-"+old.Node {
			t.Errorf("%s has the tag master still when its agent has ended", old.Node)
		}
	}
	k, err := s.Catalog(1)
	must(t, err)
	history, err := k.History(t.Context(), s.Group(), 1)
	must(t, err)
	if len(history) != 1 || history[0].Epoch != now.Record.Epoch || history[0].From != old.Node {
		t.Errorf("history %+v", history)
	}
	after := steady(t, s, before.Record.Epoch+1)
	acknowledged(t, w, len(w.Acks())+100)
	w.Stop()
	if lost, err := w.Lost(t.Context(), master(s, after)); err != nil || len(lost) > 0 {
		t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
	}
	t.Logf("the agent ended after %v; writes stood still for %v", took, w.Outage(told))
	must(t, agentOf(s, old).Start())
	again := steady(t, s, after.Record.Epoch)
	if again.Record.Epoch != after.Record.Epoch || again.Record.Master != after.Record.Master {
		t.Errorf("the return of the agent made %s master of epoch %d", again.Record.Master, again.Record.Epoch)
	}
	eventually(t, "its node may be master again", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if why := now.Nodes[old.Node].Ineligible; err == nil && why != "" {
			err = errors.New(why)
		}
		return err
	})
}

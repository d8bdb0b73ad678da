package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// longLease is for tests of something else than a Consul that is slow for a moment: no promises are asked for meanwhile, and whoever
// gave one may not open at once.
const longLease = "fence_after = \"20s\"\n"

// A snapshot of Consul that is restored brings an older record back, of an earlier epoch or of the same one. It opens
// nothing: all say so and do nothing until an operator names the node whose data hold.
func TestSnapshotRestored(t *testing.T) {
	for _, c := range []struct {
		name    string
		between func(*testing.T, *sandbox.Sandbox, failover.State) failover.State
	}{
		{"of an earlier epoch", func(t *testing.T, s *sandbox.Sandbox, before failover.State) failover.State {
			order(t, s, failover.Order{Kind: failover.OrderSwitchover, Target: replica(s, before).Node})
			return steady(t, s, before.Record.Epoch+1)
		}},
		{"of the same epoch", func(t *testing.T, s *sandbox.Sandbox, before failover.State) failover.State {
			// Its agent attaches the second run by a consistent read of the record that counts the first.
			countedAnew(t, s, replica(s, before))
			return countedAnew(t, s, replica(s, before))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{GroupHCL: longLease})
			before := counted(t, s)
			w := s.StartWriter(t.Context(), 0, 2*time.Millisecond)
			defer w.Stop()
			acknowledged(t, w, 50)
			var snapshot bytes.Buffer
			saved, _, err := s.Consul(0).Client.Snapshot().Save(nil)
			must(t, err)
			_, err = io.Copy(&snapshot, saved)
			must(t, err)
			must(t, saved.Close())
			last := c.between(t, s, before)
			if last.RecordIndex <= before.RecordIndex {
				t.Fatalf("the record's index is %d, and was %d", last.RecordIndex, before.RecordIndex)
			}
			acknowledged(t, w, len(w.Acks())+50)

			open := watchOpen(t, s)
			must(t, s.Consul(0).Client.Snapshot().Restore(nil, &snapshot))
			alarmed(t, s)
			now, err := s.State(t.Context())
			must(t, err)
			if now.RecordIndex != before.RecordIndex {
				t.Errorf("the record's index is %d, want that of the snapshot, %d", now.RecordIndex, before.RecordIndex)
			}
			succeeds(t, s.Consul(0), "rescue", "record", s.Group(), "-master", last.Record.Master, "-timeout", limit.String())
			after := steady(t, s, last.Record.Epoch+1)
			if ever := open(); after.Record.Master != last.Record.Master || slices.ContainsFunc(ever, func(n string) bool { return n != last.Record.Master }) {
				t.Errorf("%s is master, %v were open, want %s alone", after.Record.Master, ever, last.Record.Master)
			}
			acknowledged(t, w, len(w.Acks())+50)
			w.Stop()
			if lost, err := w.Lost(t.Context(), master(s, after)); err != nil || len(lost) > 0 {
				t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
			}
		})
	}
}

// Without all that Consul had of a group, the group stands still until its record is made anew by the command. Nothing is lost,
// and masters are changed again as before.
func TestPrefixDeleted(t *testing.T) {
	s, _ := start(t, sandbox.Options{GroupHCL: longLease})
	before := counted(t, s)
	old := master(s, before)
	w := s.StartWriter(t.Context(), 0, 2*time.Millisecond)
	defer w.Stop()
	acknowledged(t, w, 100)
	open := watchOpen(t, s)
	_, err := s.Consul(0).Client.KV().DeleteTree("redis-sentinel/"+s.Group()+"/", nil)
	must(t, err)
	alarmed(t, s)
	eventually(t, "every node has been reported again", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if err == nil && len(now.Nodes) != 3 {
			err = fmt.Errorf("%d have", len(now.Nodes))
		}
		if err == nil && now.Record != nil {
			t.Fatalf("there is a record that nobody ordered: %+v", now.Record)
		}
		return err
	})
	refused(t, s.Consul(0), "", "failover", s.Group())
	succeeds(t, s.Consul(0), "rescue", "record", s.Group(), "-master", old.Node, "-timeout", limit.String())
	after := steady(t, s, before.Record.Epoch+1)
	if ever := open(); after.Record.Master != old.Node || !slices.Equal(ever, []string{old.Node}) {
		t.Errorf("%s is master, %v were open, want %s alone", after.Record.Master, ever, old.Node)
	}
	acknowledged(t, w, len(w.Acks())+100)
	w.Stop()
	if lost, err := w.Lost(t.Context(), old); err != nil || len(lost) > 0 {
		t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
	}
	eventually(t, "the settings and the agents are in Consul again", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if err == nil && (now.Settings == nil || *now.Settings != *before.Settings || len(now.Agents) != len(before.Agents)) {
			err = fmt.Errorf("settings %+v, agents %v", now.Settings, now.Agents)
		}
		return err
	})
	must(t, old.Kill())
	last := steady(t, s, after.Record.Epoch+1)
	if lost, err := w.Lost(t.Context(), master(s, last)); err != nil || len(lost) > 0 {
		t.Errorf("lost %d acknowledged writes when %s was killed, %v", len(lost), old.Node, err)
	}
}

// When somebody tidies the master's name up, which no Consul agent has, it comes back, and nothing else happens.
func TestNameRemoved(t *testing.T) {
	s, before := start(t, sandbox.Options{})
	resolves := func(ctx context.Context) error {
		found, err := s.Consul(0).SRV(ctx, s.MasterName())
		if err == nil && (len(found) != 1 || found[0].Addr() != before.Record.Address) {
			err = fmt.Errorf("%s is %v, want %s", s.MasterName(), found, before.Record.Address)
		}
		return err
	}
	eventually(t, "the name is there", resolves)
	_, err := s.Consul(0).Client.Catalog().Deregister(&api.CatalogDeregistration{Node: s.Group() + "-master"}, nil)
	must(t, err)
	eventually(t, "the name is gone", func(ctx context.Context) error {
		if resolves(ctx) == nil {
			return errors.New("it is there")
		}
		return nil
	})
	eventually(t, "the name is back", resolves)
	if after := steady(t, s, 1); after.Record.Master != before.Record.Master || after.Record.Epoch != 1 {
		t.Errorf("%s is master of epoch %d", after.Record.Master, after.Record.Epoch)
	}
}

// countedAnew restarts a replica and waits until its new run is counted.
func countedAnew(t *testing.T, s *sandbox.Sandbox, r *sandbox.Redis) (now failover.State) {
	t.Helper()
	must(t, r.Restart())
	eventually(t, "the new run of "+r.Node+" is counted", func(ctx context.Context) error {
		info, err := r.Info(ctx)
		if err != nil {
			return err
		}
		if now, err = s.State(ctx); err == nil && now.Record.Eligible[r.Node].RunID != info["run_id"] {
			err = fmt.Errorf("%+v is, and it runs as %s", now.Record.Eligible[r.Node], info["run_id"])
		}
		return err
	})
	return now
}

// alarmed waits until every agent says that the record cannot be trusted.
func alarmed(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	everyAgentSays(t, s, "nothing is done until an operator rules (rescue record)")
}

// watchOpen looks at every server all the time until the function that it returns is called, which names those that were
// open at any time.
func watchOpen(t *testing.T, s *sandbox.Sandbox) (stop func() []string) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []string
	for _, r := range s.Redises() {
		all.Go(func() {
			c := r.Client()
			defer c.Close()
			for ctx.Err() == nil {
				role, err := c.Do(ctx, "ROLE").Slice()
				if err == nil && role[0] == "master" {
					mu.Lock()
					open = append(open, r.Node)
					mu.Unlock()
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	stop = func() []string {
		cancel()
		all.Wait()
		slices.Sort(open)
		return open
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return stop
}

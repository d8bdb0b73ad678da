package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// The lock and the votes of an agent that dies without a word are free about as soon as its check expires.
func TestLockOfDeadAgentIsFree(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	dead := connect(t, s)
	dead.self.spec = AgentSpec{Name: "dead"}
	close(dead.self.started)
	alive, die := context.WithCancel(t.Context())
	var beats sync.WaitGroup
	beats.Go(func() { dead.keepAlive(alive) })
	go dead.keepSession(t.Context())
	eventually(t, func() error { return hasSession(dead) })
	eventually(t, func() error { return lock(t, dead) })
	if _, err := dead.PutVote(t.Context(), "redis", failover.Vote{Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	other, _ := running(t, s, "other")
	if err := lock(t, other); err == nil {
		t.Fatal("two agents hold the lock")
	}

	die()
	beats.Wait() // no more heartbeats, and nothing else is said
	begun := time.Now()
	eventually(t, func() error { return lock(t, other) })
	if took := time.Since(begun); took < agentTTL/2 || took > agentTTL+10*time.Second { // Consul's own delay of a lock is 15 s
		t.Errorf("the lock was free after %s, want about as long as the check of %s takes to expire", took, agentTTL)
	} else {
		t.Logf("the lock was free after %s", took)
	}
	state, err := other.ReadGroup(t.Context(), "redis", true)
	if err != nil || len(state.Votes) != 0 || state.Leader != "other" {
		t.Errorf("state is %+v (%v), want no vote and leader other", state, err)
	}
}

// An agent that leaves takes its session, votes, lock and service with it, and the services of nodes stay.
func TestLeave(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c, leave := running(t, s, "a")
	eventually(t, func() error { return lock(t, c) })
	if _, err := c.PutVote(t.Context(), "redis", failover.Vote{Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), redis("a")); err != nil {
		t.Fatal(err)
	}
	leave()
	state, err := c.ReadGroup(t.Context(), "redis", true)
	if err != nil || len(state.Votes) != 0 || state.Leader != "" || c.Session() != "" {
		t.Errorf("state is %+v (%v), want no vote and no leader", state, err)
	}
	eventually(t, func() error { return statusIs(s, AgentService, "redis-sentinel-a", "") })
	if err := statusIs(s, "redis", "redis-a", api.HealthCritical); err != nil {
		t.Error(err)
	}
}

// A vote can be changed, taken back, and is not there when the session is gone; the next session takes over at
// once from one that an earlier run has left behind.
func TestVotesAndSessions(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c, _ := running(t, s, "a")
	votes := func() map[string]failover.Vote {
		t.Helper()
		state, err := c.ReadGroup(t.Context(), "redis", true)
		if err != nil {
			t.Fatal(err)
		}
		return state.Votes
	}
	for epoch := range uint64(3) {
		if _, err := c.PutVote(t.Context(), "redis", failover.Vote{Epoch: epoch}); err != nil {
			t.Fatal(err)
		}
		if v := votes(); v["a"].Epoch != epoch {
			t.Fatalf("votes are %v, want epoch %d", v, epoch)
		}
	}
	if err := c.DeleteVote(t.Context(), "redis"); err != nil || len(votes()) != 0 {
		t.Fatalf("votes are %v (%v), want none", votes(), err)
	}
	if _, err := c.PutVote(t.Context(), "redis", failover.Vote{Epoch: 9}); err != nil {
		t.Fatal(err)
	}
	first := c.Session()
	second, _ := running(t, s, "a") // the same agent, started again while the check still passes
	if second.Session() == first || len(votes()) != 0 {
		t.Errorf("votes are %v, want none of the earlier run", votes())
	}
}

// The session is created again after the Consul agent was killed and started, with its data or without, and
// whoever asks is told.
func TestSessionAfterRestart(t *testing.T) {
	cluster := catalogtest.StartConsul(t, 1, catalogtest.WithClients(1))
	client := cluster.Clients[0]
	c := connect(t, client)
	var mu sync.Mutex
	var told []string
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Run(ctx, AgentSpec{Name: "a", OnSession: func(id string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, id)
		}})
	})
	defer wg.Wait()
	defer cancel()
	eventually(t, func() error { return hasSession(c) })
	for _, wipe := range []bool{false, true} {
		before := c.Session()
		client.Kill()
		if wipe {
			client.Wipe()
		}
		eventually(t, func() error { // its check has expired or serfHealth has failed
			if s, _, err := cluster.Servers[0].Client().Session().Info(before, nil); err != nil || s != nil {
				return fmt.Errorf("session is %v (%v)", s, err)
			}
			return nil
		})
		client.Start()
		eventually(t, func() error {
			if id := c.Session(); id == "" || id == before {
				return fmt.Errorf("session is %q, was %q", id, before)
			}
			return lock(t, c)
		})
	}
	mu.Lock()
	defer mu.Unlock()
	for i, id := range told {
		if (id == "") != (i%2 == 1) {
			t.Fatalf("sessions told are %q, want every second to be a loss", told)
		}
	}
	if len(told) < 5 {
		t.Fatalf("sessions told are %q, want three and two losses", told)
	}
}

// The agent's check says what it is told, never so that the session dies of it.
func TestAgentCheck(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c, _ := running(t, s, "a")
	session := c.Session()
	for _, status := range []string{api.HealthWarning, api.HealthPassing, api.HealthCritical} {
		c.SetAgentCheck(status, "say "+status)
		want := status
		if status == api.HealthCritical {
			want = api.HealthWarning
		}
		eventually(t, func() error { return statusIs(s, AgentService, "redis-sentinel-a", want) })
	}
	if c.Session() != session {
		t.Error("the session did not survive a change of status")
	}
}

// Without a session nobody votes or leads.
func TestNoSession(t *testing.T) {
	c := connect(t, catalogtest.StartConsul(t, 1).Servers[0])
	_, lockErr := c.AcquireLock(t.Context(), "redis")
	_, commitErr := c.Commit(t.Context(), "redis", record(1, "a"), 0, masterEntry("10.0.0.1", "passing"))
	_, voteErr := c.PutVote(t.Context(), "redis", failover.Vote{})
	for _, err := range []error{lockErr, commitErr, voteErr} {
		if !errors.Is(err, ErrNoSession) {
			t.Errorf("error is %v, want %v", err, ErrNoSession)
		}
	}
	if err := c.ReleaseLock(t.Context(), "redis"); err != nil {
		t.Error(err)
	}
}

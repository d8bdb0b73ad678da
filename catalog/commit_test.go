package catalog

import (
	"errors"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// The record and the name of the master move together, from the first start through an election to the next
// master, and the order that asked for it is taken up in the same step.
func TestRecordAndNameMoveTogether(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c := leading(t, s, "a")
	ctx := t.Context()

	created, err := c.Create(ctx, "redis", record(1, "a"), 0, 0, masterEntry("10.0.0.1", "passing"))
	if err != nil {
		t.Fatal(err)
	}
	if err := names(s, "redis-master", "10.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(ctx, "redis", record(1, "b"), 0, 0, masterEntry("10.0.0.2", "passing")); !errors.Is(err, ErrConflict) {
		t.Fatalf("the second creation gives %v, want %v", err, ErrConflict)
	}

	if err := c.PutOrder(ctx, "redis", failover.Order{ID: "1", Kind: failover.OrderFailover}); err != nil {
		t.Fatal(err)
	}
	state, err := c.ReadGroup(ctx, "redis", true)
	if err != nil {
		t.Fatal(err)
	}
	if state.RecordIndex != created || state.Leader != "a" || state.LeaderSession != c.Session() || state.Order == nil {
		t.Fatalf("state is %+v, want record index %d, leader a and an order", state, created)
	}
	elected, err := c.Elect(ctx, "redis", electing(1, "a"), created, Grounds{Order: state.OrderIndex}, masterEntry("10.0.0.1", "critical"))
	if err != nil {
		t.Fatal(err)
	}
	if err := names(s, "redis-master"); err != nil {
		t.Fatal(err)
	}

	committed, err := c.Commit(ctx, "redis", record(2, "b"), elected, masterEntry("10.0.0.2", "passing"))
	if err != nil {
		t.Fatal(err)
	}
	if err := names(s, "redis-master", "10.0.0.2"); err != nil {
		t.Fatal(err)
	}
	amended, err := c.Amend(ctx, "redis", record(2, "b"), committed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Amend(ctx, "redis", record(2, "c"), amended-1); !errors.Is(err, ErrConflict) {
		t.Fatalf("an amendment of an older record gives %v, want %v", err, ErrConflict)
	}
	state, err = c.ReadGroup(ctx, "redis", true)
	if err != nil || state.Record.Epoch != 2 || state.Record.Master != "b" || state.Order != nil {
		t.Fatalf("state is %+v (%v), want epoch 2, master b, no order", state, err)
	}
	if err := names(s, "redis-master", "10.0.0.2"); err != nil {
		t.Fatal(err)
	}
}

// An election takes the lock with it, and rests on votes that still stand.
func TestElectTakesTheLockAndRestsOnVotes(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	ctx := t.Context()
	c := leading(t, s, "a")
	created, err := c.Create(ctx, "redis", record(1, "a"), 0, 0, masterEntry("10.0.0.1", "passing"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ReleaseLock(ctx, "redis"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutVote(ctx, "redis", failover.Vote{Epoch: 1, Master: "a", Verdict: failover.Down}); err != nil {
		t.Fatal(err)
	}
	state, err := c.ReadGroup(ctx, "redis", true)
	if err != nil || state.Leader != "" || state.Votes["a"].Index == 0 {
		t.Fatalf("state %+v, %v: want no leader, and a vote with its index", state, err)
	}
	stale := Grounds{Votes: map[string]uint64{"a": state.Votes["a"].Index - 1}}
	if _, err := c.Elect(ctx, "redis", electing(1, "a"), created, stale, masterEntry("10.0.0.1", "critical")); !errors.Is(err, ErrConflict) {
		t.Fatalf("an election on a vote that has changed gives %v, want %v", err, ErrConflict)
	}
	taken := Grounds{Votes: map[string]uint64{"a": 0}}
	if _, err := c.Elect(ctx, "redis", electing(1, "a"), created, taken, masterEntry("10.0.0.1", "critical")); !errors.Is(err, ErrConflict) {
		t.Fatalf("an election on a vote that was told gives %v while Consul has another, want %v", err, ErrConflict)
	}
	standing := Grounds{Votes: map[string]uint64{"a": state.Votes["a"].Index, "b": 0}}
	if _, err := c.Elect(ctx, "redis", electing(1, "a"), created, standing, masterEntry("10.0.0.1", "critical")); err != nil {
		t.Fatal(err)
	}
	if state, err = c.ReadGroup(ctx, "redis", true); err != nil || state.Leader != "a" || state.Record.Phase != failover.Electing {
		t.Fatalf("state %+v, %v: want the phase electing, led by a", state, err)
	}
}

// What a leader writes that is no longer one fails whole: neither the record nor the name moves.
func TestStaleLeaderFailsWhole(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	ctx := t.Context()
	old := leading(t, s, "a")
	index, err := old.Create(ctx, "redis", record(1, "a"), 0, 0, masterEntry("10.0.0.1", "passing"))
	if err != nil {
		t.Fatal(err)
	}
	tries := map[string]func() error{
		"commit": func() error {
			_, err := old.Commit(ctx, "redis", record(2, "b"), index, masterEntry("10.0.0.2", "passing"))
			return err
		},
		"elect": func() error {
			_, err := old.Elect(ctx, "redis", electing(1, "a"), index, Grounds{}, masterEntry("10.0.0.1", "critical"))
			return err
		},
		"elect for an order that is gone": func() error {
			_, err := old.Elect(ctx, "redis", electing(1, "a"), index, Grounds{Order: 12345}, masterEntry("10.0.0.1", "critical"))
			return err
		},
	}
	allFail := func(why string, names_ ...string) {
		t.Helper()
		for _, name := range names_ {
			if err := tries[name](); !errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("%s: %s gives %v, want %v", why, name, err, ErrConflict)
			}
		}
		if err := names(s, "redis-master", "10.0.0.1"); err != nil {
			t.Error(err)
		}
		if r, err := old.ReadRecords(ctx, []string{"redis"}); err != nil || r["redis"].Record.Epoch != 1 {
			t.Errorf("%s: records are %+v (%v), want epoch 1", why, r, err)
		}
	}
	allFail("no order", "elect for an order that is gone")

	// Somebody takes the session away, and the old leader has not noticed when it commits.
	stale := connect(t, s)
	stale.self.session = old.Session()
	if _, err := s.Client().Session().Destroy(old.Session(), nil); err != nil {
		t.Fatal(err)
	}
	old = stale
	allFail("session gone", "commit", "elect")

	// The lock is another's.
	other := leading(t, s, "b")
	allFail("lock lost", "commit", "elect")

	// The lock is its own, but the record has moved.
	old = other
	amended := record(1, "a") // an identical one would not move
	amended.Durability = "wait:1"
	if _, err := old.Amend(ctx, "redis", amended, index); err != nil {
		t.Fatal(err)
	}
	allFail("record moved", "commit", "elect")
}

// An answer that does not come is not a refusal, and a request that was never sent is not unknown.
func TestOutcomeOfWrites(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c := leading(t, s, "a")
	if _, err := c.Create(t.Context(), "redis", record(1, "a"), 0, 0, masterEntry("10.0.0.1", "passing")); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	_, err := c.Amend(t.Context(), "redis", record(1, "a"), 1)
	s.Continue()
	if !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrConflict) {
		t.Errorf("a stopped Consul gives %v, want %v", err, ErrUnknownOutcome)
	}
	s.Kill()
	if _, err := c.Amend(t.Context(), "redis", record(1, "a"), 1); err == nil || errors.Is(err, ErrConflict) {
		t.Errorf("a killed Consul gives %v, want an error that is no conflict", err)
	}
	gone := connect(t, s, func(cfg *Config) { cfg.Address = refusedPort(t) })
	if _, err := gone.Amend(t.Context(), "redis", record(1, "a"), 1); err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("an address where nothing listens gives %v, want a plain error", err)
	}
}

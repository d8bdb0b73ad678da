package plugintest

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

const frozenLine = "replicaof 127.0.0.1 1"

func mustFreeze(t *testing.T, d plugin.Driver, name string) plugin.Frozen {
	t.Helper()
	f, err := d.Freeze(Timeout(t), name)
	if err != nil {
		t.Fatalf("freeze %q: %v", name, err)
	}
	return f
}

func mustOpen(t *testing.T, d plugin.Driver, name, runID string) plugin.Position {
	t.Helper()
	p, err := d.Open(Timeout(t), name, runID)
	if err != nil {
		t.Fatalf("open %q: %v", name, err)
	}
	return p
}

func mustFollow(t *testing.T, d plugin.Driver, name, address string) {
	t.Helper()
	f := mustFreeze(t, d, name)
	if err := d.Follow(Timeout(t), name, f.RunID, f.Position, address); err != nil {
		t.Fatalf("follow: %v", err)
	}
}

func refusesWrites(t *testing.T, s *RedisServer) {
	t.Helper()
	if _, err := s.Do("SET", "refused", "v"); err == nil || !strings.HasPrefix(err.Error(), "READONLY") {
		t.Errorf("a write to a frozen server: %v", err)
	}
}

func testPassword(t *testing.T, h Harness) {
	d := h.Driver(t)
	const secret = "unutterable-7"
	s := h.connected(t, d, "a", WithPassword(secret))
	w := Observe(t, d)
	w.Await("a", time.Time{}, "up", IsUp)
	mustFreeze(t, d, "a")

	wrong := Settings("a", s)
	wrong.Password = "wrong-" + secret
	h.connect(t, d, wrong)
	connected := time.Now()
	w.Await("a", connected, "up, with the refusal", func(o plugin.Observation) bool {
		return o.Link == plugin.LinkUp && strings.Contains(o.Cause, "NOAUTH") && strings.Contains(o.Cause, "WRONGPASS")
	})
	_, err := d.Freeze(Timeout(t), "a")
	if err == nil || !strings.Contains(err.Error(), "NOAUTH") || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("freeze with a wrong password: %v", err)
	}
	// It may be the server that is put right.
	s.MustDo("CONFIG", "SET", "requirepass", wrong.Password)
	s.Password = wrong.Password
	w.Await("a", time.Now(), "up", IsUp)
	mustFreeze(t, d, "a")
	badTLS := wrong
	badTLS.TLS = &plugin.TLS{CAFile: filepath.Join(s.Dir, "missing.pem")}
	tlsErr := d.Connect(Timeout(t), badTLS)
	if tlsErr == nil || !strings.Contains(tlsErr.Error(), "missing.pem") {
		t.Errorf("connect with a missing CA file: %v", tlsErr)
	}
	for _, words := range []string{err.Error(), tlsErr.Error()} {
		if strings.Contains(words, secret) {
			t.Errorf("the password is in %q", words)
		}
	}
	for _, seen := range w.After("a", time.Time{}) {
		if strings.Contains(seen.Cause, secret) {
			t.Errorf("the password is in %q", seen.Cause)
		}
	}
}

func testFreeze(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	w := Observe(t, d)
	w.Await("a", time.Time{}, "open", IsOpen)
	s.MustDo("SET", "k", "v")
	run := s.Info("run_id")
	blocked, subscribed := make(chan error, 1), s.Client().Subscribe(t.Context(), "channel")
	defer subscribed.Close()
	if _, err := subscribed.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	blocker := s.Client()
	go func() { blocked <- blocker.BLPop(context.Background(), 0, "list").Err() }()
	Eventually(t, "a blocked client", func() bool { return s.Info("blocked_clients") == "1" })

	began := time.Now()
	f := mustFreeze(t, d, "a")
	t.Logf("frozen after %v", time.Since(began))
	if f.RunID != run || f.Keys != 1 || f.Position.ReplID != s.Info("master_replid") || f.ClientsEnded < 2 || f.SyncCutOff {
		t.Errorf("frozen: %+v, run %s", f, run)
	}
	if offset := s.Info("master_repl_offset"); strconv.FormatInt(f.Position.Offset, 10) != offset {
		t.Errorf("position %d, then %s", f.Position.Offset, offset)
	}
	refusesWrites(t, s)
	select {
	case err := <-blocked:
		if err == nil {
			t.Error("a blocked client was answered")
		}
	case <-time.After(patience):
		t.Error("a blocked client was not let go")
	}
	if stats := s.Info("pubsub_channels"); stats != "0" && stats != "1" { // go-redis subscribes again
		t.Errorf("pub/sub channels %q", stats)
	}
	seen := w.Await("a", began, "frozen", IsFrozen)
	t.Logf("observed frozen after %v", seen.At.Sub(began))
	if seen.Info.MasterAddress != plugin.FrozenAddress || seen.Info.Position.Offset != f.Position.Offset {
		t.Errorf("observed %+v", seen.Info)
	}
	w.Await("a", seen.At, "still up", IsUp)
	w.Never("a", began, plugin.LinkGone, plugin.LinkSilent, plugin.LinkWaiting)
}

func testFreezeTwice(t *testing.T, h Harness) {
	d := h.Driver(t)
	h.connected(t, d, "a")
	one := mustFreeze(t, d, "a")
	two := mustFreeze(t, d, "a")
	if one.RunID != two.RunID || one.Position != two.Position {
		t.Errorf("frozen at %+v, then at %+v", one, two)
	}
}

func testFreezeBesideSlowCalls(t *testing.T, h Harness) {
	d := h.Driver(t)
	stopped := h.connected(t, d, "stopped")
	// Five thousand keys at a millisecond each: a save of five seconds.
	s := h.connected(t, d, "a", WithConfig("rdb-key-save-delay 1000"))
	c, pipe := s.Client(), s.Client().Pipeline()
	for i := range 5000 {
		pipe.Set(t.Context(), "k"+strconv.Itoa(i), i, 0)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.DBSize(t.Context()).Val(); n != 5000 {
		t.Fatalf("%d keys", n)
	}
	stopped.Stop()
	var slow sync.WaitGroup
	defer slow.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 8 {
		slow.Go(func() { _ = d.Persist(ctx, "stopped") })
		slow.Go(func() { _, _ = d.EndClients(ctx, "stopped") })
	}
	capabilities, err := d.Capabilities(Timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	saved := make(chan error, 1)
	if capabilities.Save {
		go func() { saved <- d.Save(Timeout(t), "a", filepath.Join(s.Dir, "copy.rdb")) }()
		Eventually(t, "a save in progress", func() bool { return s.Info("rdb_bgsave_in_progress") == "1" })
	}
	began := time.Now()
	mustFreeze(t, d, "a")
	took := time.Since(began)
	t.Logf("frozen after %v", took)
	if took > 2*time.Second {
		t.Errorf("freeze took %v beside slow calls", took)
	}
	if capabilities.Save {
		if s.Info("rdb_bgsave_in_progress") != "1" {
			t.Error("freeze waited for the save")
		}
		if err := <-saved; err != nil {
			t.Errorf("the save beside it: %v", err)
		}
	}
}

// testFreezeAgainstOrders gives all orders at once, again and again: once Freeze was answered and the others have
// ended, those begun before it must not have undone it.
func testFreezeAgainstOrders(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	run := s.Info("run_id")
	for round := range 30 {
		mustOpen(t, d, "a", run)
		var orders sync.WaitGroup
		for range 3 {
			orders.Go(func() { _ = d.Persist(Timeout(t), "a") })
		}
		time.Sleep(time.Duration(round%10) * 100 * time.Microsecond) // another moment of them in each round
		mustFreeze(t, d, "a")
		orders.Wait()
		// An order that began to look at the server after the freeze found it frozen and left it so.
		if s.Info("role") == "master" {
			t.Fatalf("round %d: open after a freeze", round)
		}
	}
}

func testOpen(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a", Frozen())
	w := Observe(t, d)
	before := w.Await("a", time.Time{}, "frozen", IsFrozen)
	if _, err := d.Open(Timeout(t), "a", strings.Repeat("0", 40)); !errors.Is(err, plugin.ErrOtherRun) {
		t.Errorf("open of another run: %v", err)
	}
	if _, err := d.Open(Timeout(t), "a", ""); !errors.Is(err, plugin.ErrOtherRun) {
		t.Errorf("open of no run: %v", err)
	}
	refusesWrites(t, s)
	began := time.Now()
	p := mustOpen(t, d, "a", before.Info.RunID)
	t.Logf("open after %v", time.Since(began))
	s.MustDo("SET", "k", "v")
	if p.ReplID != s.Info("master_replid") || p.ReplID == before.Info.Position.ReplID ||
		p.ReplID2 != before.Info.Position.ReplID || p.Offset != before.Info.Position.Offset || p.Offset2 != p.Offset {
		t.Errorf("opened at %+v, was at %+v", p, before.Info.Position)
	}
	seen := w.Await("a", began, "open", IsOpen)
	if seen.Info.Position.ReplID != p.ReplID {
		t.Errorf("observed %+v, opened at %+v", seen.Info.Position, p)
	}
	if again := mustOpen(t, d, "a", before.Info.RunID); again != p {
		t.Errorf("opened again at %+v, first at %+v", again, p)
	}
	s.Restart()
	if _, err := d.Open(Timeout(t), "a", before.Info.RunID); !errors.Is(err, plugin.ErrOtherRun) {
		t.Errorf("open of the run before a restart: %v", err)
	}
}

func testChangeOfMaster(t *testing.T, h Harness) {
	d := h.Driver(t)
	names := []string{"a", "b", "c"}
	servers, runs := map[string]*RedisServer{}, map[string]string{}
	for _, name := range names {
		servers[name] = h.connected(t, d, name, Frozen())
		runs[name] = servers[name].Info("run_id")
	}
	w := Observe(t, d)
	inSync := func(replica string, master *RedisServer) {
		t.Helper()
		Eventually(t, replica+" in sync", func() bool {
			r := servers[replica]
			return r.Info("master_link_status") == "up" && r.Info("master_repl_offset") == master.Info("master_repl_offset")
		})
	}
	mustOpen(t, d, "a", runs["a"])
	a, b := servers["a"], servers["b"]
	mustFollow(t, d, "b", a.Addr)
	mustFollow(t, d, "c", a.Addr)
	inSync("b", a)
	inSync("c", a)
	a.MustDo("SET", "k", "v")
	inSync("b", a)
	inSync("c", a)
	frozen := map[string]plugin.Frozen{}
	for _, name := range names {
		frozen[name] = mustFreeze(t, d, name)
	}
	if frozen["a"].Position != frozen["b"].Position || frozen["a"].Position != frozen["c"].Position {
		t.Fatalf("positions differ: %+v", frozen)
	}
	changed := time.Now()
	opened := mustOpen(t, d, "b", runs["b"])
	if opened.Offset != frozen["b"].Position.Offset || opened.ReplID2 != frozen["b"].Position.ReplID {
		t.Errorf("opened at %+v, frozen at %+v", opened, frozen["b"].Position)
	}
	mustFollow(t, d, "c", b.Addr)
	mustFollow(t, d, "a", b.Addr)
	for _, name := range []string{"a", "c"} {
		seen := w.Await(name, changed, "following b", func(o plugin.Observation) bool {
			return IsUp(o) && o.Info.LinkUp && o.Info.MasterAddress == b.Addr
		})
		t.Logf("%s observed in sync with the new master after %v", name, seen.At.Sub(changed))
	}
	b.MustDo("SET", "l", "w")
	inSync("a", b)
	inSync("c", b)
	if full := b.Info("sync_full"); full != "0" {
		t.Errorf("%s full resyncs", full)
	}
	if keys := mustFreeze(t, d, "a").Keys; keys != 2 {
		t.Errorf("%d keys on the old master", keys)
	}
}

func testAnnounce(t *testing.T, h Harness) {
	d := h.Driver(t)
	master, replica := h.Server(t), h.Server(t)
	settings := Settings("a", replica)
	settings.Announce = "192.0.2.7:7777"
	h.connect(t, d, settings)
	mustFollow(t, d, "a", master.Addr)
	Eventually(t, "the announced address", func() bool {
		return strings.HasPrefix(master.Info("slave0"), "ip=192.0.2.7,port=7777,")
	})
}

// testFollowOnlyFromWhereItStood gives the order to attach with another run, with another position, and to a server that moves:
// what would be discarded is not what was decided about.
func testFollowOnlyFromWhereItStood(t *testing.T, h Harness) {
	d := h.Driver(t)
	master, s := h.Server(t), h.connected(t, d, "a")
	s.MustDo("SET", "k", "v")
	open := s.Info("run_id")
	f := mustFreeze(t, d, "a")
	elsewhere := f.Position
	elsewhere.Offset++
	for what, c := range map[string]struct {
		run, address string
		at           plugin.Position
		want         error
	}{
		"of another run":               {strings.Repeat("0", 40), master.Addr, f.Position, plugin.ErrOtherRun},
		"of no run":                    {"", master.Addr, f.Position, plugin.ErrOtherRun},
		"from elsewhere":               {open, master.Addr, elsewhere, plugin.ErrMoved},
		"of an address without a port": {open, "no-port", f.Position, nil},
	} {
		err := d.Follow(Timeout(t), "a", c.run, c.at, c.address)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("follow %s: %v", what, err)
		}
	}
	if s.Info("master_host")+":"+s.Info("master_port") != plugin.FrozenAddress {
		t.Error("it is not frozen any more")
	}
	mustOpen(t, d, "a", f.RunID)
	if err := d.Follow(Timeout(t), "a", f.RunID, f.Position, master.Addr); !errors.Is(err, plugin.ErrMoved) {
		t.Errorf("follow of an open server: %v", err)
	}
}

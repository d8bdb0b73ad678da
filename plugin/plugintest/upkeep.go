package plugintest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

func testPersist(t *testing.T, h Harness) {
	d := h.Driver(t)
	c, err := d.Capabilities(Timeout(t))
	if err != nil || !c.Persist {
		t.Skip("the driver does not persist", err)
	}
	a, b, f := h.connected(t, d, "a"), h.connected(t, d, "b"), h.connected(t, d, "f", Frozen())
	mustFollow(t, d, "b", a.Addr)
	Eventually(t, "b in sync", func() bool { return b.Info("master_link_status") == "up" })
	a.MustDo("SET", "k", "v")
	before := a.Info("master_replid")
	for _, name := range []string{"a", "b", "f"} {
		if err := d.Persist(Timeout(t), name); err != nil {
			t.Fatalf("persist %q: %v", name, err)
		}
	}
	if a.Info("role") != "master" || a.Info("master_replid") == before {
		t.Errorf("an open server is %s, replication id %s, before %s", a.Info("role"), a.Info("master_replid"), before)
	}
	a.MustDo("SET", "l", "w")
	if b.Info("master_host") != a.Host() || f.Info("master_port") != "1" {
		t.Errorf("the replica follows %s, the frozen one port %s", b.Info("master_host"), f.Info("master_port"))
	}
	Eventually(t, "b in sync by partial resync", func() bool {
		return b.MustDo("DBSIZE").(int64) == 2 && a.Info("sync_full") == "1"
	})
	for _, s := range []*RedisServer{a, b, f} {
		text, err := os.ReadFile(s.ConfigFile())
		if err != nil || !strings.Contains(string(text), "\n"+frozenLine+"\n") {
			t.Errorf("the configuration file does not say frozen (%v):\n%s", err, text)
		}
		s.Restart()
		refusesWrites(t, s)
	}
}

func testPersistFails(t *testing.T, h Harness) {
	d := h.Driver(t)
	c, err := d.Capabilities(Timeout(t))
	if err != nil || !c.Persist {
		t.Skip("the driver does not persist", err)
	}
	s := h.connected(t, d, "a", WithoutConfigFile())
	err = d.Persist(Timeout(t), "a")
	if !errors.Is(err, plugin.ErrConfigNotWritable) || !strings.Contains(err.Error(), "without a config file") {
		t.Errorf("persist without a configuration file: %v", err)
	}
	s.MustDo("SET", "k", "v") // it is open again
}

func testPause(t *testing.T, h Harness) {
	d := h.Driver(t)
	c, err := d.Capabilities(Timeout(t))
	if err != nil || !c.Pause {
		t.Skip("the driver does not pause", err)
	}
	s := h.connected(t, d, "a")
	if err := d.Pause(Timeout(t), "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	written, client := make(chan error, 1), s.Client()
	go func() { written <- client.Set(context.Background(), "k", "v", 0).Err() }()
	Eventually(t, "a client held back", func() bool {
		return s.Info("blocked_clients") == "1" || strings.Contains(s.MustDo("CLIENT", "LIST").(string), "cmd=set")
	})
	if s.MustDo("EXISTS", "k") != int64(0) {
		t.Error("a write was taken in a pause")
	}
	select {
	case err := <-written:
		t.Fatalf("a write was answered in a pause: %v", err)
	default:
	}
	if err := d.Unpause(Timeout(t), "a"); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Errorf("the write held back: %v", err)
	}
	if err := d.Unpause(Timeout(t), "a"); err != nil {
		t.Errorf("unpause without a pause: %v", err)
	}
}

func testEndClients(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	w := Observe(t, d)
	w.Await("a", time.Time{}, "up", IsUp)
	conn := s.Client().Conn()
	defer conn.Close()
	if err := conn.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	n, err := d.EndClients(Timeout(t), "a")
	if err != nil || n < 1 {
		t.Errorf("%d clients ended, %v", n, err)
	}
	if conn.Ping(t.Context()).Err() == nil {
		t.Error("a client outlived the end of the clients")
	}
	w.Await("a", ended, "up", IsUp)
	w.Never("a", ended, plugin.LinkGone, plugin.LinkSilent)
	s.MustDo("SET", "k", "v") // the role is what it was
}

func testMinReplicas(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	s.MustDo("CONFIG", "SET", "min-replicas-to-write", 3)
	n, err := d.MinReplicas(Timeout(t), "a")
	if errors.Is(err, plugin.ErrUnsupported) {
		t.Skip("the driver does not know it", err)
	}
	if err != nil || n != 3 {
		t.Errorf("%d replicas must be connected, %v; want 3", n, err)
	}
	if err := d.SetMinReplicas(Timeout(t), "a", 0); err != nil {
		t.Fatal(err)
	}
	s.MustDo("SET", "k", "v") // it has no replica
	if n, err := d.MinReplicas(Timeout(t), "a"); err != nil || n != 0 {
		t.Errorf("%d replicas must be connected, %v; want none", n, err)
	}
}

func testSave(t *testing.T, h Harness) {
	d := h.Driver(t)
	c, err := d.Capabilities(Timeout(t))
	if err != nil || !c.Save {
		t.Skip("the driver does not save", err)
	}
	s := h.connected(t, d, "a")
	s.MustDo("SET", "k", "saved")
	mustFreeze(t, d, "a")
	other := StartRedis(t)
	other.Kill()
	if err := d.Save(Timeout(t), "a", filepath.Join(other.Dir, "dump.rdb")); err != nil {
		t.Fatal(err)
	}
	if parts, _ := filepath.Glob(filepath.Join(other.Dir, "*.part")); len(parts) > 0 {
		t.Errorf("left behind: %v", parts)
	}
	other.Restart()
	if got := other.MustDo("GET", "k"); got != "saved" {
		t.Errorf("a server started on the copy has %v", got)
	}
	if err := d.Save(Timeout(t), "a", filepath.Join(s.Dir, "missing", "dump.rdb")); err == nil {
		t.Error("saved to a directory that is not there")
	}
}

func testErrors(t *testing.T, h Harness) {
	d := h.Driver(t)
	orders := map[string]func(name string) error{
		"freeze":      func(name string) error { _, err := d.Freeze(Timeout(t), name); return err },
		"open":        func(name string) error { _, err := d.Open(Timeout(t), name, "run"); return err },
		"follow":      func(name string) error { return d.Follow(Timeout(t), name, "run", plugin.Position{}, "127.0.0.1:1234") },
		"read":        func(name string) error { _, err := d.MinReplicas(Timeout(t), name); return err },
		"set":         func(name string) error { return d.SetMinReplicas(Timeout(t), name, 0) },
		"end clients": func(name string) error { _, err := d.EndClients(Timeout(t), name); return err },
	}
	c, err := d.Capabilities(Timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.Persist {
		orders["persist"] = func(name string) error { return d.Persist(Timeout(t), name) }
	}
	if c.Pause {
		orders["pause"] = func(name string) error { return d.Pause(Timeout(t), name, time.Second) }
		orders["unpause"] = func(name string) error { return d.Unpause(Timeout(t), name) }
	}
	if c.Save {
		orders["save"] = func(name string) error { return d.Save(Timeout(t), name, filepath.Join(t.TempDir(), "rdb")) }
	}
	h.connected(t, d, "gone").Kill()
	stopped := h.connected(t, d, "stopped")
	stopped.Stop()
	remote := Settings("remote", h.Server(t))
	remote.Remote = true
	h.connect(t, d, remote)
	for order, give := range orders {
		if err := give("nobody"); !errors.Is(err, plugin.ErrUnknownServer) {
			t.Errorf("%s of an unknown server: %v", order, err)
		}
		if err := give("gone"); !errors.Is(err, plugin.ErrUnreachable) {
			t.Errorf("%s of a killed server: %v", order, err)
		}
		if err := give("remote"); !errors.Is(err, plugin.ErrUnsupported) {
			t.Errorf("%s of a remote server: %v", order, err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := d.Freeze(short, "stopped"); !errors.Is(err, plugin.ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("freeze of a stopped server: %v", err)
	}
	if err := d.Connect(Timeout(t), plugin.Server{Address: "127.0.0.1:1"}); err == nil {
		t.Error("connected a server without a name")
	}
	if err := d.Connect(Timeout(t), plugin.Server{Name: "bad", Address: "nowhere"}); err == nil {
		t.Error("connected an address without a port")
	}
}

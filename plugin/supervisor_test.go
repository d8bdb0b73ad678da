package plugin_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/redis"
)

func TestMain(m *testing.M) { plugintest.Main(m, redis.New) }

func connect(t *testing.T, d plugin.Driver, name string, s *plugintest.RedisServer) {
	t.Helper()
	if err := d.Connect(plugintest.Timeout(t), plugintest.Settings(name, s)); err != nil {
		t.Fatal(err)
	}
}

func TestKilledDriverIsUnknownThenReconnected(t *testing.T) {
	d := plugintest.Supervise(t)
	a, b := plugintest.StartRedis(t), plugintest.StartRedis(t, plugintest.WithPassword("geheim"))
	connect(t, d, "a", a)
	connect(t, d, "b", b)
	w := plugintest.Observe(t, d)
	w.Await("a", time.Time{}, "up", plugintest.IsUp)
	w.Await("b", time.Time{}, "up", plugintest.IsUp)
	for round := range 2 {
		pid := d.PID()
		killed := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			seen := w.Await(name, killed, "unknown", plugintest.IsLink(plugin.LinkUnknown))
			t.Logf("round %d: %s unknown after %v: %s", round, name, seen.At.Sub(killed), seen.Cause)
			up := w.Await(name, seen.At, "up again", plugintest.IsUp)
			t.Logf("round %d: %s up after %v", round, name, up.At.Sub(killed))
			w.Never(name, killed, plugin.LinkGone, plugin.LinkSilent)
		}
		if now := d.PID(); now == 0 || now == pid {
			t.Fatalf("driver process %d after %d was killed", now, pid)
		}
		if _, err := d.Freeze(plugintest.Timeout(t), "b"); err != nil {
			t.Fatalf("an order after the restart: %v", err)
		}
	}
}

func TestCallsFailAtOnceWhileTheDriverIsAway(t *testing.T) {
	d := plugintest.Supervise(t)
	s := plugintest.StartRedis(t)
	connect(t, d, "a", s)
	w := plugintest.Observe(t, d)
	w.Await("a", time.Time{}, "up", plugintest.IsUp)
	_ = syscall.Kill(d.PID(), syscall.SIGKILL)
	plugintest.Eventually(t, "ErrDriverDown", func() bool {
		began := time.Now()
		_, err := d.Freeze(plugintest.Timeout(t), "a")
		if took := time.Since(began); err != nil && took > 5*time.Second {
			t.Fatalf("failed only after %v: %v", took, err)
		}
		return errors.Is(err, plugin.ErrDriverDown)
	})
	// What is connected meanwhile is remembered.
	other := plugintest.StartRedis(t)
	if err := d.Connect(plugintest.Timeout(t), plugintest.Settings("late", other)); err != nil && !errors.Is(err, plugin.ErrDriverDown) {
		t.Fatal(err)
	}
	w.Await("late", time.Time{}, "up", plugintest.IsUp)
}

func TestCallUnderWayEndsWithTheDriver(t *testing.T) {
	d := plugintest.Supervise(t)
	s := plugintest.StartRedis(t)
	connect(t, d, "a", s)
	s.Stop()
	failed := make(chan error, 1)
	go func() {
		_, err := d.Freeze(plugintest.Timeout(t), "a")
		failed <- err
	}()
	select {
	case err := <-failed:
		t.Fatalf("freeze of a stopped server: %v", err)
	case <-time.After(200 * time.Millisecond): // the call is on its way; a shorter wait would only test less
	}
	_ = syscall.Kill(d.PID(), syscall.SIGKILL)
	if err := <-failed; !errors.Is(err, plugin.ErrDriverDown) {
		t.Fatalf("a call under way ended with %v", err)
	}
}

func TestHangingDriverIsUnknownNeverDown(t *testing.T) {
	d := plugintest.Supervise(t)
	s := plugintest.StartRedis(t)
	connect(t, d, "a", s)
	w := plugintest.Observe(t, d)
	w.Await("a", time.Time{}, "up", plugintest.IsUp)
	pid, stopped := d.PID(), time.Now()
	plugintest.Halt(t, pid)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.Freeze(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call to a driver that hangs: %v", err)
	}
	// Let it hang for longer than SilentAfter: its own standstill is not the server's.
	silent := plugintest.Settings("a", s).SilentAfter
	seen := w.Await("a", stopped.Add(silent), "unknown", plugintest.IsLink(plugin.LinkUnknown))
	continued := time.Now()
	_ = syscall.Kill(pid, syscall.SIGCONT)
	w.Await("a", seen.At, "up", plugintest.IsUp)
	w.Await("a", continued.Add(silent), "still up", plugintest.IsUp)
	w.Never("a", stopped, plugin.LinkGone, plugin.LinkSilent)
	if d.PID() != pid {
		t.Errorf("driver process %d was replaced by %d", pid, d.PID())
	}
}

func TestDriverThatHangsForGoodIsReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("waits 10 s for the driver to be given up")
	}
	t.Parallel()
	d := plugintest.Supervise(t)
	s := plugintest.StartRedis(t)
	connect(t, d, "a", s)
	w := plugintest.Observe(t, d)
	pid, stopped := d.PID(), time.Now()
	plugintest.Halt(t, pid)
	w.Await("a", stopped, "unknown", plugintest.IsLink(plugin.LinkUnknown))
	plugintest.Eventually(t, "another process", func() bool { now := d.PID(); return now != 0 && now != pid })
	w.Await("a", time.Now(), "up", plugintest.IsUp)
	plugintest.Eventually(t, "the end of the old process", func() bool { return ended(pid) })
}

func TestCloseEndsObserveAndProcess(t *testing.T) {
	d := plugintest.Supervise(t)
	pid := d.PID()
	done := make(chan error, 1)
	go func() { done <- d.Observe(context.Background(), func(plugin.Observation) {}) }()
	d.Close()
	if err := <-done; !errors.Is(err, plugin.ErrDriverDown) {
		t.Errorf("Observe returned %v", err)
	}
	if !ended(pid) {
		t.Errorf("process %d outlived Close", pid)
	}
	if _, err := d.Capabilities(plugintest.Timeout(t)); !errors.Is(err, plugin.ErrDriverDown) {
		t.Errorf("a call after Close: %v", err)
	}
}

func TestFirstStartFails(t *testing.T) {
	for _, test := range []struct {
		name    string
		options plugin.Options
		want    string
	}{
		{"no command", plugin.Options{}, "no command given"},
		{"missing program", plugin.Options{Command: []string{"/nonexistent/driver"}}, "/nonexistent/driver"},
		{"no plugin", plugin.Options{Command: []string{"/bin/true"}}, "start driver /bin/true"},
		{"malformed sha256", plugin.Options{Command: []string{"/bin/true"}, SHA256: "abc"}, "not a checksum"},
		{"other sha256", plugin.Options{Command: []string{"/bin/true"}, SHA256: strings.Repeat("ab", 32)}, "not the one that the configuration names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := plugin.Supervise(plugintest.Timeout(t), test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func ended(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

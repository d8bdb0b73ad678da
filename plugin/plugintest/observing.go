package plugintest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

func testCapabilities(t *testing.T, h Harness) {
	c, err := h.Driver(t).Capabilities(Timeout(t))
	if err != nil || c.Name == "" || c.Version == "" {
		t.Fatalf("capabilities %+v, error %v", c, err)
	}
}

func testObserveUp(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	s.MustDo("SET", "k", "v")
	// The last observation reaches one who comes later.
	Observe(t, d).Await("a", time.Time{}, "up", IsUp)
	o := Observe(t, d).Await("a", time.Time{}, "up with a key", func(o plugin.Observation) bool {
		return IsUp(o) && o.Info.Keys == 1
	})
	i := o.Info
	if i.RunID != s.Info("run_id") || i.ProcessID != s.PID() || i.Port != s.Port() || i.ConfigFile != s.ConfigFile() ||
		!i.Open || i.Frozen || i.MasterAddress != "" || len(i.Position.ReplID) != 40 || i.Version == "" ||
		!i.ReplicaReadOnly || i.MemoryUsed == 0 || i.ClientsMax == 0 || !i.RDBLastSaveOK || !i.AOFLastOK || o.Cause != "" {
		t.Fatalf("observed %+v with %+v", o.Observation, *i)
	}
	s.MustDo("CONFIG", "SET", "replica-read-only", "no")
	Observe(t, d).Await("a", time.Now(), "replica-read-only no", func(o plugin.Observation) bool {
		return IsUp(o) && !o.Info.ReplicaReadOnly
	})
}

func testDisconnect(t *testing.T, h Harness) {
	d := h.Driver(t)
	h.connected(t, d, "a")
	b := h.Server(t)
	w := Observe(t, d)
	w.Await("a", time.Time{}, "up", IsUp)
	if err := d.Disconnect(Timeout(t), "a"); err != nil {
		t.Fatal(err)
	}
	if err := d.Disconnect(Timeout(t), "a"); err != nil {
		t.Fatalf("disconnect an unknown server: %v", err)
	}
	h.connect(t, d, Settings("b", b))
	later := Observe(t, d)
	later.Await("b", time.Time{}, "up", IsUp)
	if seen := later.After("a", time.Time{}); len(seen) > 0 {
		t.Fatalf("a disconnected server is observed: %+v", seen[0])
	}
	// Connecting a known name again replaces its settings.
	c := h.Server(t)
	h.connect(t, d, Settings("b", c))
	w.Await("b", time.Time{}, "the other server", func(o plugin.Observation) bool {
		return IsUp(o) && o.Info.Port == c.Port() && o.Info.RunID == c.Info("run_id")
	})
}

func testGone(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	w := Observe(t, d)
	first := w.Await("a", time.Time{}, "up", IsUp)
	killed := time.Now()
	s.Kill()
	gone := w.Await("a", killed, "gone", IsLink(plugin.LinkGone))
	t.Logf("gone %v after kill -9", gone.At.Sub(killed))
	if took := gone.At.Sub(killed); took > Settings("a", s).SilentAfter {
		t.Errorf("gone was pushed only after %v: not at the refusal", took)
	}
	if gone.Info != nil || gone.Cause == "" {
		t.Errorf("gone with info %+v and cause %q", gone.Info, gone.Cause)
	}
	w.Await("a", gone.At, "gone again", IsLink(plugin.LinkGone)) // at the intervals of the settings
	restarted := time.Now()
	s.Restart()
	up := w.Await("a", restarted, "up", IsUp)
	if up.Info.RunID == first.Info.RunID || up.Info.RunID != s.Info("run_id") {
		t.Errorf("run %s after a restart, %s before", up.Info.RunID, first.Info.RunID)
	}
	w.Never("a", time.Time{}, plugin.LinkSilent)
}

func testSilent(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	w := Observe(t, d)
	first := w.Await("a", time.Time{}, "up", IsUp)
	stopped := time.Now()
	s.Stop()
	waiting := w.Await("a", stopped, "waiting", IsLink(plugin.LinkWaiting))
	silent := w.Await("a", stopped, "silent", IsLink(plugin.LinkSilent))
	after := Settings("a", s).SilentAfter
	// The last reply came up to PingEvery before the stop.
	t.Logf("waiting after %v, silent after %v of %v", waiting.At.Sub(stopped), silent.At.Sub(stopped), after)
	if took := silent.At.Sub(stopped); took < after-2*Settings("a", s).PingEvery || silent.SilentFor < after {
		t.Errorf("silent after %v, said to be silent for %v; SilentAfter is %v", took, silent.SilentFor, after)
	}
	if silent.Cause == "" {
		t.Error("silent without a cause")
	}
	again := w.Await("a", silent.At, "silent again", IsLink(plugin.LinkSilent))
	if again.SilentFor <= silent.SilentFor {
		t.Errorf("silent for %v, then for %v", silent.SilentFor, again.SilentFor)
	}
	continued := time.Now()
	s.Cont()
	back := w.Await("a", continued, "up", IsUp)
	t.Logf("up %v after it went on", back.At.Sub(continued))
	if back.Info.RunID != first.Info.RunID {
		t.Errorf("run %s, and %s before it was stopped", back.Info.RunID, first.Info.RunID)
	}
	w.Never("a", stopped, plugin.LinkGone)
}

func testSilentThenGone(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	w := Observe(t, d)
	w.Await("a", time.Time{}, "up", IsUp)
	s.Stop()
	silent := w.Await("a", time.Time{}, "silent", IsLink(plugin.LinkSilent))
	s.Kill()
	w.Await("a", silent.At, "gone", IsLink(plugin.LinkGone))
}

func testNoAuth(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a")
	w := Observe(t, d)
	w.Await("a", time.Time{}, "up", IsUp)
	s.MustDo("CONFIG", "SET", "requirepass", "other")
	s.Password = "other"
	changed := time.Now()
	if _, err := s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); err != nil {
		t.Fatal(err)
	}
	noauth := func(o plugin.Observation) bool {
		return o.Link == plugin.LinkUp && strings.Contains(o.Cause, "NOAUTH")
	}
	seen := w.Await("a", changed, "up with NOAUTH", noauth)
	// It stays alive for longer than silence would take.
	w.Await("a", seen.At.Add(Settings("a", s).SilentAfter), "still up with NOAUTH", noauth)
	w.Never("a", changed, plugin.LinkSilent, plugin.LinkGone)
}

func testBusy(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.connected(t, d, "a", WithConfig("lua-time-limit 200"))
	w := Observe(t, d)
	w.Await("a", time.Time{}, "up", IsUp)
	began := time.Now()
	c := s.Client()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Do(context.Background(), "EVAL", "while true do end", "0").Err()
	}()
	w.Await("a", began, "up with BUSY", func(o plugin.Observation) bool {
		return o.Link == plugin.LinkUp && strings.HasPrefix(o.Cause, "BUSY")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := d.Freeze(ctx, "a"); err != nil {
		t.Errorf("freeze of a server whose script has written nothing: %v", err)
	}
	<-done
	w.Await("a", time.Now(), "up without cause", func(o plugin.Observation) bool { return IsUp(o) && o.Cause == "" })
	w.Never("a", began, plugin.LinkSilent, plugin.LinkGone)
}

// A server that is asked what it is whenever it is asked at all says all the same that a script keeps it, and that none does any
// more; open or not, and whether the connection was made before the script or during it.
func testBusySeldomAsked(t *testing.T, h Harness) {
	for _, open := range []bool{true, false} {
		d := h.Driver(t)
		s := h.Server(t, WithConfig("lua-time-limit 200"))
		if !open {
			s.MustDo("REPLICAOF", "127.0.0.1", "1")
		}
		settings := Settings("a", s)
		settings.PingEvery, settings.SilentAfter = 700*time.Millisecond, 10*time.Second
		h.connect(t, d, settings)
		w := Observe(t, d)
		w.Await("a", time.Time{}, "up", IsUp)
		for _, connectInIt := range []bool{false, true} {
			began := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = s.Client().Do(context.Background(), "EVAL", "while true do end", "0").Err()
			}()
			busy := func(o plugin.Observation) bool { return o.Link == plugin.LinkUp && strings.HasPrefix(o.Cause, "BUSY") }
			w.Await("a", began, "up with BUSY", busy)
			if connectInIt {
				began = time.Now()
				h.connect(t, d, settings)
				w.Await("a", began, "up with BUSY", busy)
			}
			if err := s.Client().Do(Timeout(t), "SCRIPT", "KILL").Err(); err != nil {
				t.Fatal(err)
			}
			<-done
			w.Await("a", time.Now(), "up without cause", func(o plugin.Observation) bool { return IsUp(o) && o.Cause == "" })
		}
	}
}

func testRemote(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.Server(t)
	settings := Settings("a", s)
	settings.Remote = true
	h.connect(t, d, settings)
	w := Observe(t, d)
	up := w.Await("a", time.Time{}, "up", func(o plugin.Observation) bool {
		return o.Link == plugin.LinkUp && o.Latency > 0
	})
	w.Await("a", up.At.Add(settings.InfoEvery), "still up", IsLink(plugin.LinkUp))
	for _, seen := range w.After("a", time.Time{}) {
		if seen.Info != nil {
			t.Fatalf("info of a remote server: %+v", seen.Info)
		}
	}
	stats := s.MustDo("INFO", "commandstats").(string)
	for line := range strings.Lines(stats) {
		if name, ok := strings.CutPrefix(line, "cmdstat_"); ok && !strings.HasPrefix(name, "ping:") && !strings.HasPrefix(name, "hello:") {
			t.Errorf("a remote server was sent %s", name)
		}
	}
	killed := time.Now()
	s.Kill()
	w.Await("a", killed, "gone", IsLink(plugin.LinkGone))
}

func testForeignRole(t *testing.T, h Harness) {
	d := h.Driver(t)
	master, replica := h.Server(t), h.connected(t, d, "a")
	w := Observe(t, d)
	w.Await("a", time.Time{}, "open", IsOpen)
	replica.MustDo("REPLICAOF", master.Host(), master.Port())
	seen := w.Await("a", time.Time{}, "link up", func(o plugin.Observation) bool {
		return IsUp(o) && !o.Info.Open && o.Info.LinkUp
	})
	if seen.Info.MasterAddress != master.Addr || seen.Info.Frozen {
		t.Errorf("follows %q, frozen %v", seen.Info.MasterAddress, seen.Info.Frozen)
	}
	h.connect(t, d, Settings("master", master))
	w.Await("master", time.Time{}, "a replica", func(o plugin.Observation) bool {
		// Its host is what it connects from, unless it announces another.
		return IsOpen(o) && len(o.Info.Replicas) == 1 && o.Info.Replicas[0].State == "online" &&
			strings.HasSuffix(o.Info.Replicas[0].Address, fmt.Sprintf(":%d", replica.Port()))
	})
}

func testProbe(t *testing.T, h Harness) {
	d := h.Driver(t)
	s := h.Server(t)
	settings := Settings("probed", s)
	probe := func() plugin.Observation {
		t.Helper()
		o, err := d.Probe(Timeout(t), settings)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := probe(); !IsOpen(o) || o.Server != "probed" || o.Info.RunID != s.Info("run_id") {
		t.Errorf("probe of a server: %+v", o)
	}
	s.Stop()
	if o := probe(); o.Link != plugin.LinkSilent || o.Cause == "" || o.SilentFor < settings.SilentAfter {
		t.Errorf("probe of a stopped server: %+v", o)
	}
	s.Kill()
	if o := probe(); o.Link != plugin.LinkGone || o.Cause == "" {
		t.Errorf("probe of a killed server: %+v", o)
	}
}

package integration

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// A master that a supervisor starts again at once, with its data or without, whatever its agent is doing, takes no write
// unless the record names it, and every key is still there.
func TestRestarts(t *testing.T) {
	for _, kept := range []struct {
		name string
		conf []string
	}{{"without persistence", nil}, {"with RDB", []string{"save 1 1"}}, {"with AOF", []string{"appendonly yes"}}} {
		t.Run(kept.name, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{RedisConf: kept.conf})
			for _, with := range []string{"its agent running", "its agent restarting", "its agent down"} {
				restartMaster(t, s, with)
			}
		})
	}
}

func restartMaster(t *testing.T, s *sandbox.Sandbox, with string) {
	t.Helper()
	before := counted(t, s)
	old := master(s, before)
	agent := agentOf(s, old)
	w := pin(t, old, time.Millisecond)
	defer w.Stop()
	acknowledged(t, w, 100)
	for _, r := range s.Redises() {
		eventually(t, r.Node+" has the first writes", func(ctx context.Context) error {
			if v, err := r.Do(ctx, "GET", w.KeyOf(50)); err != nil || v == nil {
				return fmt.Errorf("%v, %w", v, err)
			}
			return nil
		})
	}
	if with != "its agent running" {
		must(t, agent.Kill())
	}
	must(t, old.Kill())
	killed := time.Now()
	must(t, old.Start())
	switch with {
	case "its agent restarting":
		must(t, agent.Start())
	case "its agent down":
		time.Sleep(time.Second) // the server runs alone for a while, which is the case to be tested
		must(t, agent.Start())
	}
	after := steady(t, s, before.Record.Epoch+1)
	w.Stop()
	late := 0
	for _, a := range w.Acks() {
		if a.Sent.After(killed) { // a reply to what was sent before may have been read late
			late++
		}
	}
	if late > 0 && after.Record.Master != old.Node {
		t.Errorf("%s: %s acknowledged %d writes after its restart, and %s is master", with, old.Node, late, after.Record.Master)
	}
	for n := range 50 {
		if v, err := master(s, after).Do(t.Context(), "GET", w.KeyOf(w.Acks()[n].N)); err != nil || v == nil {
			t.Fatalf("%s: key %d is %v, %v", with, n, v, err)
		}
	}
}

// All machines lose their power at once, and come back with what their disks have: the group goes on, with every key.
func TestAllRestarted(t *testing.T) {
	for _, kept := range []struct {
		name string
		conf []string
	}{{"with RDB", []string{"save 1 1"}}, {"with AOF", []string{"appendonly yes"}}} {
		t.Run(kept.name, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{RedisConf: kept.conf})
			before := counted(t, s)
			w := s.StartWriter(t.Context(), 0, time.Millisecond)
			acknowledged(t, w, 500)
			w.Stop()
			for _, r := range s.Redises() {
				_, err := r.Do(t.Context(), "SAVE")
				must(t, err)
			}
			for _, r := range s.Redises() {
				must(t, r.Kill())
			}
			for _, r := range s.Redises() {
				must(t, r.Start())
			}
			after := steady(t, s, before.Record.Epoch+1)
			if lost, err := w.Lost(t.Context(), master(s, after)); err != nil || len(lost) > 0 {
				t.Errorf("%d keys are gone with %s as master, %v", len(lost), after.Record.Master, err)
			}
		})
	}
}

// What clients have queued at a stopped master is not answered when it goes on, because its agent has ended it. Where the
// agent may not, it is.
func TestStoppedMasterWithQueuedWrites(t *testing.T) {
	for _, onStuck := range []string{"kill", "leave"} {
		t.Run(onStuck, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{GroupHCL: fmt.Sprintf("down_after = \"1s\"\ncooldown = \"0s\"\non_stuck = %q\n", onStuck)})
			total, times := 0, max(1, rounds()/3)
			for range times {
				total += queuedWrites(t, s)
			}
			t.Logf("on_stuck = %q: %d of %d queued writes were acknowledged after the server went on", onStuck, total, 20*times)
			if onStuck == "kill" && total > 0 {
				t.Errorf("%d writes were acknowledged by a deposed master", total)
			}
		})
	}
}

func queuedWrites(t *testing.T, s *sandbox.Sandbox) (acknowledged int) {
	t.Helper()
	before := counted(t, s)
	old := master(s, before)
	var conns []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", old.Addr())
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte("PING\r\n"))
		must(t, err)
		_, err = bufio.NewReader(c).ReadString('\n')
		must(t, err)
		conns = append(conns, c)
	}
	must(t, old.Stop())
	for i, c := range conns {
		_, err := fmt.Fprintf(c, "SET queued-%d x\r\n", i)
		must(t, err)
	}
	time.Sleep(5 * time.Second) // how long it stands still is the fault itself
	replaced(t, s, before)
	_ = old.Cont()
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && strings.HasPrefix(line, "+OK") {
			acknowledged++
		}
	}
	if !old.Running() {
		must(t, old.Start())
	}
	steady(t, s, before.Record.Epoch+1)
	return acknowledged
}

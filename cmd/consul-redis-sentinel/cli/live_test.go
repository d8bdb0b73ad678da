package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// limit is far more than anything here takes on a busy machine.
const limit = 2 * time.Minute

// startGroup runs a group of two nodes and a witness on one Consul server, its agents being this test binary.
func startGroup(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := sandbox.Start(ctx, sandbox.Options{Consuls: 1, Nodes: 2, Witnesses: 1, Binary: self})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, a := range s.Agents() {
				t.Logf("log of %s:\n%s", a.Name, a.Log())
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.WaitSteady(ctx, 1); err != nil {
		t.Fatal(err)
	}
	awaitWhole(t, s)
	return s
}

// awaitWhole waits until nothing is wrong and any node can become master.
func awaitWhole(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	eventually(t, "nothing is wrong", func(context.Context) error {
		st := readJSON(t, s)
		if len(st.Wrong) > 0 || len(st.Nodes) != 2 || len(st.Agents) != 3 {
			return errors.New(strings.Join(st.Wrong, "; "))
		}
		if n := st.Nodes[1]; !n.Counted || n.State != string(failover.StateFollowing) {
			return fmt.Errorf("%s is %s, counted: %v", n.Name, n.State, n.Counted)
		}
		return nil
	})
}

// readJSON is the status of the group as -json prints it.
func readJSON(t *testing.T, s *sandbox.Sandbox) status {
	t.Helper()
	code, stdout, stderr := run(t, "status", "-json", "redis", "-http-addr", s.Consul(0).HTTPAddr())
	if code != ExitOK {
		t.Fatalf("status: exit code %d\n%s", code, stderr)
	}
	var all []status
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) != 1 {
		t.Fatalf("status -json: %v\n%s", err, stdout)
	}
	return all[0]
}

func eventually(t *testing.T, what string, holds func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := sandbox.WaitFor(ctx, what, holds); err != nil {
		t.Fatal(err)
	}
}

// TestCommandsOnARunningGroup goes through the commands as an operator would.
func TestCommandsOnARunningGroup(t *testing.T) {
	s := startGroup(t)
	t.Setenv("CONSUL_HTTP_ADDR", s.Consul(0).HTTPAddr())

	read := func() status { t.Helper(); return readJSON(t, s) }
	first := read()
	code, stdout, _ := run(t, "status")
	for _, want := range []string{"epoch 1, steady", "master " + first.Master + " at ", "agent-3", "Nothing is wrong."} {
		if code != ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("status lacks %q:\n%s", want, stdout)
		}
	}
	t.Logf("status:\n%s", stdout)

	other := first.Nodes[1].Name
	code, stdout, stderr := run(t, "switchover", "redis", "-to", other)
	if now := read(); code != ExitOK || now.Master != other || now.Epoch < 2 || !strings.Contains(stdout, "steps: ") {
		t.Errorf("switchover: exit code %d, master %s\n%s%s", code, now.Master, stdout, stderr)
	}
	t.Logf("switchover:\n%s", stdout)

	awaitWhole(t, s)
	code, stdout, stderr = run(t, "failover", "redis")
	if now := read(); code != ExitOK || now.Master != first.Master {
		t.Errorf("failover: exit code %d, master %s\n%s%s", code, now.Master, stdout, stderr)
	}

	code, stdout, _ = run(t, "history", "redis")
	if code != ExitOK || strings.Count(stdout, "cause") != 2 || !strings.Contains(stdout, "→ "+other) {
		t.Errorf("history: exit code %d\n%s", code, stdout)
	}
	t.Logf("history:\n%s", stdout)
	if _, stdout, _ = run(t, "history", "redis", "-json", "-last", "1"); strings.Count(stdout, `"epoch": 3`) == 0 {
		t.Errorf("history -json:\n%s", stdout)
	}

	for _, c := range []struct{ args, want string }{
		{"pause redis", "redis is paused\n"}, {"pause redis", "redis is already paused\n"},
		{"resume redis", "redis is not paused\n"}, {"resume redis", "redis is already not paused\n"},
	} {
		if code, stdout, stderr := run(t, strings.Fields(c.args)...); code != ExitOK || stdout != c.want {
			t.Errorf("%s: exit code %d, %q%s", c.args, code, stdout, stderr)
		}
	}
	for _, c := range []struct {
		args string
		code ExitCode
		want string
	}{
		{"failover nothing", ExitFailed, `no group "nothing" in Consul, there is: redis`},
		{"switchover redis -to redis-9", ExitRefused, `no node "redis-9" in group redis, there is: redis-1, redis-2`},
		{"switchover redis -to " + first.Master, ExitRefused, "refused: "},
		{"bootstrap redis -master redis-1", ExitRefused, "the group was started already"},
	} {
		if code, _, stderr := run(t, strings.Fields(c.args)...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d\n%s", c.args, code, stderr)
		}
	}
	if s := read(); s.Order != nil {
		t.Errorf("an order is left behind: %+v", s.Order)
	}
}

func TestAnOrderThatNobodyTakesUpIsWithdrawn(t *testing.T) {
	s := startGroup(t)
	for _, a := range s.Agents() {
		if err := a.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := run(t, "failover", "redis", "-timeout", "200ms", "-http-addr", s.Consul(0).HTTPAddr())
	if code != ExitTimeout || !strings.Contains(stderr, "it was withdrawn") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	state, err := s.State(t.Context())
	if err != nil || state.Order != nil {
		t.Errorf("%v, order %+v", err, state.Order)
	}
	if state.Record == nil || state.Record.Epoch != 1 {
		t.Errorf("the record was changed: %+v", state.Record)
	}
}

func TestWatchShowsAChange(t *testing.T) {
	s := startGroup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out syncBuffer
	c := CLI{Stdout: &out, Stderr: &out, Getenv: os.Getenv}
	ended := make(chan ExitCode)
	go func() { ended <- c.Run(ctx, []string{"watch", "-http-addr", s.Consul(0).HTTPAddr()}) }()
	shows := func(what string) {
		t.Helper()
		eventually(t, "watch shows "+what, func(context.Context) error {
			if !strings.Contains(out.String(), what) {
				return errors.New(out.String())
			}
			return nil
		})
	}
	shows("epoch 1")
	if code, _, stderr := run(t, "failover", "redis", "-http-addr", s.Consul(0).HTTPAddr()); code != ExitOK {
		t.Fatal(stderr)
	}
	shows("epoch 2")
	cancel()
	if code := <-ended; code != ExitOK {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}

// TestDemo is the whole of it, as "make demo" runs it.
func TestDemo(t *testing.T) {
	ownTempDir(t)
	code, stdout, stderr := run(t, "dev", "-demo")
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{"killed", "detected", "quorum", "elected", "frozen", "chosen", "in DNS", "open", "first write",
		"Write outage", "Writes acknowledged", "Writes lost          0", "Everything was ended and removed."} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not tell %q:\n%s", want, stdout)
		}
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// ownTempDir gives a test a directory for temporary files, to see what is left in it. Its path is short because the
// drivers' sockets are below it, whose paths may have no more than 107 characters.
func ownTempDir(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
}

// TestDevEndsWithItsContext starts what "dev" starts, and ends it as Ctrl-C does.
func TestDevEndsWithItsContext(t *testing.T) {
	ownTempDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out syncBuffer
	c := CLI{Stdout: &out, Stderr: &out, Getenv: os.Getenv}
	ended := make(chan ExitCode)
	go func() { ended <- c.Run(ctx, []string{"dev", "-consuls", "1", "-nodes", "2"}) }()
	eventually(t, "dev says how to break it", func(context.Context) error {
		select {
		case code := <-ended:
			t.Fatalf("dev ended with exit code %d\n%s", code, out.String())
		default:
		}
		if !strings.Contains(out.String(), "kill -9") {
			return errors.New(out.String())
		}
		return nil
	})
	cancel()
	if code := <-ended; code != ExitOK {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
	t.Logf("dev:\n%s", out.String())
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// syncBuffer is a buffer that one goroutine writes while another reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

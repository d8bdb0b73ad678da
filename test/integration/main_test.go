// Package integration runs whole installations: real Consul servers, real Redis servers, and the agents of this
// project as processes of their own.
package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	code := 1
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if dir := filepath.Dir(binary); strings.HasPrefix(dir, os.TempDir()+"/crs-binary-") {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// build makes the program, or takes the one that CRS_BINARY names.
func build() error {
	if binary = os.Getenv("CRS_BINARY"); binary != "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "crs-binary-")
	if err != nil {
		return err
	}
	binary = filepath.Join(dir, "consul-redis-sentinel")
	out, err := exec.Command("go", "build", "-race", "-o", binary, "../../cmd/consul-redis-sentinel").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

// limit is how long anything may take that a test waits for. It is generous: machines that run tests are busy, and
// speed is judged elsewhere.
const limit = 90 * time.Second

// start runs an installation and waits until it has a master that all others follow.
func start(t *testing.T, o sandbox.Options) (*sandbox.Sandbox, failover.State) {
	t.Helper()
	s := startOnly(t, o)
	return s, steady(t, s, 1)
}

// startOnly runs an installation. When the test fails, the logs of the agents are shown.
func startOnly(t *testing.T, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	o.Binary = binary
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := sandbox.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, a := range s.Agents() {
			log := a.Log()
			if t.Failed() || os.Getenv("LOGS") != "" {
				t.Logf("log of %s:\n%s", a.Name, tail(log, 80))
			}
			if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
				t.Errorf("%s raced or panicked:\n%s", a.Name, log)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// steady waits until the group is whole in an epoch not below the one given.
func steady(t *testing.T, s *sandbox.Sandbox, epoch uint64) failover.State {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	state, err := s.WaitSteady(ctx, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// counted waits until every member that runs is counted, so that any of them may be chosen.
func counted(t *testing.T, s *sandbox.Sandbox) failover.State {
	t.Helper()
	var state failover.State
	eventually(t, "every member is counted", func(ctx context.Context) error {
		var err error
		if state, err = s.State(ctx); err != nil {
			return err
		}
		for name, m := range state.Record.Eligible {
			if r := s.RedisOf(name); r.Running() && m.RunID != state.Nodes[name].RunID {
				return fmt.Errorf("%s is not counted: %+v", name, m)
			}
		}
		return nil
	})
	return state
}

// replaced waits until another node than before is master.
func replaced(t *testing.T, s *sandbox.Sandbox, before failover.State) (after failover.State) {
	t.Helper()
	eventually(t, "another is master", func(ctx context.Context) (err error) {
		if after, err = s.State(ctx); err == nil && (after.Record.Phase != failover.Steady || after.Record.Master == before.Record.Master) {
			err = fmt.Errorf("epoch %d is %s, master %s", after.Record.Epoch, after.Record.Phase, after.Record.Master)
		}
		return err
	})
	return after
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := sandbox.WaitFor(ctx, what, holds); err != nil {
		t.Fatal(err)
	}
}

// master is the server that the record names.
func master(s *sandbox.Sandbox, state failover.State) *sandbox.Redis {
	return s.RedisOf(state.Record.Master)
}

// agentOf is the agent beside a server, by its position.
func agentOf(s *sandbox.Sandbox, r *sandbox.Redis) *sandbox.Agent {
	for i, other := range s.Redises() {
		if other == r {
			return s.Agent(i)
		}
	}
	return nil
}

// awaitEnd returns when the agent has ended a server.
func awaitEnd(t *testing.T, r *sandbox.Redis) {
	t.Helper()
	eventually(t, "the server was ended", func(context.Context) error {
		if r.Running() {
			return fmt.Errorf("%s runs", r.Name)
		}
		return nil
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// knownDead waits until the agent of a node reports that its server has ended.
func knownDead(t *testing.T, s *sandbox.Sandbox, r *sandbox.Redis) {
	t.Helper()
	eventually(t, "the death of "+r.Node+" is known", func(ctx context.Context) error {
		state, err := s.State(ctx)
		if err == nil && state.Nodes[r.Node].State != failover.StateDead {
			err = fmt.Errorf("it is %s", state.Nodes[r.Node].State)
		}
		return err
	})
}

// anAgentSays waits until words stand in the log of an agent.
func anAgentSays(t *testing.T, s *sandbox.Sandbox, words string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an agent says %q", words), func(context.Context) error {
		if silentAgents(s, words) == len(s.Agents()) {
			return errors.New("nobody does")
		}
		return nil
	})
}

// everyAgentSays waits until words stand in the log of every agent.
func everyAgentSays(t *testing.T, s *sandbox.Sandbox, words string) {
	t.Helper()
	eventually(t, fmt.Sprintf("every agent says %q", words), func(context.Context) error {
		if n := silentAgents(s, words); n > 0 {
			return fmt.Errorf("%d do not", n)
		}
		return nil
	})
}

// silentAgents is how many agents have not said it.
func silentAgents(s *sandbox.Sandbox, words string) (n int) {
	for _, a := range s.Agents() {
		if !strings.Contains(a.Log(), words) {
			n++
		}
	}
	return n
}

// pin starts a writer that stays with a server, whoever is master.
func pin(t *testing.T, r *sandbox.Redis, every time.Duration) *sandbox.Writer {
	return sandbox.StartWriterTo(t.Context(), every, func(context.Context) (string, error) { return r.Addr(), nil })
}

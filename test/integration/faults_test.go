package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// A fault of any one part but the master itself moves nothing: the same master, in the same epoch, taking writes all
// along.
func TestFaultsThatMoveNothing(t *testing.T) {
	faults := []struct {
		name string
		// strike causes the fault and returns what mends it, or nil.
		strike func(*testing.T, *sandbox.Sandbox, failover.State) (mend func())
	}{
		{"the driver of the master", func(t *testing.T, s *sandbox.Sandbox, state failover.State) func() {
			agent := agentOf(s, master(s, state))
			old := driverOf(t, agent)
			must(t, syscall.Kill(old, syscall.SIGKILL))
			eventually(t, "the driver runs again", func(context.Context) error {
				if pid := findDriver(agent); pid == 0 || pid == old {
					return fmt.Errorf("driver is process %d, was %d", pid, old)
				}
				return nil
			})
			return nil
		}},
		{"the agent of the master", func(t *testing.T, s *sandbox.Sandbox, state failover.State) func() {
			agent := agentOf(s, master(s, state))
			must(t, agent.Kill())
			sessionEnds(t, s, agent)
			return func() { must(t, agent.Start()) }
		}},
		{"the agent of a replica", func(t *testing.T, s *sandbox.Sandbox, state failover.State) func() {
			agent := agentOf(s, replica(s, state))
			must(t, agent.Kill())
			sessionEnds(t, s, agent)
			return func() { must(t, agent.Start()) }
		}},
		{"a replica", func(t *testing.T, s *sandbox.Sandbox, state failover.State) func() {
			r := replica(s, state)
			must(t, r.Kill())
			knownDead(t, s, r)
			return func() { must(t, r.Start()) }
		}},
		{"a Consul server that follows", func(t *testing.T, s *sandbox.Sandbox, state failover.State) func() {
			leader, err := s.ConsulLeader(t.Context())
			must(t, err)
			return killConsul(t, s, (leader+1)%3)
		}},
		{"the Consul server that leads", func(t *testing.T, s *sandbox.Sandbox, state failover.State) func() {
			leader, err := s.ConsulLeader(t.Context())
			must(t, err)
			return killConsul(t, s, leader)
		}},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{GroupHCL: "fence_after = \"20s\"\n", Fallbacks: true})
			before := counted(t, s)
			w := s.StartWriter(t.Context(), 0, 5*time.Millisecond)
			defer w.Stop()
			acknowledged(t, w, 50)
			mend := f.strike(t, s, before)
			acknowledged(t, w, len(w.Acks())+100)
			if mend != nil {
				mend()
			}
			after := steady(t, s, before.Record.Epoch)
			if after.Record.Epoch != before.Record.Epoch || after.Record.Master != before.Record.Master {
				t.Errorf("master was %s of epoch %d and is %s of epoch %d", before.Record.Master, before.Record.Epoch,
					after.Record.Master, after.Record.Epoch)
			}
			w.Stop()
			for _, a := range w.Acks() {
				if a.Addr != before.Record.Address {
					t.Fatalf("%s acknowledged a write, and only %s is master", a.Addr, before.Record.Address)
				}
			}
			if lost, err := w.Lost(t.Context(), master(s, after)); err != nil || len(lost) > 0 {
				t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
			}
		})
	}
}

// killConsul kills a Consul server and waits until the others have a leader.
func killConsul(t *testing.T, s *sandbox.Sandbox, i int) func() {
	must(t, s.Consul(i).Kill())
	eventually(t, "Consul has a leader", func(ctx context.Context) error {
		_, err := s.ConsulLeader(ctx)
		return err
	})
	return func() { must(t, s.Consul(i).Start()) }
}

// A leader that dies in the middle of a change of master is replaced, and the election goes on where it stood.
func TestLeaderDiesWhileElecting(t *testing.T) {
	s, _ := start(t, sandbox.Options{Witnesses: 1})
	before := counted(t, s)
	old := master(s, before)
	// With the replicas stopped nobody reports, so the election stands until they go on.
	for _, r := range s.Redises() {
		if r != old {
			must(t, r.Stop())
			defer r.Cont()
		}
	}
	must(t, old.Kill())
	var leader *sandbox.Agent
	eventually(t, "a leader is electing", func(ctx context.Context) error {
		state, err := s.State(ctx)
		if err != nil || state.Record.Phase != failover.Electing || state.Leader == "" {
			return fmt.Errorf("%+v, led by %q, %w", state.Record, state.Leader, err)
		}
		leader = agentNamed(s, state.Leader)
		return nil
	})
	must(t, leader.Kill())
	for _, r := range s.Redises() {
		if r != old {
			must(t, r.Cont())
		}
	}
	eventually(t, "another agent has led the change to its end", func(ctx context.Context) error {
		state, err := s.State(ctx)
		if err != nil || state.Record.Phase != failover.Steady || state.Record.Epoch == before.Record.Epoch {
			return fmt.Errorf("%+v, led by %q, %w", state.Record, state.Leader, err)
		}
		return nil
	})
	must(t, leader.Start())
	must(t, old.Start())
	after := steady(t, s, before.Record.Epoch+1)
	if after.Record.Master == old.Node {
		t.Errorf("%s was killed and is master again", old.Node)
	}
}

// The machine of the master dies: its Redis, its agent and its Consul server. Nobody can say that the master is closed,
// so its lease is waited for.
func TestMachineDies(t *testing.T) {
	s, _ := start(t, sandbox.Options{GroupHCL: "fence_after = \"2s\"\ndown_after = \"1s\"\n"})
	before := counted(t, s)
	old := master(s, before)
	agent := agentOf(s, old)
	must(t, agent.Kill())
	must(t, agent.Beside.Kill())
	must(t, old.Kill())
	died := time.Now()
	after := steady(t, s, before.Record.Epoch+1)
	if took := after.Record.Since.Sub(died); took < time.Second {
		t.Errorf("another was named after %s: the lease was not waited for", took)
	}
	if after.Record.Master == old.Node {
		t.Fatalf("%s is dead and is master", old.Node)
	}
	eventually(t, "the tag master is the new master's, and nobody's who may come back with it", func(ctx context.Context) error {
		entries, _, err := agentOf(s, master(s, after)).Beside.Client.Health().Service("redis", "master", false, nil)
		if err == nil && (len(entries) != 1 || entries[0].Service.Meta["node"] != after.Record.Master) {
			err = fmt.Errorf("%d have it", len(entries))
		}
		return err
	})
	must(t, agent.Beside.Start())
	must(t, old.Start())
	must(t, agent.Start())
	again := steady(t, s, after.Record.Epoch)
	if again.Record.Epoch != after.Record.Epoch {
		t.Errorf("the return of the machine changed the epoch from %d to %d", after.Record.Epoch, again.Record.Epoch)
	}
}

// A master without data that a supervisor restarts at once is not master any more, and wipes nobody.
func TestMasterRestartedEmpty(t *testing.T) {
	s, _ := start(t, sandbox.Options{})
	before := counted(t, s)
	old := master(s, before)
	w := s.StartWriter(t.Context(), 0, 2*time.Millisecond)
	defer w.Stop()
	acknowledged(t, w, 200)
	w.Stop()
	eventually(t, "the replicas have everything", func(ctx context.Context) error {
		for _, r := range s.Redises() {
			if lost, err := w.Lost(ctx, r); err != nil || len(lost) > 0 {
				return fmt.Errorf("%s lacks %d writes, %w", r.Node, len(lost), err)
			}
		}
		return nil
	})
	must(t, old.Restart())
	after := steady(t, s, before.Record.Epoch+1)
	for _, r := range s.Redises() {
		if lost, err := w.Lost(t.Context(), r); err != nil || len(lost) > 0 {
			t.Errorf("%s lacks %d writes after the restart of %s, %v", r.Node, len(lost), old.Node, err)
		}
	}
	if after.Record.Master == old.Node {
		t.Errorf("%s was restarted empty and is master", old.Node)
	}
}

func replica(s *sandbox.Sandbox, state failover.State) *sandbox.Redis {
	for _, r := range s.Redises() {
		if r.Node != state.Record.Master {
			return r
		}
	}
	return nil
}

func agentNamed(s *sandbox.Sandbox, name string) *sandbox.Agent {
	for _, a := range s.Agents() {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// sessionEnds waits until Consul has ended the session of an agent that was killed: its check has turned critical.
func sessionEnds(t *testing.T, s *sandbox.Sandbox, a *sandbox.Agent) {
	t.Helper()
	eventually(t, "Consul has noticed that "+a.Name+" is gone", func(ctx context.Context) error {
		sessions, _, err := a.Beside.Client.Session().List(nil)
		for _, one := range sessions {
			if strings.HasSuffix(one.Name, " "+a.Name) {
				return fmt.Errorf("session %q lives", one.Name)
			}
		}
		return err
	})
}

func driverOf(t *testing.T, a *sandbox.Agent) int {
	t.Helper()
	pid := findDriver(a)
	if pid == 0 {
		t.Fatalf("%s has no driver", a.Name)
	}
	return pid
}

// findDriver finds the driver among the children of an agent.
func findDriver(a *sandbox.Agent) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, err := os.ReadFile(file)
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if err != nil || len(f) < 2 || f[1] != strconv.Itoa(a.PID()) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(cmd, []byte("\x00plugin\x00")) {
			return pid
		}
	}
	return 0
}

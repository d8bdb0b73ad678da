package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// exitRefused is the exit code of what was refused, with the reason.
const exitRefused = 5

// command runs the program as an operator on the machine of a Consul server does, and returns what it printed and its exit code.
func command(t *testing.T, beside *sandbox.Consul, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, binary, append(args, "-http-addr", beside.HTTPAddr())...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CONSUL_") {
			c.Env = append(c.Env, e)
		}
	}
	out, err := c.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("%v: %v", args, err)
	}
	t.Logf("%s: exit code %d\n%s", strings.Join(args, " "), c.ProcessState.ExitCode(), out)
	return string(out), c.ProcessState.ExitCode()
}

// succeeds runs a command that does what it is told.
func succeeds(t *testing.T, beside *sandbox.Consul, args ...string) string {
	t.Helper()
	out, code := command(t, beside, args...)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// refused runs a command that is refused for the reason given.
func refused(t *testing.T, beside *sandbox.Consul, why string, args ...string) {
	t.Helper()
	if out, code := command(t, beside, args...); code != exitRefused || !strings.Contains(out, why) {
		t.Errorf("%s: exit code %d, want it refused because %q\n%s", strings.Join(args, " "), code, why, out)
	}
}

// electionThatWaits is a group with wait:1 whose master and one replica, and the agent of that replica, have died: the replica
// that is left may lack what WAIT has acknowledged, so nobody is chosen. It has every write that was acknowledged by it.
func electionThatWaits(t *testing.T) (s *sandbox.Sandbox, now failover.State, dead, left *sandbox.Redis) {
	t.Helper()
	s, _ = start(t, sandbox.Options{GroupHCL: `durability = "wait:1"`})
	var before failover.State
	eventually(t, "durability is in force", func(ctx context.Context) error {
		before = counted(t, s)
		if before.Record.Durability != "wait:1" {
			return fmt.Errorf("durability is %s", before.Record.Durability)
		}
		return nil
	})
	old := master(s, before)
	for _, r := range s.Redises() {
		if r != old {
			dead, left = left, r
		}
	}
	must(t, dead.Kill())
	knownDead(t, s, dead)
	must(t, agentOf(s, dead).Kill())
	eventually(t, "WAIT 1 acknowledges a write", func(ctx context.Context) error {
		c := old.Client()
		defer c.Close()
		p := c.Pipeline() // on one connection: WAIT speaks of what its own client wrote
		p.Set(ctx, "kept", "yes", 0)
		wait := p.Do(ctx, "WAIT", 1, 1000)
		_, err := p.Exec(ctx)
		if n, _ := wait.Int(); err == nil && n != 1 {
			err = fmt.Errorf("%d replicas have it", n)
		}
		return err
	})
	must(t, old.Kill())
	anAgentSays(t, s, "durability wait:1 needs the reports of 2 of the 2 other nodes, 1 are here")
	now, err := s.State(t.Context())
	must(t, err)
	if now.Record.Phase != failover.Electing || now.Record.Epoch != before.Record.Epoch {
		t.Fatalf("epoch %d is %s", now.Record.Epoch, now.Record.Phase)
	}
	return s, now, dead, left
}

// goesOn says whether an election that waited has been decided for the server that is left, which takes writes and has lost none.
func goesOn(t *testing.T, s *sandbox.Sandbox, before failover.State, left *sandbox.Redis) failover.State {
	t.Helper()
	after := steady(t, s, before.Record.Epoch+1)
	if after.Record.Master != left.Node {
		t.Errorf("%s is master, and %s is left", after.Record.Master, left.Node)
	}
	if v, err := left.Do(t.Context(), "GET", "kept"); err != nil || v != "yes" {
		t.Errorf("what WAIT acknowledged is %v, %v", v, err)
	}
	w := s.StartWriter(t.Context(), 0, 0)
	defer w.Stop()
	acknowledged(t, w, 20)
	return after
}

// A dead node that an election waits for is forgotten: it leaves the members, and the election goes on with those who are left.
func TestForgetNode(t *testing.T) {
	s, now, dead, left := electionThatWaits(t)
	beside := agentOf(s, left).Beside
	refused(t, beside, "agent "+agentOf(s, dead).Name+" looks after "+dead.Node+", which is in the group: forget that first",
		"forget", s.Group(), agentOf(s, dead).Name, "-agent")
	out := succeeds(t, beside, "forget", s.Group(), dead.Node)
	if want := dead.Node + " is no member of " + s.Group() + " any more; what WAIT acknowledged because of " + dead.Node + " alone is not waited for any more"; !strings.Contains(out, want) {
		t.Errorf("it does not say %q", want)
	}
	after := goesOn(t, s, now, left)
	_, member := after.Record.Eligible[dead.Node]
	if rep, reported := after.Nodes[dead.Node]; member || reported {
		t.Errorf("members %v, report %+v", after.Record.Eligible, rep)
	}
	refused(t, beside, "no node \""+dead.Node+"\" in group", "forget", s.Group(), dead.Node)
	refused(t, beside, left.Node+" is master of epoch", "forget", s.Group(), left.Node)
	succeeds(t, beside, "forget", s.Group(), agentOf(s, dead).Name, "-agent")

	// Should it come back after all, it is a node like any other that joins.
	must(t, dead.Start())
	must(t, agentOf(s, dead).Start())
	must(t, master(s, now).Start())
	again := steady(t, s, after.Record.Epoch)
	if again.Record.Epoch != after.Record.Epoch || again.Record.Master != left.Node {
		t.Errorf("%s is master of epoch %d, want %s of epoch %d", again.Record.Master, again.Record.Epoch, left.Node, after.Record.Epoch)
	}
	if _, known := again.Agents[agentOf(s, dead).Name]; !known {
		t.Errorf("the agents known are %v", again.Agents)
	}
}

// An operator may say by a command that the election is not to wait, and history says who did.
func TestFailoverAcceptDataLoss(t *testing.T) {
	s, now, _, left := electionThatWaits(t)
	out := succeeds(t, agentOf(s, left).Beside, "failover", s.Group(), "-accept-data-loss", "-timeout", limit.String())
	if !strings.Contains(out, left.Node+" takes writes") {
		t.Errorf("it does not say that %s takes writes", left.Node)
	}
	after := goesOn(t, s, now, left)
	k, err := s.Catalog(0)
	must(t, err)
	history, err := k.History(t.Context(), s.Group(), 1)
	must(t, err)
	if len(history) != 1 || history[0].Epoch != after.Record.Epoch || !strings.Contains(history[0].Cause, "@") ||
		!strings.HasSuffix(history[0].Cause, " accepts the loss of writes") {
		t.Errorf("history %+v", history)
	}
}

// An agent that is gone for good counts for the default quorum until it is forgotten.
func TestForgetAgent(t *testing.T) {
	s, _ := start(t, sandbox.Options{Witnesses: 1, GroupHCL: "quorum = 0\n"})
	before := counted(t, s)
	old, witness := master(s, before), s.Agent(3)
	// Two of four agents are left to vote.
	must(t, witness.Kill())
	must(t, agentOf(s, replica(s, before)).Kill())
	must(t, old.Kill())
	eventually(t, "those who are left have voted, and are too few", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if tally := failover.Count(now); err == nil && (len(tally.Down) != 2 || tally.Need != 3) {
			err = errors.New(tally.String())
		}
		return err
	})
	now, err := s.State(t.Context())
	must(t, err)
	if now.Record.Phase != failover.Steady || now.Record.Epoch != before.Record.Epoch {
		t.Fatalf("epoch %d is %s, by two votes of four agents", now.Record.Epoch, now.Record.Phase)
	}
	refused(t, s.Consul(1), `no agent "agent-9" in group`, "forget", s.Group(), "agent-9", "-agent")
	succeeds(t, s.Consul(1), "forget", s.Group(), witness.Name, "-agent")
	after := steady(t, s, before.Record.Epoch+1)
	if _, known := after.Agents[witness.Name]; known || after.Record.Master == old.Node {
		t.Errorf("%s is master; the agents known are %v", after.Record.Master, after.Agents)
	}
}

// Of nodes that hold different data, the one that the command names is kept.
func TestBootstrapCommand(t *testing.T) {
	s := startOnly(t, sandbox.Options{NotFrozen: true, ManualAgents: true})
	for i, value := range []string{"apples", "pears"} {
		do(t, s.Redis(i), "SET", "fruit", value)
	}
	for _, a := range s.Agents() {
		must(t, a.Start())
	}
	anAgentSays(t, s, "several nodes hold different data: redis-1 (1 keys), redis-2 (1 keys)")
	out := succeeds(t, s.Consul(0), "bootstrap", s.Group(), "-master", "redis-2", "-timeout", limit.String())
	if !strings.Contains(out, "redis-2 takes writes") {
		t.Error("it does not say that redis-2 takes writes")
	}
	for i, want := range []string{"apples", "pears"} {
		if v, err := s.Redis(i).Do(t.Context(), "GET", "fruit"); err != nil || v != want {
			t.Errorf("%s holds %v, %v, want %s", s.Redis(i).Node, v, err, want)
		}
	}
}

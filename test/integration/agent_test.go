package integration

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// An agent that starts beside a server that does not answer knows its process from the agent before, and ends it.
func TestAgentFindsItsServerStopped(t *testing.T) {
	for _, consul := range []string{"answers", "hangs"} {
		t.Run("Consul "+consul, func(t *testing.T) {
			s, before := start(t, sandbox.Options{GroupHCL: "down_after = \"1s\"\n"})
			old := master(s, before)
			agent := agentOf(s, old)
			must(t, old.Stop())
			must(t, agent.Kill())
			if consul == "hangs" {
				for _, c := range s.Consuls() {
					must(t, c.Stop())
				}
			}
			must(t, agent.Start())
			awaitEnd(t, old)
			for _, c := range s.Consuls() {
				must(t, c.Cont())
			}
			must(t, old.Start())
			if after := steady(t, s, before.Record.Epoch+1); after.Record.Master == old.Node {
				t.Errorf("%s is master again", old.Node)
			}
		})
	}
}

// With on_agent_loss = "freeze" a server does not stay open for longer than a lease without its agent.
func TestAgentLossFreezes(t *testing.T) {
	s, before := start(t, sandbox.Options{AgentHCL: "on_agent_loss = \"freeze\"\n", GroupHCL: "fence_after = \"2s\"\n"})
	old := master(s, before)
	agent := agentOf(s, old)
	for _, end := range []struct {
		how string
		do  func() error
	}{{"killed", agent.Kill}, {"ended in order", func() error { return agent.Terminate(limit) }}} {
		w := s.StartWriter(t.Context(), 0, 5*time.Millisecond)
		acknowledged(t, w, 20)
		must(t, end.do())
		eventually(t, "the server is frozen", func(ctx context.Context) error {
			info, err := old.Info(ctx)
			if err == nil && info["master_port"] != "1" {
				err = fmt.Errorf("%s: the server is a %s", end.how, info["role"])
			}
			return err
		})
		must(t, agent.Start())
		back := time.Now()
		eventually(t, "writes are taken again", func(context.Context) error {
			if a := w.Acks(); a[len(a)-1].At.Before(back) {
				return fmt.Errorf("%s: the last write was taken before the agent was back", end.how)
			}
			return nil
		})
		w.Stop()
		if lost, err := w.Lost(t.Context(), master(s, steady(t, s, before.Record.Epoch))); err != nil || len(lost) > 0 {
			t.Errorf("%s: lost %v, %v", end.how, lost, err)
		}
	}
}

// Two agents do not work with one data_dir.
func TestDataDirIsOneAgents(t *testing.T) {
	s, _ := start(t, sandbox.Options{})
	out, err := exec.Command(binary, "agent", "-config", s.Agent(0).ConfigFile).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another agent works with it") {
		t.Errorf("a second agent: %v\n%s", err, out)
	}
}

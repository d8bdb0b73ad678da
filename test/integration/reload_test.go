package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// An agent that is started again, or reads its configuration again, interrupts no writes; with a configuration that cannot be started
// it goes on with the one before.
func TestAgentAnewInterruptsNothing(t *testing.T) {
	s, before := start(t, sandbox.Options{})
	old := master(s, before)
	agent := agentOf(s, old)
	w := pin(t, old, 2*time.Millisecond)
	defer w.Stop()
	logged := func(what string, times int) func(context.Context) error {
		return func(context.Context) error {
			if n := strings.Count(agent.Log(), what); n < times {
				return fmt.Errorf("%d of %d times", n, times)
			}
			return nil
		}
	}
	goesOn := func() {
		t.Helper()
		acknowledged(t, w, len(w.Acks())+500)
		if refused := w.Refusals(); len(refused) > 0 {
			t.Fatalf("%d writes were refused: %v", len(refused), refused[0])
		}
	}
	goesOn()
	for n := range 3 {
		must(t, agent.Signal(syscall.SIGHUP))
		eventually(t, "the configuration was reloaded", logged("configuration reloaded", n+1))
		goesOn()
		must(t, agent.Restart())
		goesOn()
	}
	file, err := os.ReadFile(agent.ConfigFile)
	must(t, err)
	broken := strings.Replace(string(file), "node \"", "driver \"broken\" {\n  command = [\"/bin/false\"]\n}\n\nnode \"", 1)
	broken = strings.Replace(broken, "  group = ", "  driver = \"broken\"\n  group = ", 1)
	must(t, os.WriteFile(agent.ConfigFile, []byte(broken), 0o644))
	must(t, agent.Signal(syscall.SIGHUP))
	eventually(t, "the agent says that the configuration cannot be started", logged("the one before stays", 1))
	goesOn()
	moved := strings.Replace(string(file), fmt.Sprintf("address = %q", old.Addr()), `address = "127.0.0.1:1"`, 1)
	must(t, os.WriteFile(agent.ConfigFile, []byte(moved), 0o644))
	must(t, agent.Signal(syscall.SIGHUP))
	eventually(t, "the agent keeps a server that is open", logged("does not have a server that may be open", 1))
	goesOn()
	if after := steady(t, s, before.Record.Epoch); after.Record.Epoch != before.Record.Epoch || !agent.Running() {
		t.Errorf("epoch %d, the agent runs: %v", after.Record.Epoch, agent.Running())
	}
}

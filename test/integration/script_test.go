package integration

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// A master that a script keeps for longer than busy_after is replaced, and not before; whatever was ended beside it meanwhile, so
// that nobody who asks it now has ever seen what it is.
func TestScriptWithoutEnd(t *testing.T) {
	const busyAfter = 4 * time.Second
	for what, meanwhile := range map[string]func(*testing.T, *sandbox.Agent){
		"nothing else":  func(*testing.T, *sandbox.Agent) {},
		"a driver anew": func(t *testing.T, a *sandbox.Agent) { must(t, syscall.Kill(driverOf(t, a), syscall.SIGKILL)) },
		"an agent anew": func(t *testing.T, a *sandbox.Agent) { must(t, a.Restart()) },
	} {
		t.Run(what, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{GroupHCL: fmt.Sprintf("down_after = \"1s\"\nbusy_after = %q\n", busyAfter.String()), RedisConf: []string{"lua-time-limit 500"}})
			before := counted(t, s)
			old := master(s, before)
			began := time.Now()
			stuckScript(t, old)
			meanwhile(t, agentOf(s, old))
			awaitEnd(t, old)
			if took := time.Since(began); took < busyAfter {
				t.Errorf("the server was ended after %s, want %s at least", took, busyAfter)
			}
			must(t, old.Start())
			after := steady(t, s, before.Record.Epoch+1)
			if after.Record.Master == old.Node {
				t.Errorf("%s is master again", old.Node)
			}
		})
	}
}

// An agent that is started beside a server that a script keeps, and that another has replaced meanwhile, ends it: it was open.
func TestScriptOutlivesItsEpoch(t *testing.T) {
	s, _ := start(t, sandbox.Options{GroupHCL: "down_after = \"1s\"\nfence_after = \"2s\"\n"})
	before := counted(t, s)
	old := master(s, before)
	agent := agentOf(s, old)
	runStuckScript(t, old)
	eventually(t, "its agent says that it does not answer", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if state := now.Nodes[old.Node].State; err == nil && state != failover.StateUnknown {
			err = fmt.Errorf("it is %s", state)
		}
		return err
	})
	must(t, agent.Kill()) // and with it goes the veto of the busy
	replaced(t, s, before)
	if !old.Running() {
		t.Fatal("the server was ended while its agent was away")
	}
	must(t, agent.Start())
	awaitEnd(t, old)
}

// stuckScript runs a script that nothing but the end of the server ends, and returns when the server says so.
func stuckScript(t *testing.T, r *sandbox.Redis) {
	t.Helper()
	runStuckScript(t, r)
	eventually(t, "the script keeps the server", func(ctx context.Context) error {
		if err := r.Ping(ctx); err == nil || !strings.Contains(err.Error(), "BUSY") {
			return fmt.Errorf("PING: %w", err)
		}
		return nil
	})
}

func runStuckScript(t *testing.T, r *sandbox.Redis) {
	c := r.Client()
	t.Cleanup(func() { _ = c.Close() })
	go c.Eval(context.Background(), "redis.call('SET', 'stuck', '1') while true do end", nil) // the end of c ends it
}

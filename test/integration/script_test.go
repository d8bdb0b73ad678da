package integration

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// A master that a script keeps for longer than busy_after is replaced, and not before; whatever was ended beside it meanwhile, so
// that nobody who asks it now has ever seen what it is.
func TestScriptWithoutEnd(t *testing.T) {
	for what, meanwhile := range map[string]func(*testing.T, *sandbox.Agent){
		"nothing else":  func(*testing.T, *sandbox.Agent) {},
		"a driver anew": func(t *testing.T, a *sandbox.Agent) { must(t, syscall.Kill(driverOf(t, a), syscall.SIGKILL)) },
		"an agent anew": func(t *testing.T, a *sandbox.Agent) { must(t, a.Restart()) },
	} {
		t.Run(what, func(t *testing.T) {
			s, _ := start(t, sandbox.Options{GroupHCL: "down_after = \"1s\"\nbusy_after = \"4s\"\n", RedisConf: []string{"lua-time-limit 500"}})
			before := counted(t, s)
			old := master(s, before)
			c := old.Client()
			defer c.Close()
			go c.Eval(context.Background(), "redis.call('SET', 'stuck', '1') while true do end", nil) // the end of c ends it
			eventually(t, "the script keeps the server", func(ctx context.Context) error {
				if err := old.Ping(ctx); err == nil || !strings.Contains(err.Error(), "BUSY") {
					return fmt.Errorf("PING: %w", err)
				}
				return nil
			})
			meanwhile(t, agentOf(s, old))
			eventually(t, "the server was ended", func(context.Context) error {
				if old.Running() {
					return fmt.Errorf("%s runs", old.Name)
				}
				return nil
			})
			must(t, old.Start())
			after := steady(t, s, before.Record.Epoch+1)
			if after.Record.Master == old.Node {
				t.Errorf("%s is master again", old.Node)
			}
		})
	}
}

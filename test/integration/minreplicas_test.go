package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// The agent sets min-replicas-to-write in every run of its server, and the server's own value again when the configuration says
// nothing any more, whichever agent it was that had set it.
func TestMinReplicas(t *testing.T) {
	const line = "min_replicas_to_write = 1\n"
	s, before := start(t, sandbox.Options{GroupHCL: line, RedisConf: []string{"min-replicas-to-write 2"}})
	all := func(want string) {
		t.Helper()
		eventually(t, "every server has min-replicas-to-write "+want, func(ctx context.Context) error {
			for _, r := range s.Redises() {
				got, err := r.Client().ConfigGet(ctx, "min-replicas-to-write").Result()
				if err != nil {
					return err
				}
				if got["min-replicas-to-write"] != want {
					return fmt.Errorf("%s has %v", r.Node, got)
				}
			}
			return nil
		})
	}
	all("1")
	must(t, replica(s, before).Restart())
	all("1")
	must(t, master(s, before).Restart())
	steady(t, s, before.Record.Epoch+1)
	all("1")
	for _, r := range s.Redises() {
		file, err := os.ReadFile(r.ConfigFile())
		must(t, err)
		if !strings.Contains(string(file), "min-replicas-to-write 2") {
			t.Errorf("the file of %s lost the server's own value:\n%s", r.Node, file)
		}
	}
	for i, a := range s.Agents() {
		if i == 0 {
			must(t, a.Kill())
		}
		file, err := os.ReadFile(a.ConfigFile)
		must(t, err)
		must(t, os.WriteFile(a.ConfigFile, []byte(strings.Replace(string(file), line[:len(line)-1], "", 1)), 0o644))
		if i == 0 {
			must(t, a.Start())
		} else {
			must(t, a.Signal(syscall.SIGHUP))
		}
	}
	all("2")
}

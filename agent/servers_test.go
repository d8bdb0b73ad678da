package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
)

func TestServersOutliveTheProcessNotTheBoot(t *testing.T) {
	dir := t.TempDir()
	run := keptServer{RunID: "r1", PID: 7, Started: 3}
	kept := openServers(dir)
	if !kept.put("a", run) || kept.put("a", run) {
		t.Error("a run is new once")
	}
	own := 1
	if err := kept.keepMinReplicas("a", "r1", &own); err != nil {
		t.Fatal(err)
	}
	run.Open, run.MinReplicas = true, &own
	if !kept.put("a", keptServer{RunID: "r1", Open: true}) || kept.put("a", keptServer{RunID: "r1", Open: true}) {
		t.Error("that it is open is new once")
	}
	if moved := (keptServer{RunID: "r1", Open: true, Address: "elsewhere"}); !kept.put("a", moved) || kept.get("a").Address != "elsewhere" {
		t.Error("that it has another address is not new")
	}
	run.Address = "elsewhere"
	if err := kept.write(); err != nil {
		t.Fatal(err)
	}
	if got := openServers(dir).get("a"); !reflect.DeepEqual(got, run) {
		t.Errorf("after a restart: %+v", got)
	}
	if got := openServers(dir).get("b"); got != (keptServer{}) {
		t.Errorf("of a server never seen: %+v", got)
	}
	path := filepath.Join(dir, "servers.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	boot := openServers(dir).kept.Boot
	another := strings.Replace(string(b), strings.TrimSpace(boot), "another", 1)
	for what, content := range map[string]string{"another boot": another, "a broken file": "{"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openServers(dir).get("a"); got != (keptServer{}) {
			t.Errorf("after %s: %+v", what, got)
		}
	}
}

// A server that takes writes is not left behind by a configuration that lacks it; one that is closed, or has ended, may be.
func TestAbandonedServer(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	run := keptServer{RunID: "r1", PID: cmd.Process.Pid, Started: bootNow(), Open: true, Group: "redis", Address: "10.0.0.1:6379"}
	node := config.Node{Name: "a", Group: "redis", Address: "10.0.0.1:6379"}
	renamed, moved, regrouped := node, node, node
	renamed.Name, moved.Address, regrouped.Group = "b", "10.0.0.2:6379", "other"
	closed, ended, before := run, run, run
	before.Group, before.Address = "", ""
	closed.Open, ended.Started = false, run.Started-time.Hour
	for _, c := range []struct {
		what      string
		kept      keptServer
		nodes     []config.Node
		abandoned string
	}{
		{"as it was", run, []config.Node{node}, ""},
		{"renamed", run, []config.Node{renamed}, "a"},
		{"at another address", run, []config.Node{moved}, "a"},
		{"in another group", run, []config.Node{regrouped}, "a"},
		{"gone", run, nil, "a"},
		{"kept without an address, as it was", before, []config.Node{node}, ""},
		{"closed", closed, nil, ""},
		{"its process has ended", ended, nil, ""},
	} {
		s := &servers{kept: keptServers{Runs: map[string]keptServer{"a": c.kept}}}
		if got, _ := s.abandoned(c.nodes, bootNow()); got != c.abandoned {
			t.Errorf("%s: %q is left behind, want %q", c.what, got, c.abandoned)
		}
	}
}

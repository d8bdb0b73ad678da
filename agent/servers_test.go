package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
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

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// A deposed master whose data cannot be saved is not resynced: they stay where they are, and its agent says why, until there is a
// place for them.
func TestRescueFails(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(inTheWay, nil, 0o600))
	dir := filepath.Join(inTheWay, "rescue")
	s, state := start(t, sandbox.Options{RedisConf: []string{"save 3600 1000000"}, AgentHCL: fmt.Sprintf("rescue_dir = %q\n", dir)})
	old := master(s, state)
	var others []*sandbox.Redis
	for _, r := range s.Redises() {
		if r != old {
			others = append(others, r)
			must(t, r.Stop()) // they hear nothing for a while
		}
	}
	do(t, old, "CLIENT", "KILL", "TYPE", "replica") // what is in the buffers of a connection would arrive all the same
	for i := range 100 {
		do(t, old, "SET", fmt.Sprintf("only-here-%d", i), "x")
	}
	do(t, old, "SAVE")
	must(t, old.Kill())
	for _, r := range others {
		must(t, r.Cont())
	}
	after := steady(t, s, state.Record.Epoch+1)
	must(t, old.Start())
	agent := agentOf(s, old)
	eventually(t, "its agent has tried it twice, and says why it is not resynced", func(context.Context) error {
		log := agent.Log()
		if strings.Count(log, "cannot save the data set of a node; it is not resynced") < 2 {
			return errors.New("it has not")
		}
		if want := old.Node + " is not resynced, because its data cannot be saved: create the rescue folder: mkdir " + inTheWay + ": not a directory"; !strings.Contains(log, want) {
			return fmt.Errorf("its log lacks %q", want)
		}
		return nil
	})
	info, err := old.Info(t.Context())
	must(t, err)
	if info["role"] != "slave" || info["master_port"] != "1" {
		t.Errorf("%s is a %s of port %s, want it frozen", old.Node, info["role"], info["master_port"])
	}
	for _, key := range []string{"only-here-0", "only-here-99"} {
		if v, err := old.Do(t.Context(), "GET", key); err != nil || v != "x" {
			t.Errorf("%s is %v, %v: the data of %s were touched", key, v, err, old.Node)
		}
		if v, err := master(s, after).Do(t.Context(), "GET", key); err == nil {
			t.Errorf("%s is %v on the new master: nothing is lost here that could be saved", key, v)
		}
	}

	must(t, os.Remove(inTheWay))
	again := steady(t, s, after.Record.Epoch)
	if again.Record.Epoch != after.Record.Epoch {
		t.Errorf("the return of %s changed the epoch from %d to %d", old.Node, after.Record.Epoch, again.Record.Epoch)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.rdb"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("%d data sets were saved: %v", len(files), files)
	}
	data, err := os.ReadFile(files[0])
	must(t, err)
	for _, key := range []string{"only-here-0", "only-here-99"} {
		if !strings.Contains(string(data), key) {
			t.Errorf("%s is not in %s", key, files[0])
		}
	}
}

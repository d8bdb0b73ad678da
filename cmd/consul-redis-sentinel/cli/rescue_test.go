package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/redis"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/rescue"
)

// saveReal has the built-in driver save the data set of a real server into a folder of data sets, as the agent does.
func saveReal(t *testing.T, server *plugintest.RedisServer, dir string) rescue.File {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	driver := redis.New(nil)
	if err := driver.Connect(ctx, plugin.Server{Name: "redis-1", Address: server.Addr, PingEvery: time.Second, SilentAfter: time.Second, InfoEvery: time.Second}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = driver.Disconnect(context.WithoutCancel(ctx), "redis-1") }()
	frozen, err := driver.Freeze(ctx, "redis-1")
	if err != nil {
		t.Fatal(err)
	}
	store, err := rescue.Open(dir, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, temporary := store.Path("redis", "redis-1", 7, frozen.RunID)
	if err := driver.Save(ctx, "redis-1", temporary); err != nil {
		t.Fatal(err)
	}
	file, err := store.Commit(rescue.File{Group: "redis", Node: "redis-1", Epoch: 7, RunID: frozen.RunID, ReplID: frozen.Position.ReplID,
		FirstOffset: 1001, LastOffset: 1150, Beyond: 150, Keys: frozen.Keys}) // a server that never had a replica counts nothing
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// shell runs a script, and ends whatever it started.
func shell(t *testing.T, script string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", script)
	cmd.Env = append(append(os.Environ(), "TMPDIR="+t.TempDir()), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	group := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = group
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if left := group(); left == nil {
		t.Error("the script left a process")
	}
	if err != nil {
		t.Fatalf("%v\n%s\nof\n%s", err, &out, script)
	}
	return out.String()
}

func TestRescue(t *testing.T) {
	server := plugintest.StartRedis(t)
	dir := filepath.Join(t.TempDir(), "it's here")
	server.MustDo("SET", "order:42", "three apples", "PX", 3_600_000)
	server.MustDo("HSET", "cart:1", "pear", 2)
	server.MustDo("SET", "same", "as ever")
	file := saveReal(t, server, dir)

	code, stdout, stderr := run(t, "rescue", "list", "-dir", dir)
	if code != ExitOK || stderr != "" || !strings.Contains(stdout, file.Name) || !strings.Contains(stdout, " redis-1 ") || !strings.HasPrefix(stdout, "saved ") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	_, stdout, _ = run(t, "rescue", "list", "-dir", dir, "-json")
	var listed []rescue.File
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil || len(listed) != 1 || listed[0].SHA256 != file.SHA256 || listed[0].Keys != 3 {
		t.Errorf("%v\n%s", err, stdout)
	}
	code, stdout, stderr = run(t, "rescue", "show", "redis+redis-1+7", "-dir", dir)
	if code != ExitOK || stderr != "" || !strings.Contains(stdout, "file is    what was saved\n") || !strings.Contains(stdout, "discarded  150 bytes, from offset 1001 on") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}

	_, stdout, _ = run(t, "rescue", "show", file.Name, "-dir", dir, "-json")
	var shown rescueJSON
	if err := json.Unmarshal([]byte(stdout), &shown); err != nil || shown.Path != file.Path {
		t.Fatalf("%v\n%s", err, stdout)
	}
	t.Run("look inside", func(t *testing.T) {
		out := shell(t, strings.ReplaceAll(strings.Join(shown.LookInside, "\n"), "KEY", "cart:1"))
		for _, want := range []string{"db0:keys=3,", "order:42\n", "same\n", "hash\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not in\n%s", want, out)
			}
		}
		if err := file.Verify(); err != nil {
			t.Error(err)
		}
	})
	t.Run("the page", func(t *testing.T) { tryPage(t, file) })
	t.Run("changed", func(t *testing.T) {
		if err := os.Truncate(file.Path, file.Size-1); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"list", "-dir", dir}, {"show", file.Name, "-dir", dir}, {"show", file.Name, "-dir", dir, "-json"}} {
			code, stdout, _ := run(t, append([]string{"rescue"}, args...)...)
			if !strings.Contains(stdout, "bytes, ") || !strings.Contains(stdout, "were saved") || (args[0] == "show") != (code == ExitFailed) {
				t.Errorf("%v: exit code %d\n%s", args, code, stdout)
			}
		}
	})
}

// tryPage runs the scripts of docs/rescue.md against a new master that lacks a key and has another value of one.
func tryPage(t *testing.T, file rescue.File) {
	master := plugintest.StartRedis(t)
	master.MustDo("SET", "same", "as ever")
	master.MustDo("HSET", "cart:1", "pear", 1)
	page, err := os.ReadFile("../../../docs/rescue.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, block := range strings.Split(string(page), "\n```sh\n")[1:] {
		code, _, _ := strings.Cut(block, "\n```\n")
		script.WriteString(code + "\n")
	}
	out := shell(t, script.String(), "FILE="+file.Path, "MASTER_HOST="+master.Host(), "MASTER_PORT="+master.Info("tcp_port"))
	for _, want := range []string{"db0:keys=3,", "order:42\n", "hash\n", "three apples\n", "differs: order:42\n", "differs: cart:1\n", "OK\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, "differs: same") {
		t.Errorf("what is the same differs:\n%s", out)
	}
	if got := master.MustDo("GET", "order:42"); got != "three apples" {
		t.Errorf("brought back: %v", got)
	}
	if ttl, _ := master.MustDo("PTTL", "order:42").(int64); ttl <= 0 || ttl > 3_600_000 {
		t.Errorf("time to live: %d ms", ttl)
	}
	if err := file.Verify(); err != nil {
		t.Error(err)
	}
}

func TestRescueOfNothing(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.hcl")
	write(t, config, "agent {\n  data_dir = \""+dir+"\"\n}\ngroup \"redis\" {\n}\n")
	if err := os.Mkdir(filepath.Join(dir, "rescue"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code ExitCode
		want string
	}{
		{"list -config " + config, ExitOK, "Nothing was saved in " + filepath.Join(dir, "rescue") + ".\n"},
		{"list -json -config " + config, ExitOK, "[]\n"},
		{"list -dir " + dir + "/none", ExitFailed, "name the folder with -dir"},
		{"show x -dir " + dir, ExitFailed, `there is no such data set: "x"`},
		{"show -dir " + dir, ExitUsage, "NAME of a data set is missing"},
		{"record", ExitUsage, "GROUP is missing"},
	} {
		code, stdout, stderr := run(t, append([]string{"rescue"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: exit code %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 9999: "9999 B", 10_240: "10.0 KiB", 5 << 20: "5.0 MiB", 1000 << 20: "1.0 GiB", 1 << 62: "4.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

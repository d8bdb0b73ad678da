package cli

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain lets the test binary be the program too: the agents of a sandbox and their drivers are started from it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		c := CLI{Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Build: Build{Version: "0.0.0-test"}}
		os.Exit(int(c.Run(context.Background(), os.Args[1:])))
	}
	os.Exit(m.Run())
}

// run runs the program with its streams captured.
func run(t *testing.T, args ...string) (ExitCode, string, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := CLI{Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv, Build: Build{Version: "1.2.3", Commit: "abc", Date: "2026-01-02"}}
	code := c.Run(t.Context(), args)
	return code, stdout.String(), stderr.String()
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code ExitCode
		want string
	}{
		{"nonsense", ExitUsage, `unknown command "nonsense"`},
		{"statsu", ExitUsage, "did you mean status?"},
		{"agent", ExitUsage, "-config PATH is missing"},
		{"agent extra", ExitUsage, `takes no argument, got "extra"`},
		{"failover", ExitUsage, "GROUP is missing"},
		{"failover a b", ExitUsage, "takes one GROUP, got 2"},
		{"switchover -unknown redis", ExitUsage, "unknown flag: --unknown"},
		{"switchover redis -timeout 0s", ExitUsage, "-timeout must be more than 0"},
		{"switchover redis -timeout soon", ExitUsage, "invalid argument"},
		{"bootstrap redis", ExitUsage, "-master NODE is missing"},
		{"status a b", ExitUsage, "takes one GROUP at most, got 2"},
		{"validate", ExitUsage, "PATH is missing"},
		{"plugin", ExitUsage, "NAME of a driver is missing"},
		{"plugin mysql", ExitUsage, `no built-in driver "mysql", there is: redis`},
		{"plugin redis", ExitRefused, "the agent starts it, it does nothing by itself"},
		{"dev -nodes 0", ExitUsage, "want a number from 1 to 250"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := run(t, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
				t.Errorf("exit code %d, want %d with %q; stderr:\n%s\nstdout:\n%s", code, c.code, c.want, stderr, stdout)
			}
			if c.code == ExitUsage && !strings.Contains(stderr, "-help") {
				t.Errorf("it does not say where help is:\n%s", stderr)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"-help"}, {"--help"}, {"-h"}, {"help"}} {
		code, stdout, stderr := run(t, args...)
		if code != ExitOK || stderr != "" {
			t.Fatalf("%v: exit code %d, stderr %q", args, code, stderr)
		}
		golden(t, "help.txt", stdout)
	}
	_, stdout, _ := run(t, "switchover", "-help")
	golden(t, "help-switchover.txt", stdout)
}

func TestVersion(t *testing.T) {
	code, stdout, _ := run(t, "version")
	if code != ExitOK || !strings.HasPrefix(stdout, "consul-redis-sentinel 1.2.3\ncommit          abc of 2026-01-02\n") ||
		!strings.Contains(stdout, "plugin protocol 1\n") {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
	if _, stdout, _ = run(t, "version", "-json"); !strings.Contains(stdout, `"plugin_protocol": 1`) {
		t.Errorf("JSON:\n%s", stdout)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, stdout, stderr := run(t, "completion", shell)
		if code != ExitOK || len(stdout) < 1000 || stderr != "" {
			t.Errorf("%s: exit code %d, %d bytes, %q", shell, code, len(stdout), stderr)
		}
	}
}

func TestDoubleDashes(t *testing.T) {
	for in, want := range map[string]string{
		"-config a -to=b --json -h": "--config a --to=b --json -h",
		"status -- -config":         "status -- -config",
		"-1 - -X":                   "-1 - -X",
	} {
		if got := strings.Join(doubleDashes(strings.Fields(in)), " "); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.hcl"), filepath.Join(dir, "bad.hcl")
	write(t, good, "group \"redis\" {\n  quorum = 2\n}\n\nnode \"redis-a\" {\n  group   = \"redis\"\n  address = \"10.0.0.1:6379\"\n}\n")
	write(t, bad, "group \"redis\" {\n  qorum = 2\n}\n")
	code, stdout, stderr := run(t, "validate", good)
	if code != ExitOK || !strings.Contains(stdout, "valid: agent ") || !strings.Contains(stdout, "1 group, 1 node.") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, args := range [][]string{{"validate", bad}, {"agent", "-config", bad}, {"status", "-config", bad}} {
		code, _, stderr = run(t, args...)
		if code != ExitConfig || !strings.Contains(stderr, "bad.hcl:2") || !strings.Contains(stderr, "1 mistake:") {
			t.Errorf("%v: exit code %d\n%s", args, code, stderr)
		}
	}
}

func TestConsulOutOfReach(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"failover", "redis"}, {"pause", "redis"}, {"history", "redis"}, {"watch"}} {
		// Nothing listens on port 1, on a loopback address that is nobody's.
		code, stdout, stderr := run(t, append(args, "-http-addr", "127.3.2.1:1")...)
		if code != ExitNoConsul || stdout != "" || !strings.Contains(stderr, "127.3.2.1:1") {
			t.Errorf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
}

func TestReference(t *testing.T) {
	const path, mark = "../../../docs/cli.md", "from the commands themselves. -->\n\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, old, ok := strings.Cut(string(b), mark)
	if !ok {
		t.Fatalf("%s has no line that ends in %q", path, mark)
	}
	now := Reference()
	if *update {
		write(t, path, head+mark+now)
		return
	}
	if old != now {
		t.Errorf("%s is not what the commands say: run make generate", path)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, got)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (write it anew with -update):\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

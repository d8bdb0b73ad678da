// Package chaos runs installations of real servers on hosts that can be cut off from each other, injects faults, and judges
// what clients were told.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/test/hosts"
)

var (
	binary      string
	unsupported error
)

func TestMain(m *testing.M) {
	unsupported = hosts.Enter()
	if unsupported != nil && !errors.Is(unsupported, hosts.ErrUnsupported) {
		fmt.Fprintln(os.Stderr, unsupported)
		os.Exit(1)
	}
	dir, err := build()
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the program, or takes the one that CRS_BINARY names.
func build() (dir string, err error) {
	if binary = os.Getenv("CRS_BINARY"); binary != "" {
		return "", nil
	}
	if dir, err = os.MkdirTemp("", "crs-binary-"); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "consul-redis-sentinel")
	out, err := exec.Command("go", "build", "-o", binary, "../../cmd/consul-redis-sentinel").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return dir, nil
}

// limit is how long anything may take that a test waits for.
const limit = 2 * time.Minute

// logLines is how much of an agent's log is shown.
const logLines = 400

// start runs an installation on hosts and waits until it is whole.
func start(t *testing.T, o hosts.Options) (*hosts.Hosts, failover.State) {
	t.Helper()
	if unsupported != nil {
		t.Skip(unsupported)
	}
	o.Sandbox.Binary = binary
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	h, err := hosts.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, a := range h.Agents() {
			log := a.Log()
			if t.Failed() || os.Getenv("LOGS") != "" {
				lines := strings.Split(log, "\n")
				t.Logf("log of %s:\n%s", a.Name, strings.Join(lines[max(0, len(lines)-logLines):], "\n"))
			}
			if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
				t.Errorf("%s raced or panicked", a.Name)
			}
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, whole(t, h)
}

// whole waits until every server is as the record has it, and counted.
func whole(t *testing.T, h *hosts.Hosts) failover.State {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var state failover.State
	err := sandbox.WaitFor(ctx, "the group is whole", func(ctx context.Context) error {
		var err error
		if state, err = h.State(ctx); err != nil {
			return err
		}
		return wholeNow(ctx, h, state)
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func wholeNow(ctx context.Context, h *hosts.Hosts, state failover.State) error {
	r := state.Record
	if r == nil || r.Phase != failover.Steady {
		return fmt.Errorf("record %+v", r)
	}
	for _, redis := range h.Redises() {
		info, err := redis.Info(ctx)
		switch {
		case err != nil:
			return err
		case redis.Node == r.Master && info["role"] != "master":
			return fmt.Errorf("%s is master and has the role %s", redis.Node, info["role"])
		case redis.Node == r.Master:
		case info["master_link_status"] != "up" || info["master_host"]+":"+info["master_port"] != r.Address:
			return fmt.Errorf("%s follows %s:%s, link %s", redis.Node, info["master_host"], info["master_port"], info["master_link_status"])
		case r.Eligible[redis.Node].RunID != info["run_id"]:
			return fmt.Errorf("%s is not counted", redis.Node)
		}
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	goredis "github.com/redis/go-redis/v9"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// exampleFile is the path of a file in examples/consul.
func exampleFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../examples/consul", name))
	must(t, err)
	return path
}

// example is the text of a file in examples/consul, with words replaced: old, new, and so on. Every old one must be
// in it.
func example(t *testing.T, name string, oldnew ...string) string {
	t.Helper()
	b, err := os.ReadFile(exampleFile(t, name))
	must(t, err)
	text := string(b)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("%s no longer contains %q", name, oldnew[i])
		}
	}
	return strings.NewReplacer(oldnew...).Replace(text)
}

// exampleProgram finds a program in the environment, on PATH, or in the folders that PATH often lacks.
func exampleProgram(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path := os.Getenv(strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_BIN"); path != "" {
			return path
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		cache, _ := sandbox.CacheDir()
		for _, dir := range []string{cache, "/usr/sbin", "/usr/local/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
	}
	t.Fatalf("%s is not on this machine: run \"make test\", which gets it", names[0])
	return ""
}

// exampleProcess is a program that a test runs beside the sandbox. It ends, with its children, when the test does.
type exampleProcess struct {
	*exec.Cmd
	log string
}

func exampleStart(t *testing.T, cmd *exec.Cmd) *exampleProcess {
	t.Helper()
	p := &exampleProcess{cmd, filepath.Join(t.TempDir(), filepath.Base(cmd.Path)+".log")}
	log, err := os.Create(p.log)
	must(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	must(t, cmd.Start())
	t.Cleanup(func() {
		group := -cmd.Process.Pid
		_ = syscall.Kill(group, syscall.SIGKILL)
		_ = cmd.Wait()
		for deadline := time.Now().Add(limit); syscall.Kill(group, 0) == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("a child of %s has not ended", cmd.Path)
				return
			}
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", filepath.Base(cmd.Path), tail(p.text(), 40))
		}
	})
	return p
}

func (p *exampleProcess) text() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// exampleFence is a lease that no busy machine lets run out, so that nothing fails over but what a test kills. It
// costs no time where the master is dead and its agent says so.
const exampleFence = `fence_after = "20s"`

// exampleOptions are a sandbox whose Consul servers have the example's configuration.
func exampleOptions(t *testing.T) sandbox.Options {
	return sandbox.Options{ConsulHCL: example(t, "consul.hcl"), GroupHCL: exampleFence + "\n"}
}

// exampleConfirmed waits until the group is steady in an epoch not below the one given, and every Consul server that
// runs names the master. It asks Consul alone, so it does for Redis servers that the sandbox may not log in to.
func exampleConfirmed(t *testing.T, s *sandbox.Sandbox, epoch uint64) failover.State {
	t.Helper()
	var state failover.State
	eventually(t, fmt.Sprintf("the group is steady in epoch %d", epoch), func(ctx context.Context) error {
		var err error
		if state, err = s.State(ctx); err != nil {
			return err
		}
		r := state.Record
		if r == nil || r.Epoch < epoch || r.Phase != failover.Steady {
			return fmt.Errorf("the record is %+v", r)
		}
		if _, open := r.Open(); !open {
			return fmt.Errorf("%s has not opened", r.Master)
		}
		for _, c := range s.Consuls() {
			if !c.Running() {
				continue
			}
			found, err := c.SRV(ctx, s.MasterName())
			if err != nil {
				return err
			}
			if len(found) != 1 || found[0].Addr() != r.Address {
				return fmt.Errorf("DNS of %s answers %v, the master is %s", c.Name, found, r.Address)
			}
		}
		return nil
	})
	return state
}

// exampleRedis is an ordinary client of an address.
func exampleRedis(t *testing.T, addr, username, password string) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: addr, Username: username, Password: password, MaxRetries: -1,
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// exampleReplicas waits until that many replicas are fit to be read from.
func exampleReplicas(t *testing.T, s *sandbox.Sandbox, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d replicas are in DNS", n), func(ctx context.Context) error {
		found, err := s.Consul(0).SRV(ctx, s.ReplicaName())
		if err == nil && len(found) != n {
			err = fmt.Errorf("%d answers", len(found))
		}
		return err
	})
}

// exampleDenied is an error unless Consul refused for want of rights.
func exampleDenied(err error) error {
	var status api.StatusError
	if errors.As(err, &status) && status.Code == 403 {
		return nil
	}
	return fmt.Errorf("not refused: %v", err)
}

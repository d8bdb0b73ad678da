package plugin_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

func TestStartedByHandRefuses(t *testing.T) {
	command := plugintest.Command(t)
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err == nil || strings.TrimSpace(string(out)) != plugin.ErrStartedByHand.Error() {
		t.Fatalf("error %v, said %q", err, out)
	}
}

func TestPinnedProgramGetsNoEnvironmentOfTheAgent(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "secret-token")
	command := plugintest.Command(t)
	program, err := os.ReadFile(command[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	p, err := plugin.Start(plugintest.Timeout(t), plugin.Options{
		Command: command, SHA256: strings.ToUpper(hex.EncodeToString(sum[:])), Env: []string{"WANTED=yes"},
		Logger: plugintest.Logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := plugintest.StartRedis(t, plugintest.WithPassword("unutterable"))
	if err := p.Connect(plugintest.Timeout(t), plugintest.Settings("a", s)); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(env), "WANTED=yes") {
		t.Errorf("the environment asked for is missing: %q", env)
	}
	for _, secret := range []string{"secret-token", "unutterable"} {
		if strings.Contains(string(env), secret) || strings.Contains(string(args), secret) {
			t.Errorf("%q is in the environment or the arguments of the driver", secret)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", plugintest.Settings("a", s), plugintest.Settings("a", s), plugintest.Settings("a", s)); strings.Contains(text, "unutterable") {
		t.Errorf("a Server prints its password: %s", text)
	}
}

// agentVariable makes this test the agent of a driver, to be killed.
const agentVariable = "TEST_IS_THE_AGENT"

// TestDriverEndsWithItsAgent kills an agent, which is this test in a process of its own.
func TestDriverEndsWithItsAgent(t *testing.T) {
	if os.Getenv(agentVariable) != "" {
		d, err := plugin.Supervise(t.Context(), plugin.Options{Command: plugintest.Command(t)})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("driver %d\n", d.PID())
		select {}
	}
	agent := exec.Command(os.Args[0], "-test.run=^TestDriverEndsWithItsAgent$", "-test.v")
	tmp := t.TempDir()
	agent.Env = append(os.Environ(), agentVariable+"=1", "TMPDIR="+tmp)
	driver := startAndAwaitDriver(t, agent)
	// A signal that reaches the whole unit does not take the driver from an agent that still needs it.
	_ = syscall.Kill(driver, syscall.SIGTERM)
	_ = agent.Process.Kill()
	_ = agent.Wait()
	plugintest.Eventually(t, "the end of the driver", func() bool { return ended(driver) || zombie(driver) })
	left, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// startAndAwaitDriver starts an agent, which says what process its driver is.
func startAndAwaitDriver(t *testing.T, agent *exec.Cmd) (driver int) {
	t.Helper()
	agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill() })
	for lines := bufio.NewScanner(out); driver == 0 && lines.Scan(); {
		if pid, ok := strings.CutPrefix(lines.Text(), "driver "); ok {
			driver, _ = strconv.Atoi(pid)
		}
	}
	if driver == 0 || ended(driver) {
		t.Fatalf("driver process %d does not run", driver)
	}
	t.Cleanup(func() { _ = syscall.Kill(driver, syscall.SIGKILL) })
	return driver
}

// zombie: ended, but nobody has asked how. The one who should may be slow.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

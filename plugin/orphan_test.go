package plugin_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

// The environment of this test when it is an agent, in a process of its own: its servers, the file that it locks.
const (
	orphanServers = "TEST_ORPHAN_SERVERS"
	orphanLock    = "TEST_ORPHAN_LOCK"
)

// TestServersAreFrozenAfterTheEndOfTheirAgent ends an agent, which is this test in a process of its own, and looks at what
// its driver does then.
func TestServersAreFrozenAfterTheEndOfTheirAgent(t *testing.T) {
	if servers := os.Getenv(orphanServers); servers != "" {
		beAgent(t, strings.Fields(servers))
		return
	}
	for _, c := range []struct {
		name                     string
		inOrder, successor, late bool
	}{{"killed", false, false, false}, {"ended in order", true, false, false}, {"with a successor", false, true, false},
		{"whose lock goes after it", false, false, true}} {
		t.Run(c.name, func(t *testing.T) {
			master, replica := plugintest.StartRedis(t), plugintest.StartRedis(t)
			replica.MustDo("REPLICAOF", master.Host(), master.Port())
			lock := filepath.Join(t.TempDir(), "lock")
			agent, driver := startAgent(t, lock, master.Addr, replica.Addr)
			if c.inOrder {
				_ = agent.Process.Signal(syscall.SIGUSR1)
			} else {
				_ = agent.Process.Kill()
			}
			_ = agent.Wait()
			if c.successor || c.late {
				release, err := plugin.Lock(lock)
				if err != nil {
					t.Fatal(err)
				}
				if c.late {
					time.AfterFunc(300*time.Millisecond, release)
				} else {
					defer release()
				}
			}
			plugintest.Eventually(t, "the end of the driver", func() bool { return ended(driver) || zombie(driver) })
			if role := master.Info("role"); (role == "master") != c.successor {
				t.Errorf("the open server is a %s", role)
			}
			if port := replica.Info("master_port"); port != strconv.Itoa(master.Port()) {
				t.Errorf("the replica follows port %s", port)
			}
		})
	}
}

// beAgent connects servers until a signal ends it in order.
func beAgent(t *testing.T, servers []string) {
	if _, err := plugin.Lock(os.Getenv(orphanLock)); err != nil {
		t.Fatal(err)
	}
	d, err := plugin.Supervise(t.Context(), plugin.Options{Command: plugintest.Command(t), Lock: os.Getenv(orphanLock)})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range servers {
		s := plugintest.Settings(addr, &plugintest.RedisServer{Addr: addr})
		s.FreezeAfter = 3 * time.Second
		if err := d.Connect(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	leave := make(chan os.Signal, 1)
	signal.Notify(leave, syscall.SIGUSR1)
	fmt.Printf("driver %d\n", d.PID())
	<-leave
	d.Leave()
}

// startAgent runs beAgent in a process of its own, and tells the process of its driver.
func startAgent(t *testing.T, lock string, servers ...string) (agent *exec.Cmd, driver int) {
	t.Helper()
	agent = exec.Command(os.Args[0], "-test.run=^TestServersAreFrozenAfterTheEndOfTheirAgent$", "-test.v")
	agent.Env = append(os.Environ(), orphanServers+"="+strings.Join(servers, " "), orphanLock+"="+lock)
	return agent, startAndAwaitDriver(t, agent)
}

func TestALockIsOneProcesss(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := plugin.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plugin.Lock(path); !errors.Is(err, plugin.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	release()
	if release, err = plugin.Lock(path); err != nil {
		t.Errorf("after its release: %v", err)
	} else {
		release()
	}
}

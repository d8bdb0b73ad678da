package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// consul-template renders again on a failover, HAProxy follows, and a client that knows the address of HAProxy alone
// writes before and after; an application's environment file names the new master.
func TestExampleConsulTemplateAndHAProxyFollowAFailover(t *testing.T) {
	haproxy := exampleProgram(t, "haproxy")
	s, _ := start(t, exampleOptions(t))
	exampleReplicas(t, s, 2)
	x := exampleTemplates(t, s, haproxy)

	client := exampleRedis(t, x.master, "", "")
	state := counted(t, s)
	old := master(s, state)
	exampleWrites(t, client, "before", old)
	exampleReads(t, exampleRedis(t, x.read, "", ""), "before")
	x.environment(t, old, state.Record.Epoch)

	must(t, old.Kill())
	state = steady(t, s, state.Record.Epoch+1)
	now := master(s, state)
	if now == old {
		t.Fatalf("%s was killed and is master again", old.Node)
	}
	// The same client: its pool heals itself, the address has not changed.
	exampleWrites(t, client, "after", now)
	exampleReads(t, exampleRedis(t, x.read, "", ""), "after")
	x.environment(t, now, state.Record.Epoch)
	if v, err := client.Get(t.Context(), "before").Result(); err != nil || v != "1" {
		t.Errorf("what was written before is %q (%v)", v, err)
	}

	// Without any replica, reads go to the master.
	for _, r := range s.Redises() {
		if r != now && r != old {
			must(t, r.Kill())
		}
	}
	exampleReplicas(t, s, 0)
	eventually(t, "reads are answered by the master", func(ctx context.Context) error {
		return exampleRole(ctx, x.read, "master")
	})
	if reloads := strings.Count(x.text(t, "haproxy.reloads"), "\n"); reloads < 2 {
		t.Errorf("HAProxy was reloaded %d times", reloads)
	}
}

// exampleRendered is a running consul-template with an HAProxy that it reloads.
type exampleRendered struct{ dir, master, read string }

func exampleTemplates(t *testing.T, s *sandbox.Sandbox, haproxy string) exampleRendered {
	t.Helper()
	x := exampleRendered{dir: t.TempDir(), master: exampleAddress(t, s), read: exampleAddress(t, s)}
	file := func(name string) string { return filepath.Join(x.dir, name) }
	// A first start and every reload of HAProxy, as systemctl would do them.
	reload := fmt.Sprintf("sh -c '[ ! -s %[1]s ] || { kill -USR2 $(cat %[1]s) && echo reload >>%[2]s; }'",
		file("haproxy.pid"), file("haproxy.reloads"))
	config := example(t, "consul-template/consul-template.hcl",
		"127.0.0.1:8500", s.Consul(0).HTTPAddr(),
		"/etc/consul-template/haproxy.cfg.ctmpl", exampleFile(t, "consul-template/haproxy.cfg.ctmpl"),
		"/etc/consul-template/app.env.ctmpl", exampleFile(t, "consul-template/app.env.ctmpl"),
		"/etc/haproxy/haproxy.cfg", file("haproxy.cfg"),
		"/etc/app/redis.env", file("redis.env"),
		"systemctl reload haproxy", reload,
		"systemctl try-restart app", "sh -c 'echo restart >>"+file("app.restarts")+"'",
	)
	must(t, os.WriteFile(file("consul-template.hcl"), []byte(config), 0o600))

	render := exec.Command(exampleProgram(t, "consul-template"), "-config", file("consul-template.hcl"))
	render.Env = append(os.Environ(), "REDIS_MASTER_BIND="+x.master, "REDIS_READ_BIND="+x.read)
	exampleStart(t, render)
	eventually(t, "haproxy.cfg is rendered", func(context.Context) error {
		_, err := os.Stat(file("haproxy.cfg"))
		return err
	})
	if out, err := exec.Command(haproxy, "-c", "-f", file("haproxy.cfg")).CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Fatalf("HAProxy does not like the configuration: %v\n%s\n%s", err, out, x.text(t, "haproxy.cfg"))
	}
	// -W is how Debian's unit runs it: one process that starts a new worker for every reload.
	exampleStart(t, exec.Command(haproxy, "-W", "-p", file("haproxy.pid"), "-f", file("haproxy.cfg")))
	return x
}

func (x exampleRendered) text(t *testing.T, name string) string {
	b, err := os.ReadFile(filepath.Join(x.dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// environment waits until the application's file names the master and the application was restarted.
func (x exampleRendered) environment(t *testing.T, r *sandbox.Redis, epoch uint64) {
	t.Helper()
	want := fmt.Sprintf("REDIS_MASTER_HOST=%s\nREDIS_MASTER_PORT=%d\nREDIS_MASTER_NODE=%s\nREDIS_EPOCH=%d\n", r.IP, r.Port, r.Node, epoch)
	eventually(t, "the environment file names "+r.Node, func(context.Context) error {
		if got := x.text(t, "redis.env"); !strings.HasSuffix(got, want) {
			return fmt.Errorf("it is\n%s", got)
		}
		if x.text(t, "app.restarts") == "" {
			return errors.New("the application was not restarted")
		}
		return nil
	})
}

// exampleAddress is a free one on the first machine of the sandbox.
func exampleAddress(t *testing.T, s *sandbox.Sandbox) string {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(s.IP(0), "0"))
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// exampleWrites waits until a client's write is acknowledged, and looks that this server took it.
func exampleWrites(t *testing.T, c *goredis.Client, key string, r *sandbox.Redis) {
	t.Helper()
	eventually(t, "a write is acknowledged", func(ctx context.Context) error {
		return c.Set(ctx, key, "1", 0).Err()
	})
	if v, err := exampleRedis(t, r.Addr(), "", "").Get(t.Context(), key).Result(); err != nil || v != "1" {
		t.Fatalf("%s was acknowledged, and %s has %q (%v)", key, r.Node, v, err)
	}
}

// exampleReads waits until a client reads a key from a replica.
func exampleReads(t *testing.T, c *goredis.Client, key string) {
	t.Helper()
	eventually(t, "a replica has the write", func(ctx context.Context) error {
		if v, err := c.Get(ctx, key).Result(); err != nil || v != "1" {
			return fmt.Errorf("%q (%v)", v, err)
		}
		return exampleRole(ctx, c.Options().Addr, "slave")
	})
}

// exampleRole is nil if who answers at the address, to a new connection, has that role.
func exampleRole(ctx context.Context, addr, role string) error {
	c := goredis.NewClient(&goredis.Options{Addr: addr, MaxRetries: -1})
	defer c.Close()
	info, err := c.Info(ctx, "replication").Result()
	if err == nil && !strings.Contains(info, "role:"+role+"\r\n") {
		err = errors.New("it has another role than " + strconv.Quote(role))
	}
	return err
}

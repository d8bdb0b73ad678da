package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// firstPort is that of the first group's servers; the next group's is the next.
const firstPort = 7000

// servers are the Redis servers of a fleet, two for each group, on the first two machines.
type servers struct {
	s         *sandbox.Sandbox
	processes [][2]*sandbox.Process
}

// startServers starts the servers of all groups. Frozen ones follow nobody; the others are a master, on machine g%2,
// and its replica.
func startServers(ctx context.Context, s *sandbox.Sandbox, groups int, frozen bool) (*servers, error) {
	path, err := sandbox.FindRedis()
	if err != nil {
		return nil, err
	}
	all := &servers{s: s}
	for g := range groups {
		var pair [2]*sandbox.Process
		for _, i := range []int{g % 2, 1 - g%2} {
			name := fmt.Sprintf("redis-%d-%d", g, i+1)
			dir := filepath.Join(s.Dir, name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
			conf := []string{"bind " + s.IP(i), "port " + strconv.Itoa(firstPort+g), "dir " + dir, "replica-announce-ip " + s.IP(i),
				"protected-mode no", `save ""`, "appendonly no", "repl-diskless-sync yes", "repl-diskless-sync-delay 0",
				"repl-backlog-size 64kb", "repl-backlog-ttl 0"}
			switch {
			case frozen:
				conf = append(conf, "replicaof 127.0.0.1 1")
			case i != g%2:
				conf = append(conf, fmt.Sprintf("replicaof %s %d", s.IP(g%2), firstPort+g))
			}
			file := filepath.Join(dir, "redis.conf")
			if err := os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o644); err != nil {
				return nil, err
			}
			if pair[i], err = s.Run(i, name, path, file); err != nil {
				return nil, err
			}
		}
		all.processes = append(all.processes, pair)
	}
	for g := range groups {
		for i := range 2 {
			c := all.client(g, i)
			err := sandbox.WaitFor(ctx, all.addr(g, i)+" answers", func(ctx context.Context) error { return c.Ping(ctx).Err() })
			_ = c.Close()
			if err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// of is the server of a group on a machine.
func (s *servers) of(g, i int) *sandbox.Process { return s.processes[g][i] }

func (s *servers) addr(g, i int) string {
	return net.JoinHostPort(s.s.IP(i), strconv.Itoa(firstPort+g))
}

// client asks patiently: hundreds of servers that start together keep each other waiting.
func (s *servers) client(g, i int) *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: s.addr(g, i), Protocol: 2, DisableIdentity: true, PoolSize: 1,
		DialTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, MaxRetries: -1})
}

// follows is nil when one server of a group is master and the other follows it.
func (s *servers) follows(ctx context.Context, g int) error {
	masters, following := 0, 0
	for i := range 2 {
		c := s.client(g, i)
		info, err := c.Info(ctx, "replication").Result()
		_ = c.Close()
		if err != nil {
			return err
		}
		if strings.Contains(info, "role:master") {
			masters++
		}
		if strings.Contains(info, "master_link_status:up") {
			following++
		}
	}
	if masters != 1 || following != 1 {
		return fmt.Errorf("group %d: %d masters, %d replicas whose link is up", g, masters, following)
	}
	return nil
}

// await waits for a condition while all servers run. An agent that was kept waiting for too long may have killed one;
// here nothing starts it again, so there is nothing to wait for then.
func (s *servers) await(ctx context.Context, what string, holds func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return sandbox.WaitFor(ctx, what, func(ctx context.Context) error {
		for _, pair := range s.processes {
			for _, p := range pair {
				if !p.Running() {
					err := fmt.Errorf("%s has ended", p.Name)
					cancel(err)
					return err
				}
			}
		}
		err := holds(ctx)
		if err != nil {
			sleep(ctx, trackEvery)
		}
		return err
	})
}

// lead sees to it that Consul's leader is not on a machine that is about to die.
func (s *servers) lead(ctx context.Context, f fleet) error {
	if ours, ok := f.(*ourFleet); ok {
		return (&consulSystem{ours.s}).lead(ctx, 2)
	}
	return nil
}

// meter counts the commands that the servers get, over connections of its own that it keeps.
type meter struct {
	clients []*goredis.Client
	begun   time.Time
	before  int
}

func (s *servers) meter(ctx context.Context) (*meter, error) {
	m := &meter{}
	for g := range s.processes {
		for i := range 2 {
			m.clients = append(m.clients, s.client(g, i))
		}
	}
	if _, err := m.calls(ctx); err != nil { // connects
		m.close()
		return nil, err
	}
	var err error
	m.begun = time.Now()
	m.before, err = m.calls(ctx)
	return m, err
}

// perSecond is how many commands a second all servers together got since the meter was made.
func (m *meter) perSecond(ctx context.Context) (float64, error) {
	now, err := m.calls(ctx)
	own := len(m.clients) // the INFO before
	return float64(now-m.before-own) / time.Since(m.begun).Seconds(), err
}

// calls is the sum of all calls of all commands, but for those by which a replica follows its master.
func (m *meter) calls(ctx context.Context) (sum int, err error) {
	for _, c := range m.clients {
		info, e := c.Info(ctx, "commandstats").Result()
		err = errors.Join(err, e)
		for line := range strings.Lines(info) {
			name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
			if !ok || strings.HasPrefix(name, "replconf") || strings.HasPrefix(name, "psync") {
				continue
			}
			calls, _, _ := strings.Cut(rest, ",")
			n, e := strconv.Atoi(calls)
			err = errors.Join(err, e)
			sum += n
		}
	}
	return sum, err
}

func (m *meter) close() {
	for _, c := range m.clients {
		_ = c.Close()
	}
}

package sandbox

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// go-redis reports every server that is down to standard error; here they are meant to be.
func init() { logging.Disable() }

// redisLimit bounds the start of a Redis server without data.
const redisLimit = 30 * time.Second

// Redis is one Redis server, the node "redis-N" of the group.
type Redis struct {
	*Process
	// Node is the name that its agent gives it.
	Node string
	IP   string
	Port int

	dir string
	tls *tls.Config
}

// Addr is "ip:port".
func (r *Redis) Addr() string { return net.JoinHostPort(r.IP, strconv.Itoa(r.Port)) }

// ConfigFile is the path of its configuration, which CONFIG REWRITE changes.
func (r *Redis) ConfigFile() string { return filepath.Join(r.dir, "redis.conf") }

func (s *Sandbox) startRedis(ctx context.Context) error {
	if s.options.Nodes == 0 {
		return nil
	}
	path, err := FindRedis()
	if err != nil {
		return err
	}
	for i := range s.options.Nodes {
		r, err := s.newRedis(i, path)
		if err != nil {
			return err
		}
		s.redises = append(s.redises, r)
		if s.options.ManualRedis {
			continue
		}
		if err := r.Start(); err != nil {
			return err
		}
	}
	if s.options.ManualRedis {
		return nil
	}
	s.options.Say("%d Redis server(s) started", len(s.redises))
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
	for _, r := range s.redises {
		if err := WaitFor(ctx, r.Name+" answers", r.Ping); err != nil {
			return fmt.Errorf("%w\n%s", err, r.tail())
		}
	}
	return nil
}

func (s *Sandbox) newRedis(i int, path string) (*Redis, error) {
	name := fmt.Sprintf("redis-%d", i+1)
	dir := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := s.freePort(i, 6379)
	if err != nil {
		return nil, err
	}
	r := &Redis{Node: name, IP: s.IP(i), Port: port, dir: dir, tls: s.options.RedisTLS}
	r.Process = newProcess(s.machine(i), name, dir, path, r.ConfigFile())
	return r, os.WriteFile(r.ConfigFile(), []byte(s.redisConfig(i, r)), 0o644)
}

// redisConfig is the smallest configuration that the design asks for: the server starts frozen, a replica of a closed
// port. Nothing is saved to disk, and a replica that needs everything gets it at once.
func (s *Sandbox) redisConfig(i int, r *Redis) string {
	lines := []string{
		"bind " + r.IP,
		"port " + strconv.Itoa(r.Port),
		"dir " + r.dir,
		"replica-announce-ip " + r.IP,
		"protected-mode no",
		`save ""`,
		"appendonly no",
		"repl-diskless-sync yes",
		"repl-diskless-sync-delay 0",
		"repl-backlog-size 16mb",
		"repl-backlog-ttl 0",
	}
	if r.tls != nil {
		lines = append(lines, "port 0", "tls-port "+strconv.Itoa(r.Port), "tls-replication yes")
	}
	if !s.options.NotFrozen {
		lines = append(lines, "replicaof 127.0.0.1 1")
	}
	lines = append(lines, s.options.RedisConf...)
	if s.options.RedisConfOf != nil {
		lines = append(lines, s.options.RedisConfOf(i)...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// Client returns a client of the server, with the timeouts of a test. The caller closes it.
func (r *Redis) Client() *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: r.Addr(), Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		TLSConfig: r.tls, DialTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, DialerRetries: 1})
}

// Ping is nil when the server gives any reply.
func (r *Redis) Ping(ctx context.Context) error {
	_, err := r.Do(ctx, "PING")
	if err != nil && goredis.HasErrorPrefix(err, "NOAUTH") {
		return nil
	}
	return err
}

// Do sends one command on a connection of its own.
func (r *Redis) Do(ctx context.Context, args ...any) (any, error) {
	c := r.Client()
	defer c.Close()
	return c.Do(ctx, args...).Result()
}

// Info reads INFO into a map.
func (r *Redis) Info(ctx context.Context) (map[string]string, error) {
	v, err := r.Do(ctx, "INFO", "everything")
	if err != nil {
		return nil, fmt.Errorf("INFO of %s: %w", r.Node, err)
	}
	text, _ := v.(string)
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[k] = v
		}
	}
	return info, nil
}

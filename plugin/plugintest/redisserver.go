// Package plugintest holds what tests need to run real servers, and the harness that every driver must pass.
package plugintest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// patience is the limit of every wait for a condition: far more than anything takes on a busy machine.
const patience = 30 * time.Second

// RedisServer is a real redis-server run for a test, with a directory and a configuration file of its own. It
// ends with the test, whatever state it is in.
type RedisServer struct {
	// Addr is "host:port", Dir the server's directory (its configuration file is Dir/redis.conf).
	Addr, Dir string
	// Password is what WithPassword set.
	Password string

	t       testing.TB
	options redisOptions

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

type redisOptions struct {
	binary, addr, password, extra string
	noConfigFile, frozen          bool
}

// RedisOption changes how StartRedis runs the server.
type RedisOption func(*redisOptions)

// WithConfig adds lines to the configuration file.
func WithConfig(lines ...string) RedisOption {
	return func(o *redisOptions) { o.extra += strings.Join(lines, "\n") + "\n" }
}

// WithPassword sets requirepass and masterauth.
func WithPassword(password string) RedisOption {
	return func(o *redisOptions) { o.password = password }
}

// WithAddr chooses the address instead of a free one.
func WithAddr(addr string) RedisOption { return func(o *redisOptions) { o.addr = addr } }

// WithBinary runs another program than redis-server, such as valkey-server.
func WithBinary(path string) RedisOption { return func(o *redisOptions) { o.binary = path } }

// WithoutConfigFile gives the settings as arguments, so that CONFIG REWRITE cannot work.
func WithoutConfigFile() RedisOption { return func(o *redisOptions) { o.noConfigFile = true } }

// Frozen starts the server frozen, as the design wants every server to start.
func Frozen() RedisOption { return func(o *redisOptions) { o.frozen = true } }

// StartRedis runs a server on a free address of 127.0.0.0/8 and returns when it answers.
func StartRedis(t testing.TB, opts ...RedisOption) *RedisServer {
	t.Helper()
	o := redisOptions{binary: "redis-server"}
	for _, opt := range opts {
		opt(&o)
	}
	if o.addr == "" {
		o.addr = FreeAddr(t)
	}
	s := &RedisServer{Addr: o.addr, Dir: t.TempDir(), Password: o.password, t: t, options: o}
	s.writeConfig()
	t.Cleanup(s.Kill)
	s.start()
	return s
}

// FreeAddr returns an address of 127.0.0.0/8 on which nothing listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	// A random host keeps tests that run at the same time out of each other's way, so that a port found
	// free is still free when the server binds it.
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(255), 1+rand.IntN(254))
	// A port below those that the kernel gives to outgoing connections.
	addr := net.JoinHostPort(host, strconv.Itoa(10000+rand.IntN(20000)))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("find a free port on %s: %v", host, err)
	}
	defer l.Close()
	return addr
}

// PID is the process id of the running server.
func (s *RedisServer) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Host and Port are the parts of Addr.
func (s *RedisServer) Host() string {
	host, _, _ := net.SplitHostPort(s.Addr)
	return host
}

// Port is the port of Addr.
func (s *RedisServer) Port() int {
	_, port, _ := net.SplitHostPort(s.Addr)
	n, _ := strconv.Atoi(port)
	return n
}

// ConfigFile is the path of the server's configuration file.
func (s *RedisServer) ConfigFile() string { return filepath.Join(s.Dir, "redis.conf") }

// Kill ends the server with SIGKILL and returns when it is gone. A server that is gone stays so.
func (s *RedisServer) Kill() { s.end(syscall.SIGKILL) }

// Shutdown ends the server with SIGTERM (it saves first, when it is set to) and returns when it is gone.
func (s *RedisServer) Shutdown() { s.end(syscall.SIGTERM) }

// Stop halts the server with SIGSTOP; Cont lets it go on.
func (s *RedisServer) Stop() { Halt(s.t, s.PID()) }

// Halt stops a process with SIGSTOP and waits until every thread of it stands still: on a busy machine one goes on for a
// moment.
func Halt(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatalf("stop process %d: %v", pid, err)
	}
	Eventually(t, fmt.Sprintf("process %d to stand still", pid), func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, each := range threads {
			stat, err := os.ReadFile(each)
			_, rest, _ := strings.Cut(string(stat), ") ")
			if err == nil && !strings.HasPrefix(rest, "T") {
				return false
			}
		}
		return err == nil && len(threads) > 0
	})
}

// Cont lets a stopped server go on.
func (s *RedisServer) Cont() { s.signal(syscall.SIGCONT) }

// Restart ends the server with SIGKILL if it runs and starts it on the same address with its own configuration
// file, as a supervisor would.
func (s *RedisServer) Restart() {
	s.t.Helper()
	s.Kill()
	s.start()
}

// Client returns a client of the server that is closed at the end of the test.
func (s *RedisServer) Client() *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr, Password: s.Password, Protocol: 2, DisableIdentity: true,
		DialerRetries: 1, MaxRetries: 3})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Do sends one command on a connection of its own and returns the reply, an error reply as error.
func (s *RedisServer) Do(args ...any) (any, error) {
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr, Password: s.Password, Protocol: 2, DisableIdentity: true,
		DialerRetries: 1, MaxRetries: -1})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.Do(ctx, args...).Result()
}

// MustDo is Do that ends the test on an error.
func (s *RedisServer) MustDo(args ...any) any {
	s.t.Helper()
	reply, err := s.Do(args...)
	if err != nil {
		s.t.Fatalf("%v on %s: %v", args, s.Addr, err)
	}
	return reply
}

// Info reads one field of INFO, empty when it is absent.
func (s *RedisServer) Info(field string) string {
	s.t.Helper()
	text, _ := s.MustDo("INFO").(string)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	return ""
}

func (s *RedisServer) writeConfig() {
	s.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "bind %s\nport %d\ndir %s\n", s.Host(), s.Port(), s.Dir)
	// Replicas are to attach within milliseconds, and nothing is to be written that a test did not ask for.
	b.WriteString("save \"\"\nappendonly no\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-backlog-size 16mb\n")
	if s.Password != "" {
		fmt.Fprintf(&b, "requirepass %s\nmasterauth %s\n", s.Password, s.Password)
	}
	if s.options.frozen {
		b.WriteString("replicaof 127.0.0.1 1\n")
	}
	b.WriteString(s.options.extra)
	if err := os.WriteFile(s.ConfigFile(), []byte(b.String()), 0o600); err != nil {
		s.t.Fatalf("write configuration of redis-server: %v", err)
	}
}

func (s *RedisServer) start() {
	s.t.Helper()
	cmd := exec.Command(s.options.binary, s.ConfigFile())
	if s.options.noConfigFile {
		cmd = exec.Command(s.options.binary, "-")
		config, err := os.ReadFile(s.ConfigFile())
		if err != nil {
			s.t.Fatalf("read configuration of redis-server: %v", err)
		}
		cmd.Stdin = strings.NewReader(string(config))
	}
	logFile, err := os.OpenFile(filepath.Join(s.Dir, "redis.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatalf("open log of redis-server: %v", err)
	}
	defer logFile.Close()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Dir = s.Dir
	// A test binary that dies without its cleanup (a panic, a timeout) takes its servers with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", s.options.binary, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	s.awaitReply(done)
}

// awaitReply returns when the server gives any reply.
func (s *RedisServer) awaitReply(done <-chan struct{}) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		select {
		case <-done:
			text, _ := os.ReadFile(filepath.Join(s.Dir, "redis.log"))
			s.t.Fatalf("redis-server on %s ended at its start:\n%s", s.Addr, text)
		default:
		}
		conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte("PING\r\n"))
		line, err := bufio.NewReader(conn).ReadString('\n')
		_ = conn.Close()
		if err == nil && !strings.HasPrefix(line, "-LOADING") {
			return
		}
	}
	s.t.Fatalf("redis-server on %s gave no reply within %v", s.Addr, patience)
}

func (s *RedisServer) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

func (s *RedisServer) end(sig syscall.Signal) {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(sig)
	_ = cmd.Process.Signal(syscall.SIGCONT) // a stopped process takes no other signal than SIGKILL
	<-done
}

// Eventually waits until what is true, and ends the test when that takes longer than 30 seconds.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	if !within(is) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

package catalogtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// Server is one Consul agent, in server or client mode, in a process of its own. Its addresses stay the same over
// restarts.
type Server struct {
	// HTTPAddr and DNSAddr are "host:port".
	HTTPAddr, DNSAddr string
	// Node is the agent's name in Consul.
	Node string

	t                         testing.TB
	addr, serf, config, token string
	dir                       string
	ports                     []int

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// Binary is the consul to run: $CONSUL_BIN, the one in PATH, or the one that the Makefile has built.
func Binary() (string, error) {
	if path := os.Getenv("CONSUL_BIN"); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("consul"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "consul-redis-sentinel", "bin", "consul")
	if _, err := os.Stat(path); err != nil {
		return "", errors.New("no consul: set CONSUL_BIN, put consul into PATH, or run make to have it built")
	}
	return path, nil
}

// Start starts the process, for the first time or after Kill.
func (s *Server) Start() {
	s.t.Helper()
	consul, err := Binary()
	if err != nil {
		s.t.Fatal(err)
	}
	data := filepath.Join(s.dir, "data")
	file := filepath.Join(s.dir, "consul.hcl")
	if err := os.MkdirAll(data, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(consul, "agent", "-config-file", file, "-data-dir", data)
	cmd.Stdout, cmd.Stderr = log, log
	// A test binary that is killed runs no clean-up; its servers end with it all the same.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", consul, err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	s.mu.Lock()
	first := s.exited == nil
	s.cmd, s.exited = cmd, exited
	s.mu.Unlock()
	if first {
		s.t.Cleanup(func() {
			s.Kill()
			if s.t.Failed() {
				s.t.Logf("end of the log of %s:\n%s", s.Node, tail(filepath.Join(s.dir, "log"), 40))
			}
		})
	}
}

// PID is the process id, 0 while the server does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	select {
	case <-s.exited:
		return 0
	default:
		return s.cmd.Process.Pid
	}
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (s *Server) Kill() {
	if s.signal(syscall.SIGKILL) {
		<-s.exited
	}
}

// Stop suspends the process (SIGSTOP): its connections stay and nothing answers. Continue goes on.
func (s *Server) Stop() { s.signal(syscall.SIGSTOP) }

// Continue lets a stopped process go on.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

// Restart ends the process with SIGKILL and starts it again on the same data and addresses.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.Start()
}

// Wipe removes the data directory of a server that does not run.
func (s *Server) Wipe() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		s.t.Fatal(err)
	}
}

// Client is a Consul client for this server alone.
func (s *Server) Client() *api.Client {
	s.t.Helper()
	c, err := api.NewClient(&api.Config{
		Address: s.HTTPAddr, Token: s.token, Transport: api.DefaultNonPooledConfig().Transport,
		WaitTime: 5 * time.Second,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *Server) signal(sig syscall.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil && s.cmd.Process.Signal(sig) == nil
}

// tail returns the last n lines of a file.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

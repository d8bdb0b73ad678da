package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// limit is far more than anything here takes on a busy machine.
const limit = 2 * time.Minute

func start(t *testing.T, o Options) *Sandbox {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestServersRunAndEndWithoutATrace(t *testing.T) {
	s := start(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	for _, r := range s.Redises() {
		info, err := r.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info["role"] != "slave" || info["master_port"] != "1" {
			t.Errorf("%s does not start frozen: role %q of port %q", r.Node, info["role"], info["master_port"])
		}
	}
	leader, err := s.ConsulLeader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// A service registered with one server is in the DNS of another.
	err = s.Consul(0).Client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "thing", Port: 77, Address: s.IP(1)})
	if err != nil {
		t.Fatal(err)
	}
	err = WaitFor(ctx, "the service is in DNS", func(ctx context.Context) error {
		srv, err := s.Consul(2).SRV(ctx, "thing.service.consul")
		if err != nil {
			return err
		}
		if len(srv) != 1 || srv[0].Addr() != s.IP(1)+":77" {
			return errors.New("not yet")
		}
		a, err := s.Consul(2).A(ctx, "thing.service.consul")
		if err != nil || len(a) != 1 || a[0] != s.IP(1) {
			return errors.New("no A record yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	// Killed, it is gone; another server leads; restarted, it is back.
	if err := s.Consul(leader).Kill(); err != nil {
		t.Fatal(err)
	}
	err = WaitFor(ctx, "another server leads", func(ctx context.Context) error {
		now, err := s.ConsulLeader(ctx)
		if err == nil && now == leader {
			err = errors.New("the old one still leads")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Consul(leader).Start(); err != nil {
		t.Fatal(err)
	}

	pids := processes(s)
	if len(pids) != 6 {
		t.Fatalf("%d processes, want 6", len(pids))
	}
	// Close ends a stopped process as well.
	if err := s.Redis(1).Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s (process %d) outlived the sandbox", name, pid)
		}
	}
	for _, dir := range []string{s.Dir, s.tmp} {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind", dir)
		}
	}
}

func TestSandboxesDoNotMeet(t *testing.T) {
	a := start(t, Options{Consuls: 1, Nodes: 1})
	b := start(t, Options{Consuls: 1, Nodes: 1})
	if a.Redis(0).Addr() == b.Redis(0).Addr() || a.Consul(0).HTTPAddr() == b.Consul(0).HTTPAddr() {
		t.Fatal("two sandboxes share an address")
	}
	// Even on the same network, which dev uses, they find other ports.
	c := start(t, Options{Consuls: 1, Nodes: 1, Net: a.net.prefix})
	if a.Redis(0).Addr() == c.Redis(0).Addr() || a.Consul(0).HTTPAddr() == c.Consul(0).HTTPAddr() {
		t.Fatal("two sandboxes share an address")
	}
}

func TestChildrenOfAKilledProcessEndWithTheSandbox(t *testing.T) {
	dir := t.TempDir()
	p := newProcess(spawn, "parent", dir, "/bin/sh", "-c", "sleep 1000 & echo $!; wait")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := WaitFor(ctx, "the child runs", func(context.Context) error {
		if strings.TrimSpace(p.Log()) == "" {
			return errors.New("no child yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-p.groups[0], 0); !errors.Is(err, syscall.ESRCH) {
		t.Error("the child outlived the end of its parent")
	}
}

func TestADirectoryInUseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Fatalf("want a refusal, got %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("the file is gone")
	}
}

func TestAgentConfiguration(t *testing.T) {
	s := &Sandbox{options: Options{Consuls: 1, Nodes: 1, Witnesses: 2, GroupHCL: "down_after = \"1s\"\n"}}
	s.options.defaults()
	s.consuls = []*Consul{{IP: "127.9.9.1", HTTPPort: 8500}}
	s.redises = []*Redis{{Node: "redis-1", IP: "127.9.9.1", Port: 6379}}
	node := s.agentConfig(0, "agent-1", &Agent{DataDir: "/d", Beside: s.consuls[0]})
	want := `agent {
  name = "agent-1"
  data_dir = "/d"
}

consul {
  address = "127.9.9.1:8500"
}

group "redis" {
  bootstrap_expect = 1
  quorum = 2
  down_after = "1s"
}

node "redis-1" {
  group = "redis"
  address = "127.9.9.1:6379"
}

`
	if node != want {
		t.Errorf("got:\n%s\nwant:\n%s", node, want)
	}
	witness := s.agentConfig(1, "agent-2", &Agent{DataDir: "/d", Beside: s.consuls[0]})
	if strings.Contains(witness, "node ") {
		t.Errorf("a witness has a node:\n%s", witness)
	}
}

func processes(s *Sandbox) map[string]int {
	pids := map[string]int{}
	for _, c := range s.Consuls() {
		pids[c.Name] = c.PID()
	}
	for _, r := range s.Redises() {
		pids[r.Name] = r.PID()
	}
	for _, a := range s.Agents() {
		pids[a.Name] = a.PID()
	}
	return pids
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// ourFleet is many groups with three agents, each beside a Consul server; the third has no nodes and only votes.
type ourFleet struct {
	s       *sandbox.Sandbox
	redises *servers
	agents  []*sandbox.Process
	catalog *catalog.Catalog
}

// calmFor is how long Consul must be left alone until everything has settled.
const calmFor = 5 * time.Second

func startOurFleet(ctx context.Context, o *options, groups int, c *Cost) (f *ourFleet, err error) {
	s, err := sandbox.Start(ctx, sandbox.Options{Nodes: -1, ConsulHCL: consulHCL + "\n" + o.ConsulHCL})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	f = &ourFleet{s: s}
	if f.redises, err = startServers(ctx, s, groups, true); err != nil {
		return nil, err
	}
	if f.catalog, err = s.Catalog(2); err != nil {
		return nil, err
	}
	if c.ConsulIdle, err = f.consulWrites(ctx, idleWindow); err != nil {
		return nil, err
	}
	return f, f.startAgents(o.Binary, groups)
}

func (f *ourFleet) startAgents(binary string, groups int) error {
	for i := range machines {
		name := fmt.Sprintf("agent-%d", i+1)
		dir := filepath.Join(f.s.Dir, name)
		if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
			return err
		}
		if err := f.configure(i, groups, "info"); err != nil {
			return err
		}
		// env becomes the program, so the process is the agent's. What a killed agent leaves goes with the sandbox.
		p, err := f.s.Run(i, name, "/usr/bin/env", "TMPDIR="+filepath.Join(dir, "tmp"), binary, "agent", "-config", f.config(i))
		if err != nil {
			return err
		}
		f.agents = append(f.agents, p)
	}
	return nil
}

func (f *ourFleet) config(i int) string {
	return filepath.Join(f.s.Dir, fmt.Sprintf("agent-%d", i+1), "agent.hcl")
}

// configure writes an agent's configuration. When all servers are empty the first node by name becomes master.
func (f *ourFleet) configure(i, groups int, logLevel string) error {
	var b strings.Builder
	name := fmt.Sprintf("agent-%d", i+1)
	fmt.Fprintf(&b, "agent {\n  name = %q\n  data_dir = %q\n  log_level = %q\n  listen = %q\n}\n\n",
		name, filepath.Join(f.s.Dir, name, "data"), logLevel, net.JoinHostPort(f.s.IP(i), "8799"))
	var fallbacks []string
	for _, j := range others(i) {
		fallbacks = append(fallbacks, fmt.Sprintf("%q", f.s.Consul(j).HTTPAddr()))
	}
	fmt.Fprintf(&b, "consul {\n  address = %q\n  addresses = [%s]\n}\n\n", f.s.Consul(i).HTTPAddr(), strings.Join(fallbacks, ", "))
	for g := range groups {
		fmt.Fprintf(&b, "group %q {\n  quorum = 2\n  bootstrap_expect = 2\n  down_after = %q\n}\n\n", groupName(g), costDownAfter)
		if i < 2 {
			letter := "a"
			if i != g%2 {
				letter = "b"
			}
			fmt.Fprintf(&b, "node \"%[1]s-%[2]s\" {\n  group = %[1]q\n  address = %[3]q\n}\n\n", groupName(g), letter, f.redises.addr(g, i))
		}
	}
	return os.WriteFile(f.config(i), []byte(b.String()), 0o644)
}

func (f *ourFleet) servers() *servers { return f.redises }

func (f *ourFleet) settle(ctx context.Context) error {
	for g := range f.redises.processes {
		err := f.redises.await(ctx, groupName(g)+" is whole", func(ctx context.Context) error { return f.whole(ctx, g) })
		if err != nil {
			return err
		}
	}
	return f.redises.await(ctx, "Consul has heard of everything", f.calm)
}

// calm is nil when nothing is written to Consul any more: its agents pass on what their checks said with a delay.
func (f *ourFleet) calm(ctx context.Context) error {
	writes, err := f.consulWrites(ctx, calmFor)
	if err == nil && writes > 1 {
		err = fmt.Errorf("%.0f entries a second are written", writes)
	}
	return err
}

// whole is nil when a group has a master that is open, and a replica that follows it and may take over.
func (f *ourFleet) whole(ctx context.Context, g int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	state, err := f.catalog.ReadGroup(ctx, groupName(g), true)
	if err != nil {
		return err
	}
	r := state.Record
	if r == nil {
		return errors.New("it has no record yet")
	}
	if _, open := r.Open(); !open {
		return fmt.Errorf("%s is not open yet", r.Master)
	}
	counted := 0
	for name, m := range r.Eligible {
		if m.RunID != "" && m.RunID == state.Nodes[name].RunID {
			counted++
		}
	}
	if counted != 1 {
		return fmt.Errorf("%d replicas are counted", counted)
	}
	return f.redises.follows(ctx, g)
}

func (f *ourFleet) finder(g int, ask []int) finder {
	var servers []string
	for _, i := range ask {
		servers = append(servers, f.s.Consul(i).DNSAddr())
	}
	return dnsFinder(loopback, groupName(g)+"-master.service.consul", servers)
}

func (f *ourFleet) parts(i int) map[string]int {
	agent := f.agents[i].PID()
	return map[string]int{"agent": agent, "driver": childOf(agent), "consul": f.s.Consul(i).PID()}
}

func (f *ourFleet) watchers(i int) []*sandbox.Process {
	return []*sandbox.Process{f.agents[i], f.s.Consul(i).Process}
}

func (f *ourFleet) logs() string {
	var all []string
	for _, a := range f.agents {
		lines := strings.Split(strings.TrimSpace(a.Log()), "\n")
		all = append(all, lines[max(0, len(lines)-15):]...)
	}
	return strings.Join(all, "\n")
}

func (f *ourFleet) close() error { return f.s.Close() }

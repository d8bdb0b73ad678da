// Package sandbox runs a whole small installation on this machine: real Consul servers, real Redis servers and
// agents of this project, each "machine" on a loopback address of its own. The command "dev", the demo and the
// integration tests are built on it. It needs Linux: nothing else gives the whole of 127.0.0.0/8 to everyone.
package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// Options say what a sandbox consists of. The zero value is 3 Consul servers and 3 Redis nodes without agents.
type Options struct {
	// Consuls is the number of Consul servers, 3 by default.
	Consuls int
	// Nodes is the number of Redis servers, each with an agent of its own; 3 by default, -1 for none.
	Nodes int
	// Witnesses is the number of agents beyond those: they have no node.
	Witnesses int
	// Binary is the consul-redis-sentinel that runs as agent. Empty starts no agents.
	Binary string
	// ManualAgents leaves the agents to be started by the caller, with Agent(i).Start.
	ManualAgents bool
	// ManualRedis leaves the Redis servers to be started by the caller, with Redis(i).Start.
	ManualRedis bool

	// Group is the name of the group, "redis" by default.
	Group string
	// GroupHCL, AgentHCL and ConsulBlockHCL are lines put into the blocks of those names of every agent's
	// configuration. NodeHCL does so for the node of machine i.
	GroupHCL, AgentHCL, ConsulBlockHCL string
	NodeHCL                            func(i int) string
	// TopHCL are lines put at the end of every agent's configuration: further groups, nodes and drivers.
	TopHCL func(i int) string
	// Fallbacks lets every agent use the other Consul servers while its own does not answer.
	Fallbacks bool
	// AgentEnv are further environment variables of the agents, "NAME=value".
	AgentEnv []string

	// RedisConf are lines put at the end of every Redis configuration; RedisConfOf does so for machine i.
	RedisConf   []string
	RedisConfOf func(i int) []string
	// RedisTLS has the Redis servers listen with TLS and nothing else, with the certificates that RedisConf names; the sandbox
	// itself connects with this.
	RedisTLS *tls.Config
	// NotFrozen starts the Redis servers as masters instead of frozen, as an installation that knows nothing
	// of this project would.
	NotFrozen bool
	// ConsulHCL is a further configuration of every Consul server.
	ConsulHCL string
	// ConsulToken is the ACL token that the sandbox itself uses.
	ConsulToken string

	// Dir is where everything is kept; it must not exist or be empty. By default a temporary directory. Either
	// way it is removed by Close, unless KeepDir is set.
	Dir     string
	KeepDir bool
	// Net is the first three numbers of the machines' addresses, such as "127.0.0". By default a free one is
	// chosen at random, so that any number of sandboxes may run at a time.
	Net string
	// Enter, if set, runs f where machine i is: in a network namespace of its own, whose address Net gives, and on a
	// thread that lives as long as the sandbox. Without it every machine is an address of this one.
	Enter func(i int, f func() error) error
	// Say, if set, is told each thing that is started.
	Say func(format string, args ...any)
}

func (o *Options) defaults() {
	if o.Consuls == 0 {
		o.Consuls = 3
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	o.Nodes = max(o.Nodes, 0)
	if o.Group == "" {
		o.Group = "redis"
	}
	if o.Enter == nil {
		o.Enter = func(_ int, f func() error) error { return spawn(f) }
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
}

// agents is how many agents there are: one for each node, and the witnesses.
func (o *Options) agents() int { return o.Nodes + o.Witnesses }

// machine runs things on machine i.
func (s *Sandbox) machine(i int) func(f func() error) error {
	return func(f func() error) error { return s.options.Enter(i, f) }
}

// Sandbox is a running installation. Its parts are numbered from 0; part i of each kind runs on machine i, whose
// address is IP(i).
type Sandbox struct {
	// Dir holds the configuration, data and log of every process.
	Dir string

	options Options
	net     network
	tmp     string
	consuls []*Consul
	redises []*Redis
	agents  []*Agent
	more    []*Process // see Run

	// catalogs are kept for their connections: Consul takes 200 of each client.
	catalogs struct {
		sync.Mutex
		of map[int]*catalog.Catalog
	}

	closing sync.Once
	closed  error
}

// Start runs a sandbox and returns when Consul has a leader and all its servers, every Redis answers, and the agents
// have been started. On an error nothing is left behind.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	o.defaults()
	s := &Sandbox{options: o}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sandbox) start(ctx context.Context) error {
	if err := s.makeDir(); err != nil {
		return err
	}
	var err error
	if s.net, err = claimNetwork(s.options.Net); err != nil {
		return err
	}
	if err := s.startConsul(ctx); err != nil {
		return err
	}
	if err := s.startRedis(ctx); err != nil {
		return err
	}
	return s.startAgents()
}

// makeDir makes the directories. The agents get one of their own for temporary files, since one that is killed cannot
// remove them; its path is short because the sockets in it may have no more than 107 characters.
func (s *Sandbox) makeDir() (err error) {
	if s.tmp, err = os.MkdirTemp("", "crs-"); err != nil {
		return fmt.Errorf("make a directory for temporary files: %w", err)
	}
	if s.options.Dir == "" {
		dir, err := os.MkdirTemp("", "consul-redis-sentinel-")
		if err != nil {
			return fmt.Errorf("make the sandbox's directory: %w", err)
		}
		s.Dir = dir
		return nil
	}
	dir, err := filepath.Abs(s.options.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the sandbox's directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: a sandbox removes its directory, so it must have one of its own", dir)
	}
	s.Dir = dir
	return nil
}

// IP is the address of machine i.
func (s *Sandbox) IP(i int) string { return s.net.ip(i) }

// Group is the name of the group that the nodes belong to.
func (s *Sandbox) Group() string { return s.options.Group }

// Consul is the Consul server of machine i.
func (s *Sandbox) Consul(i int) *Consul { return s.consuls[i] }

// Redis is the Redis server of machine i.
func (s *Sandbox) Redis(i int) *Redis { return s.redises[i] }

// Agent is the agent of machine i.
func (s *Sandbox) Agent(i int) *Agent { return s.agents[i] }

// Consuls, Redises and Agents are all parts of a kind.
func (s *Sandbox) Consuls() []*Consul { return s.consuls }

// Redises are all Redis servers.
func (s *Sandbox) Redises() []*Redis { return s.redises }

// Agents are all agents.
func (s *Sandbox) Agents() []*Agent { return s.agents }

// Close ends every process that the sandbox started, whatever state it is in, and returns when they and the
// directory are gone. It may be called more than once.
func (s *Sandbox) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Sandbox) close() error {
	var all []*Process
	for _, a := range s.agents { // first, so that they see nothing of the rest going
		all = append(all, a.Process)
	}
	for _, r := range s.redises {
		all = append(all, r.Process)
	}
	for _, c := range s.consuls {
		all = append(all, c.Process)
	}
	all = append(all, s.more...)
	var errs []error
	for _, p := range all {
		errs = append(errs, p.end())
	}
	s.net.release()
	dirs := []string{s.tmp}
	if !s.options.KeepDir {
		dirs = append(dirs, s.Dir)
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, fmt.Errorf("remove the sandbox's directory: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Package catalogtest starts real Consul clusters for tests: every server on an address of its own in
// 127.0.0.0/8, ended by its process id when the test ends.
package catalogtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// startLimit is how long a cluster may take to have a leader and every agent in its catalog. It is generous
// because tests share few cores.
const startLimit = 90 * time.Second

// Cluster is a running Consul datacenter.
type Cluster struct {
	// Servers are the Consul servers.
	Servers []*Server
	// Clients are Consul agents in client mode, as on a machine that runs Redis; see WithClients.
	Clients []*Server
}

type options struct {
	clients int
	config  string
	token   string
}

// Option changes what StartConsul starts.
type Option func(*options)

// WithClients adds n Consul agents in client mode.
func WithClients(n int) Option { return func(o *options) { o.clients = n } }

// WithConfig adds HCL to the configuration of every agent.
func WithConfig(hcl string) Option { return func(o *options) { o.config += hcl + "\n" } }

// WithToken is the ACL token with which readiness is looked at; its rights must cover the catalog.
func WithToken(token string) Option { return func(o *options) { o.token = token } }

// StartConsul starts n Consul servers and waits until they have a leader and know each other. Everything is
// ended and removed when the test ends.
func StartConsul(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	dir := t.TempDir()
	base := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250))
	c := &Cluster{}
	var join []string
	for i := range n + o.clients {
		s := &Server{t: t, Node: fmt.Sprintf("server-%d", i+1), addr: fmt.Sprint(base, 10+i), token: o.token}
		if i < n {
			c.Servers = append(c.Servers, s)
		} else {
			s.Node = fmt.Sprintf("client-%d", i-n+1)
			c.Clients = append(c.Clients, s)
		}
		s.dir = filepath.Join(dir, s.Node)
		ports := freePorts(t, s.addr, 4)
		s.HTTPAddr, s.DNSAddr = hostPort(s.addr, ports[0]), hostPort(s.addr, ports[1])
		s.serf = hostPort(s.addr, ports[2])
		s.ports = ports
		if i < n {
			join = append(join, fmt.Sprintf("%q", s.serf))
		}
	}
	for _, s := range c.all() {
		mode := "server = false"
		if !strings.HasPrefix(s.Node, "client") {
			mode = fmt.Sprintf("server = true\nbootstrap_expect = %d", n)
		}
		s.config = fmt.Sprintf(`%s
node_name = %q
bind_addr = %q
client_addr = %q
retry_join = [%s]
retry_interval = "200ms"
ports { http = %d, dns = %d, serf_lan = %d, server = %d, serf_wan = -1, grpc = -1, grpc_tls = -1 }
performance { raft_multiplier = 1 }
connect { enabled = false }
disable_update_check = true
leave_on_terminate = false
skip_leave_on_interrupt = true
log_level = "info"
%s`, mode, s.Node, s.addr, s.addr, strings.Join(join, ", "), s.ports[0], s.ports[1], s.ports[2], s.ports[3], o.config)
		s.Start()
	}
	c.WaitReady()
	return c
}

func (c *Cluster) all() []*Server { return append(append([]*Server(nil), c.Servers...), c.Clients...) }

// WaitReady waits until there is a leader and every agent is in the catalog and healthy, as seen by all agents.
func (c *Cluster) WaitReady() {
	for _, s := range c.all() {
		s.t.Helper()
		Eventually(s.t, startLimit, func() error {
			q := &api.QueryOptions{RequireConsistent: true}
			checks, _, err := s.Client().Health().State("passing", q)
			if err != nil {
				return fmt.Errorf("%s is not ready: %w", s.Node, err)
			}
			alive := 0
			for _, check := range checks {
				if check.CheckID == "serfHealth" {
					alive++
				}
			}
			if want := len(c.all()); alive < want {
				return fmt.Errorf("%s sees %d healthy agents, want %d", s.Node, alive, want)
			}
			return nil
		})
	}
}

// Leader is the server that leads the cluster now.
func (c *Cluster) Leader() *Server {
	t := c.Servers[0].t
	t.Helper()
	var leader *Server
	Eventually(t, startLimit, func() error {
		for _, asked := range c.Servers {
			if asked.PID() == 0 {
				continue
			}
			addr, err := asked.Client().Status().Leader()
			if err != nil || addr == "" {
				continue
			}
			for _, s := range c.Servers {
				if addr == hostPort(s.addr, s.ports[3]) && s.PID() != 0 {
					leader = s
					return nil
				}
			}
		}
		return fmt.Errorf("no server names a running leader")
	})
	return leader
}

// Eventually calls f until it returns nil, and fails the test with its last error if it does not within limit.
func Eventually(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePorts finds ports that are free on addr for TCP and UDP. They lie below those that the kernel gives to outgoing
// connections: one of those could be taken before the server listens.
func freePorts(t testing.TB, addr string, n int) []int {
	t.Helper()
	var ports []int
	for range 100 {
		port := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp", hostPort(addr, port))
		if err != nil {
			continue
		}
		defer l.Close()
		u, err := net.ListenPacket("udp", hostPort(addr, port))
		if err != nil {
			continue
		}
		defer u.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatalf("find %d free ports on %s: none", n, addr)
	return nil
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

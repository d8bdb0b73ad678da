package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"
)

// consulLimit bounds the start of the Consul servers; they take two or three seconds on a free machine.
const consulLimit = 90 * time.Second

// Consul is one Consul server.
type Consul struct {
	*Process
	IP       string
	HTTPPort int
	DNSPort  int
	// Client speaks to this server, with the sandbox's token.
	Client *api.Client

	serfPort, rpcPort int
}

// HTTPAddr is "ip:port" of the HTTP API.
func (c *Consul) HTTPAddr() string { return net.JoinHostPort(c.IP, strconv.Itoa(c.HTTPPort)) }

// DNSAddr is "ip:port" of the DNS interface.
func (c *Consul) DNSAddr() string { return net.JoinHostPort(c.IP, strconv.Itoa(c.DNSPort)) }

func (s *Sandbox) startConsul(ctx context.Context) error {
	path, err := FindConsul()
	if err != nil {
		return err
	}
	for i := range s.options.Consuls {
		c, err := s.newConsul(i, path)
		if err != nil {
			return err
		}
		s.consuls = append(s.consuls, c)
	}
	for i := range s.consuls {
		if err := s.writeConsulConfig(i); err != nil {
			return err
		}
		if err := s.consuls[i].Start(); err != nil {
			return err
		}
	}
	s.options.Say("%d Consul server(s) started, waiting for a leader", len(s.consuls))
	ctx, cancel := context.WithTimeout(ctx, consulLimit)
	defer cancel()
	for _, c := range s.consuls {
		if err := WaitFor(ctx, c.Name+" is of use", s.consulReady(c)); err != nil {
			return fmt.Errorf("%w\n%s", err, c.tail())
		}
	}
	return nil
}

func (s *Sandbox) newConsul(i int, path string) (*Consul, error) {
	name := fmt.Sprintf("consul-%d", i+1)
	dir := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	c := &Consul{IP: s.IP(i), Process: newProcess(s.machine(i), name, dir, path, "agent", "-config-dir="+filepath.Join(dir, "conf"))}
	c.env = environ() // CONSUL_* of the user must not reach the servers
	for _, p := range []struct {
		to    *int
		usual int
	}{{&c.HTTPPort, 8500}, {&c.DNSPort, 8600}, {&c.serfPort, 8301}, {&c.rpcPort, 8300}} {
		port, err := s.freePort(i, p.usual)
		if err != nil {
			return nil, err
		}
		*p.to = port
	}
	var err error
	c.Client, err = api.NewClient(&api.Config{Address: c.HTTPAddr(), Token: s.options.ConsulToken})
	return c, err
}

// writeConsulConfig writes what examples/consul recommends, with the shortest timers that Consul has: one Raft
// heartbeat is 1 s / 5 then, which suits servers that share a machine.
func (s *Sandbox) writeConsulConfig(i int) error {
	c := s.consuls[i]
	var join []string
	for _, other := range s.consuls {
		join = append(join, net.JoinHostPort(other.IP, strconv.Itoa(other.serfPort)))
	}
	config := map[string]any{
		"node_name":             fmt.Sprintf("machine-%d", i+1),
		"datacenter":            "dc1",
		"server":                true,
		"bootstrap_expect":      len(s.consuls),
		"retry_join":            join,
		"retry_interval":        "1s",
		"data_dir":              filepath.Join(c.dir, "data"),
		"bind_addr":             c.IP,
		"client_addr":           c.IP,
		"log_level":             "warn",
		"disable_update_check":  true,
		"leave_on_terminate":    false,
		"check_update_interval": "10s",
		"ui_config":             map[string]any{"enabled": true},
		"performance":           map[string]any{"raft_multiplier": 1},
		"telemetry":             map[string]any{"disable_hostname": true},
		"dns_config": map[string]any{"allow_stale": true, "max_stale": "5s", "node_ttl": "0s",
			"service_ttl": map[string]any{"*": "0s"}},
		"ports": map[string]any{"http": c.HTTPPort, "dns": c.DNSPort, "serf_lan": c.serfPort, "server": c.rpcPort,
			"serf_wan": -1, "grpc": -1, "grpc_tls": -1},
	}
	conf := filepath.Join(c.dir, "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(conf, "1-sandbox.json"), b, 0o644); err != nil {
		return err
	}
	if s.options.ConsulHCL == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(conf, "2-more.hcl"), []byte(s.options.ConsulHCL+"\n"), 0o644)
}

// consulReady holds when the server knows a leader and all its peers, and is itself in the catalog.
func (s *Sandbox) consulReady(c *Consul) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-c.Done():
			return fmt.Errorf("%s has ended", c.Name)
		default:
		}
		q := (&api.QueryOptions{}).WithContext(ctx)
		leader, err := c.Client.Status().LeaderWithQueryOptions(q)
		if err != nil {
			return err
		}
		peers, err := c.Client.Status().PeersWithQueryOptions(q)
		if err != nil {
			return err
		}
		if leader == "" || len(peers) < len(s.consuls) {
			return fmt.Errorf("leader is %q, %d of %d servers have joined", leader, len(peers), len(s.consuls))
		}
		return nil
	}
}

// ConsulLeader is the number of the Consul server that leads now.
func (s *Sandbox) ConsulLeader(ctx context.Context) (int, error) {
	var last error
	for _, c := range s.consuls {
		if !c.Running() {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, time.Second)
		leader, err := c.Client.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ask))
		cancel()
		if err != nil {
			last = err
			continue
		}
		for i, other := range s.consuls {
			if leader == net.JoinHostPort(other.IP, strconv.Itoa(other.rpcPort)) && other.Running() {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("find the leader of Consul: no server names one that runs (%v)", last)
}

// Package hosts runs whole installations on hosts that can be cut off from each other: network namespaces with a
// router between them, each with a Consul server, a Redis server and an agent of this project. Every process and every
// address is real; the faults are dropped and delayed packets, signals, and full disks.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// Options say what runs on the hosts.
type Options struct {
	// Hosts is their number, 3 by default; each has a Consul server, a Redis server and an agent.
	Hosts int
	// Sandbox is the rest: the program, the blocks of the configuration. What concerns addresses and numbers of
	// servers is filled in.
	Sandbox sandbox.Options
	// Supervise starts a Redis that has ended again, as a service manager does.
	Supervise bool
	// SmallDisk gives every Redis a directory of its own of this many bytes, so that it can be filled. 0 is the
	// usual directory.
	SmallDisk int
}

// Hosts is a running installation. Host i has the address IP(i), Consul(i), Redis(i) and Agent(i). One host more, with
// the number Client, has nothing but clients.
type Hosts struct {
	*sandbox.Sandbox
	Network *Network
	// Client is the number of the host of the clients.
	Client int

	options    Options
	supervised []*supervisor
	closing    sync.Once
	closed     error
}

// mountLimit is the smallest disk that Redis starts on.
const mountLimit = 1 << 20

// Start makes the hosts and starts everything on them. It returns when Consul has a leader and all its servers, every
// Redis answers, and the agents have been started. On an error nothing is left behind.
func Start(ctx context.Context, o Options) (*Hosts, error) {
	if o.Hosts == 0 {
		o.Hosts = 3
	}
	h := &Hosts{options: o, Client: o.Hosts}
	if err := h.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %d hosts: %w", o.Hosts, err), h.Close())
	}
	return h, nil
}

func (h *Hosts) start(ctx context.Context) (err error) {
	if h.Network, err = NewNetwork(h.options.Hosts + 1); err != nil {
		return err
	}
	o := h.options.Sandbox
	o.Consuls, o.Nodes = h.options.Hosts, h.options.Hosts
	o.Net, o.Enter, o.Fallbacks = h.Network.Prefix, h.Network.Do, true
	o.RedisConf = append([]string{"enable-debug-command yes"}, o.RedisConf...)
	if h.options.SmallDisk > 0 {
		if o.Dir == "" {
			if o.Dir, err = os.MkdirTemp("", "consul-redis-sentinel-"); err != nil {
				return err
			}
		}
		dir, conf := o.Dir, o.RedisConfOf
		o.RedisConfOf = func(i int) []string {
			lines := []string{"dir " + diskOf(dir, i)}
			if conf != nil {
				lines = append(lines, conf(i)...)
			}
			return lines
		}
		// The sandbox wants its directory empty, and Redis its disk from the first start on.
		o.ManualRedis = true
	}
	manualAgents := o.ManualAgents
	o.ManualAgents = o.ManualAgents || o.ManualRedis
	if h.Sandbox, err = sandbox.Start(ctx, o); err != nil {
		return err
	}
	if o.ManualRedis {
		if err := h.startOnDisks(ctx, manualAgents); err != nil {
			return err
		}
	}
	if h.options.Supervise {
		for _, r := range h.Redises() {
			h.supervised = append(h.supervised, supervise(r))
		}
	}
	return nil
}

func (h *Hosts) startOnDisks(ctx context.Context, manualAgents bool) error {
	for i, r := range h.Redises() {
		if err := mountDisk(diskOf(h.Dir, i), max(h.options.SmallDisk, mountLimit)); err != nil {
			return err
		}
		if err := r.Start(); err != nil {
			return err
		}
	}
	for _, r := range h.Redises() {
		if err := sandbox.WaitFor(ctx, r.Name+" answers", r.Ping); err != nil {
			return err
		}
	}
	if manualAgents {
		return nil
	}
	for _, a := range h.Agents() {
		if err := a.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Close ends every process and takes the network down.
func (h *Hosts) Close() error {
	h.closing.Do(func() {
		for _, s := range h.supervised {
			s.stop()
		}
		var errs []error
		if h.Sandbox != nil {
			for i := range h.Redises() {
				_ = h.Redis(i).Kill()
				errs = append(errs, unmountDisk(diskOf(h.Dir, i)))
			}
			errs = append(errs, h.Sandbox.Close())
		}
		if h.Network != nil {
			h.Network.Close()
		}
		h.closed = errors.Join(errs...)
	})
	return h.closed
}

// Of is the number of the host of a node, or of the address of a server; -1 if there is none.
func (h *Hosts) Of(nodeOrAddress string) int {
	for i, r := range h.Redises() {
		if r.Node == nodeOrAddress || r.Addr() == nodeOrAddress {
			return i
		}
	}
	return -1
}

// stateLimit bounds one look at the group: a Consul server that has just lost its leader keeps a request for seconds.
const stateLimit = 700 * time.Millisecond

// State reads the group consistently, from the first Consul server that answers soon; those of hosts that are cut off
// are asked last.
func (h *Hosts) State(ctx context.Context) (failover.State, error) {
	var errs []error
	for _, i := range h.reachableFirst() {
		if !h.Consul(i).Running() {
			continue
		}
		k, err := h.Catalog(i)
		if err != nil {
			return failover.State{}, err
		}
		ask, cancel := context.WithTimeout(ctx, stateLimit)
		state, err := k.ReadGroup(ask, h.Group(), true)
		cancel()
		if err == nil {
			return state, nil
		}
		errs = append(errs, err)
	}
	return failover.State{}, fmt.Errorf("read the group: %w", errors.Join(errs...))
}

func (h *Hosts) reachableFirst() []int {
	var first, last []int
	for i := range h.Consuls() {
		if h.Network.IsCut(i, h.Client) {
			last = append(last, i)
		} else {
			first = append(first, i)
		}
	}
	return append(first, last...)
}

// Master is the number of the host that the record names in a steady phase, and the epoch.
func (h *Hosts) Master(ctx context.Context) (host int, epoch uint64, err error) {
	state, err := h.State(ctx)
	if err != nil {
		return -1, 0, err
	}
	r := state.Record
	if r == nil || r.Phase != failover.Steady {
		return -1, 0, errors.New("there is no master now")
	}
	if host = h.Of(r.Master); host < 0 {
		return -1, r.Epoch, fmt.Errorf("the master is %s, which is on none of these hosts", r.Master)
	}
	return host, r.Epoch, nil
}

// ConsulLeader is the number of the Consul server that leads, by the word of those that can be reached.
func (h *Hosts) ConsulLeader(ctx context.Context) (int, error) {
	var errs []error
	for _, i := range h.reachableFirst() {
		if !h.Consul(i).Running() {
			continue
		}
		leader, err := h.Consul(i).Client.Status().Leader()
		if err != nil || leader == "" {
			errs = append(errs, fmt.Errorf("leader is %q, %w", leader, err))
			continue
		}
		for j := range h.Consuls() {
			if strings.HasPrefix(leader, h.IP(j)+":") {
				return j, nil
			}
		}
	}
	return -1, fmt.Errorf("find the leader of Consul: %w", errors.Join(errs...))
}

func diskOf(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("disk-%d", i+1)) }

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

const (
	sentinelPort   = 26379
	sentinelQuorum = 2
	// sentinelTimeout is failover-timeout. The default of three minutes is what Sentinel waits before it tries again when
	// two sentinels have stood for election at once; this one is kind to it.
	sentinelTimeout = 10 * time.Second
)

// sentinelSystem is Redis Sentinel: on each of three machines a sentinel and a Redis server, the first one as master.
type sentinelSystem struct {
	s         *sandbox.Sandbox
	sentinels []*sandbox.Process
	events    *events
	group     string
}

func startPeer(ctx context.Context, on sandbox.Options, downAfter time.Duration) (system, error) {
	on.Consuls, on.NotFrozen = -1, true
	s, err := sandbox.Start(ctx, on)
	if err != nil {
		return nil, err
	}
	p := &sentinelSystem{s: s, group: s.Group()}
	if err := p.start(ctx, downAfter); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return p, nil
}

func (p *sentinelSystem) start(ctx context.Context, downAfter time.Duration) error {
	// The replicas are attached before the sentinels start, which then find them with their first INFO.
	for i := 1; i < machines; i++ {
		if _, err := p.s.Redis(i).Do(ctx, "REPLICAOF", p.s.IP(0), p.s.Redis(0).Port); err != nil {
			return err
		}
	}
	if err := p.attached(ctx); err != nil {
		return err
	}
	conf := sentinelConf(p.group, p.s.Redis(0).Addr(), downAfter)
	var err error
	if p.sentinels, err = startSentinels(p.s, conf); err != nil {
		return err
	}
	p.events, err = watchEvents(p.addrs())
	return err
}

// sentinelConf is the part of a sentinel's configuration that makes it watch a master.
func sentinelConf(group, addr string, downAfter time.Duration) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s %[4]d\nsentinel down-after-milliseconds %[1]s %[5]d\n"+
		"sentinel failover-timeout %[1]s %[6]d\nsentinel parallel-syncs %[1]s 1\n",
		group, host, port, sentinelQuorum, downAfter.Milliseconds(), sentinelTimeout.Milliseconds())
}

func startSentinels(s *sandbox.Sandbox, conf string) ([]*sandbox.Process, error) {
	path, err := sandbox.FindRedis()
	if err != nil {
		return nil, err
	}
	var all []*sandbox.Process
	for i := range machines {
		name := fmt.Sprintf("sentinel-%d", i+1)
		dir := filepath.Join(s.Dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "sentinel.conf")
		head := fmt.Sprintf("bind %s\nport %d\ndir %s\nprotected-mode no\nsentinel announce-ip %s\n", s.IP(i), sentinelPort, dir, s.IP(i))
		if err := os.WriteFile(file, []byte(head+conf), 0o644); err != nil {
			return nil, err
		}
		process, err := s.Run(i, name, path, file, "--sentinel")
		if err != nil {
			return nil, err
		}
		all = append(all, process)
	}
	return all, nil
}

func sentinelAddr(s *sandbox.Sandbox, i int) string {
	return net.JoinHostPort(s.IP(i), strconv.Itoa(sentinelPort))
}

func (p *sentinelSystem) addrs() (all []string) {
	for i := range machines {
		all = append(all, sentinelAddr(p.s, i))
	}
	return all
}

// attached returns when all replicas have the master's data.
func (p *sentinelSystem) attached(ctx context.Context) error {
	for i := 1; i < machines; i++ {
		err := sandbox.WaitFor(ctx, p.s.Redis(i).Node+" follows", func(ctx context.Context) error {
			info, err := p.s.Redis(i).Info(ctx)
			if err == nil && info["master_link_status"] != "up" {
				err = errors.New("its link is not up")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *sentinelSystem) redis(i int) *sandbox.Redis { return p.s.Redis(i) }

func (p *sentinelSystem) settle(ctx context.Context) (int, error) {
	var addr string
	for _, sentinel := range p.addrs() {
		c := sentinelClient(sentinel, nil)
		err := sandbox.WaitFor(ctx, sentinel+" knows all others", func(ctx context.Context) (err error) {
			addr, err = sentinelWhole(ctx, c, p.group, machines-1)
			return err
		})
		_ = c.Close()
		if err != nil {
			return 0, err
		}
	}
	return machineOf(p, addr)
}

// sentinelWhole is nil when a sentinel knows the other sentinels and all replicas of a master, and finds nothing wrong
// with any of them. It returns the master's address.
func sentinelWhole(ctx context.Context, c *goredis.SentinelClient, group string, replicas int) (string, error) {
	m, err := c.Master(ctx, group).Result()
	if err != nil {
		return "", err
	}
	switch {
	case m["flags"] != "master":
		return "", fmt.Errorf("the master is %s", m["flags"])
	case m["num-slaves"] != strconv.Itoa(replicas) || m["num-other-sentinels"] != strconv.Itoa(machines-1):
		return "", fmt.Errorf("%s replicas and %s other sentinels are known", m["num-slaves"], m["num-other-sentinels"])
	}
	list, err := c.Replicas(ctx, group).Result()
	if err != nil {
		return "", err
	}
	for _, r := range list {
		if r["flags"] != "slave" || r["master-link-status"] != "ok" {
			return "", fmt.Errorf("replica %s is %s, its link is %s", r["name"], r["flags"], r["master-link-status"])
		}
	}
	others, err := c.Sentinels(ctx, group).Result()
	if err != nil {
		return "", err
	}
	for _, o := range others {
		if o["flags"] != "sentinel" {
			return "", fmt.Errorf("sentinel %s is %s", o["name"], o["flags"])
		}
	}
	return net.JoinHostPort(m["ip"], m["port"]), nil
}

func sentinelClient(addr string, d dial) *goredis.SentinelClient {
	return goredis.NewSentinelClient(&goredis.Options{Addr: addr, Dialer: d, Protocol: 2, DisableIdentity: true,
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: askLimit, ReadTimeout: askLimit, WriteTimeout: askLimit})
}

// sentinelFinder asks sentinels where the master is, the next one when one does not answer.
func sentinelFinder(d dial, group string, sentinels []string) finder {
	var clients []*goredis.SentinelClient
	for _, addr := range sentinels {
		clients = append(clients, sentinelClient(addr, d))
	}
	turn := 0
	return func(ctx context.Context) (string, error) {
		found, err := clients[turn%len(clients)].GetMasterAddrByName(ctx, group).Result()
		if err != nil || len(found) != 2 {
			turn++
			return "", errors.Join(err, fmt.Errorf("the answer is %v", found))
		}
		return net.JoinHostPort(found[0], found[1]), nil
	}
}

func (p *sentinelSystem) finder(d dial, ask []int) finder {
	var sentinels []string
	for _, i := range ask {
		sentinels = append(sentinels, sentinelAddr(p.s, i))
	}
	return sentinelFinder(d, p.group, sentinels)
}

func (p *sentinelSystem) lose(i int) error {
	return killAll([]*sandbox.Process{p.s.Redis(i).Process, p.sentinels[i]})
}

func (p *sentinelSystem) switchover(ctx context.Context, notBy int) error {
	c := sentinelClient(sentinelAddr(p.s, others(notBy)[0]), nil)
	defer c.Close()
	return c.Failover(ctx, p.group).Err()
}

func (p *sentinelSystem) changes(_ context.Context, notBy int) (int, error) {
	n := 0
	for _, e := range p.events.of(others(notBy)[0]) {
		if e.name == "+switch-master" {
			n++
		}
	}
	return n, nil
}

// peerSteps are the events that the sentinels publish in a failover, in their order, and what the tables call them.
var peerSteps = []struct{ event, name string }{
	{"+sdown", "down"},
	{"+odown", "quorum"},
	{"+elected-leader", "elect"},
	{"+selected-slave", "choose"},
	{"+promoted-slave", "promote"},
	{"+switch-master", "switch"},
}

// steps are the first of each event after the fault, at any sentinel.
func (p *sentinelSystem) steps(_ context.Context, _ int, fault time.Time) ([]step, error) {
	var steps []step
	for _, s := range peerSteps {
		var first time.Time
		for i := range machines {
			for _, e := range p.events.of(i) {
				mine := e.name != "+sdown" && e.name != "+odown" || strings.HasPrefix(e.what, "master ")
				if e.name == s.event && mine && e.at.After(fault) && (first.IsZero() || e.at.Before(first)) {
					first = e.at
				}
			}
		}
		if !first.IsZero() {
			steps = append(steps, step{s.name, msOf(first.Sub(fault))})
		}
	}
	return steps, nil
}

func (p *sentinelSystem) run(i int, name, path string, args ...string) (*sandbox.Process, error) {
	return p.s.Run(i, name, path, args...)
}

func (p *sentinelSystem) logs() string {
	var all []string
	for _, s := range p.sentinels {
		lines := strings.Split(strings.TrimSpace(s.Log()), "\n")
		all = append(all, lines[max(0, len(lines)-15):]...)
	}
	return strings.Join(all, "\n")
}

func (p *sentinelSystem) dir() string { return p.s.Dir }

func (p *sentinelSystem) close() error {
	if p.events != nil {
		p.events.close()
	}
	return p.s.Close()
}

package main

import (
	"context"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/test/hosts"
)

// The two systems, as tables and plots call them.
const (
	ours = "consul-redis-sentinel"
	peer = "redis-sentinel"
)

// system is an installation on three machines: a Redis server on each, and whatever decides which one is master. It is
// made anew for every run.
type system interface {
	// redis is the Redis server of a machine.
	redis(i int) *sandbox.Redis
	// settle returns when one server is master, the others follow, and every part of the system knows all others. It
	// returns the master's machine.
	settle(ctx context.Context) (int, error)
	// finder asks where the master is, as clients do, on the machines asked: the next one when one does not answer.
	// It is for one client.
	finder(d dial, ask []int) finder
	// clients are the kinds of clients that are particular to the system, by name.
	clients(d dial, ask []int) map[string]store
	// lose kills the Redis server of a machine and whatever takes part in decisions there.
	lose(i int) error
	// switchover orders a planned change of master, by way of a machine other than the one given, and returns when
	// the order was taken.
	switchover(ctx context.Context, notBy int) error
	// changes is how often the master has changed so far, seen from a machine other than the one given.
	changes(ctx context.Context, notBy int) (int, error)
	// steps are what is known of the last change of master, as times after the fault.
	steps(ctx context.Context, notBy int, fault time.Time) ([]step, error)
	// run starts a further program, which ends with the system.
	run(i int, name, path string, args ...string) (*sandbox.Process, error)
	// logs are the last lines of what the system's processes have printed.
	logs() string
	// dir has the files of all processes.
	dir() string
	close() error
}

// step is a moment in a change of master.
type step struct {
	Name string `json:"name"`
	// At is the time after the fault.
	At ms `json:"at_ms"`
}

// limit bounds every wait for something to happen that is not the measured thing itself.
const limit = 90 * time.Second

// others are the machines without the one given; the first of them is another one in every run.
func others(i int) []int {
	return []int{(i + 1) % machines, (i + 2) % machines}
}

// machines is how many an installation has.
const machines = 3

// newSystem starts an installation: on addresses of this machine or, for faults of the network, on hosts of one.
func newSystem(ctx context.Context, o *options, name string, downAfter time.Duration, on *hosts.Network) (system, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s := sandbox.Options{RedisConf: []string{"enable-debug-command yes"}}
	if on != nil {
		s.Net, s.Enter = on.Prefix, on.Do
	}
	if name == ours {
		return startOurs(ctx, s, o, downAfter)
	}
	return startPeer(ctx, s, downAfter)
}

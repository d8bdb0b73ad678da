package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// watcherKind is the kind of driver that an agent observes the masters of others with.
const watcherKind = "redis"

// Parts are what an agent reaches outside itself.
type Parts struct {
	Consul Consul
	// Drivers by kind. There is always one of "redis", which an agent without nodes observes with.
	Drivers map[string]plugin.Driver
	// Now is the time since the machine started, on a clock that runs on while the machine is suspended.
	Now   func() time.Duration
	Alarm Alarm
	// Process finds a living process of this machine that has run for so long, nil if there is none of that number.
	Process func(pid int, ranFor time.Duration) Process
	// Peers makes the way to other agents, whose requests handler answers. When nil, it is the port of the configuration.
	Peers func(handler peers.Handler) Peers
	// Close ends the drivers; the servers are left as they are. For good means that this process ends: a driver that is
	// to freeze its servers then (on_agent_loss) stays for that.
	Close func(forGood bool)
}

// parts are the real ones.
func (o Options) parts(ctx context.Context, cfg *config.Config) (*Parts, error) {
	consul, err := catalog.New(ConsulConfig(cfg.Consul, o.Logger))
	if err != nil {
		return nil, fmt.Errorf("connect to Consul: %w", err)
	}
	lock := filepath.Join(cfg.Agent.DataDir, "lock")
	unlock, err := plugin.Lock(lock)
	if errors.Is(err, plugin.ErrLocked) {
		return nil, fmt.Errorf("data_dir %s: another agent works with it: end that one, or give this one a data_dir of its own", cfg.Agent.DataDir)
	}
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	alarm, err := newBootAlarm()
	if err != nil {
		unlock()
		return nil, err
	}
	p := &Parts{Consul: consul, Drivers: map[string]plugin.Driver{}, Now: bootNow, Alarm: alarm, Process: findProcess}
	var running []*plugin.Supervisor
	p.Close = func(forGood bool) {
		for _, d := range running {
			if forGood {
				d.Leave()
			} else {
				d.Close()
			}
		}
		alarm.close()
		unlock()
	}
	kinds := []string{watcherKind}
	for _, n := range cfg.Nodes {
		kinds = append(kinds, n.Driver)
	}
	slices.Sort(kinds)
	for _, kind := range slices.Compact(kinds) {
		options := driverOptions(cfg, kind, o)
		options.Lock = lock
		d, err := plugin.Supervise(ctx, options)
		if err != nil {
			p.Close(false)
			return nil, fmt.Errorf("start driver %q: %w", kind, err)
		}
		running = append(running, d)
		p.Drivers[kind] = d
	}
	return p, nil
}

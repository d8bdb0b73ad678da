// Package redis is the built-in driver. It drives Redis 6.2 and later, and Valkey.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Name and Version are what Capabilities says.
const (
	Name    = "redis"
	Version = "1.0.0"
)

type driver struct {
	logger hclog.Logger
	hub    plugin.Hub

	mu      sync.Mutex
	servers map[string]*server
}

var _ plugin.Driver = (*driver)(nil)

// New makes the driver. It is to be given to plugin.Serve.
func New(logger hclog.Logger) plugin.Driver {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	return &driver{logger: logger, servers: map[string]*server{}}
}

func (d *driver) Capabilities(context.Context) (plugin.Capabilities, error) {
	return plugin.Capabilities{Name: Name, Version: Version, Pause: true, Save: true, Persist: true}, nil
}

func (d *driver) Connect(_ context.Context, settings plugin.Server) error {
	if settings.Name == "" {
		return errors.New("connect: the server has no name")
	}
	dialer, err := newDialer(settings)
	if err != nil {
		return fmt.Errorf("connect %q: %w", settings.Name, err)
	}
	s := newServer(settings, dialer, d.logger.With("server", settings.Name))
	d.mu.Lock()
	defer d.mu.Unlock()
	if before := d.servers[settings.Name]; before != nil {
		before.close()
	}
	d.servers[settings.Name] = s
	s.observe(func(o plugin.Observation) { d.push(s, o) })
	return nil
}

// push passes on what is observed of a server, unless that was disconnected or replaced meanwhile.
func (d *driver) push(s *server, o plugin.Observation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.servers[o.Server] == s {
		d.hub.Push(o)
	}
}

func (d *driver) Disconnect(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.servers[name]; s != nil {
		s.close()
		delete(d.servers, name)
		d.hub.Forget(name)
	}
	return nil
}

func (d *driver) Observe(ctx context.Context, observe func(plugin.Observation)) error {
	return d.hub.Observe(ctx, observe)
}

// server finds a server that may be given orders.
func (d *driver) server(name, order string) (*server, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.servers[name]
	switch {
	case s == nil:
		return nil, fmt.Errorf("%s %q: %w", order, name, plugin.ErrUnknownServer)
	case s.settings.Remote:
		return nil, fmt.Errorf("%s %q: %w: it is remote", order, name, plugin.ErrUnsupported)
	}
	return s, nil
}

func (d *driver) Freeze(ctx context.Context, name string) (plugin.Frozen, error) {
	s, err := d.server(name, "freeze")
	if err != nil {
		return plugin.Frozen{}, err
	}
	return s.freeze(ctx)
}

func (d *driver) Open(ctx context.Context, name, runID string) (plugin.Position, error) {
	s, err := d.server(name, "open")
	if err != nil {
		return plugin.Position{}, err
	}
	return s.open(ctx, runID)
}

func (d *driver) Follow(ctx context.Context, name, runID string, at plugin.Position, address string) error {
	s, err := d.server(name, "follow")
	if err != nil {
		return err
	}
	return s.follow(ctx, runID, at, address)
}

func (d *driver) Persist(ctx context.Context, name string) error {
	s, err := d.server(name, "persist")
	if err != nil {
		return err
	}
	return s.persist(ctx)
}

func (d *driver) Pause(ctx context.Context, name string, length time.Duration) error {
	s, err := d.server(name, "pause")
	if err != nil {
		return err
	}
	return s.pause(ctx, length)
}

func (d *driver) Unpause(ctx context.Context, name string) error {
	s, err := d.server(name, "unpause")
	if err != nil {
		return err
	}
	return s.unpause(ctx)
}

func (d *driver) EndClients(ctx context.Context, name string) (int, error) {
	s, err := d.server(name, "end clients of")
	if err != nil {
		return 0, err
	}
	return s.endClients(ctx)
}

func (d *driver) MinReplicas(ctx context.Context, name string) (int, error) {
	s, err := d.server(name, "read min-replicas-to-write of")
	if err != nil {
		return 0, err
	}
	return s.minReplicas(ctx)
}

func (d *driver) SetMinReplicas(ctx context.Context, name string, replicas int) error {
	s, err := d.server(name, "set min-replicas-to-write of")
	if err != nil {
		return err
	}
	return s.simple(ctx, "set "+minReplicas, command{"CONFIG", "SET", minReplicas, strconv.Itoa(replicas)})
}

func (d *driver) Save(ctx context.Context, name, path string) error {
	s, err := d.server(name, "save")
	if err != nil {
		return err
	}
	return s.save(ctx, path)
}

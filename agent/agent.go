// Package agent is the process that runs beside a machine's Consul agent: it starts the drivers, keeps the
// session and the leases, and runs the protocol of package failover for each of its groups.
package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Options are what an agent is started with.
type Options struct {
	Config *config.Config
	Logger hclog.Logger
	// Version is shown in Consul.
	Version string
	// BuiltIn is the command that serves the built-in driver of a name.
	BuiltIn func(name string) []string
	// Reload delivers configurations that replace the present one.
	Reload <-chan *config.Config
	// Parts makes what the agent works with, for each configuration. When nil, these are the real ones: Consul,
	// drivers in processes of their own, and this machine.
	Parts func(context.Context, *config.Config) (*Parts, error)
}

// Run runs the agent until ctx ends. A new configuration starts everything anew but the process itself; servers
// are left as they are meanwhile, as when an agent is restarted. With one that cannot be started the one before goes on.
func Run(ctx context.Context, o Options) error {
	cfg, parts := o.Config, o.Parts
	if parts == nil {
		parts = o.parts
	}
	for before := (*config.Config)(nil); ; {
		run, cancel := context.WithCancel(context.WithoutCancel(ctx))
		a, err := newAgent(run, o, cfg, parts)
		if err != nil {
			cancel()
			if before == nil {
				return err
			}
			o.Logger.Error("the new configuration cannot be started, the one before stays", "error", err)
			cfg, before = before, nil
			continue
		}
		ended := make(chan struct{})
		go func() { a.run(run); a.parts.Close(ctx.Err() != nil); close(ended) }()
		changed := a.replacedBy(ctx, run, o.Reload)
		if changed == nil && cfg.Agent.DrainOnLeave {
			a.drain(run)
		}
		cancel()
		<-ended
		if changed == nil {
			return nil
		}
		before, cfg = cfg, changed
	}
}

// replacedBy waits for a configuration that can replace the present one; it is nil when ctx ends. run is the context of the agent's parts.
func (a *agent) replacedBy(ctx, run context.Context, reload <-chan *config.Config) *config.Config {
	for {
		select {
		case <-ctx.Done():
			return nil
		case changed := <-reload:
			if node := a.abandoned(run, changed); node != "" {
				a.log.Error("the new configuration does not have a server that may be open, so the one before stays; hand over first (switchover, drain), "+
					"or stop the server", "node", node)
				continue
			}
			a.log.Info("configuration reloaded")
			return changed
		}
	}
}

// abandoned names a node whose server may be open, and which a configuration does not have, or has at another address: nobody would
// close that server any more, and the group take it for ended.
func (a *agent) abandoned(ctx context.Context, changed *config.Config) string {
	for _, g := range a.groups {
		open, _ := ask(ctx, g, func() (open []*node) {
			for _, n := range g.nodes {
				if n.maybeOpen && !n.dead {
					open = append(open, n)
				}
			}
			return open
		})
		for _, n := range open {
			if !has(changed.Nodes, n.name, g.name, n.server.Address) {
				return n.name
			}
		}
	}
	return ""
}

type agent struct {
	name    string
	version string
	cfg     *config.Config
	log     hclog.Logger
	parts   *Parts
	epochs  *epochs
	servers *servers
	leases  *leases
	groups  []*group
	byName  map[string]*group // by the name of a connected server, or what the name of a watched one begins with
	publish *publisher
	rescues *rescues
	peers   *peerPort
}

func newAgent(ctx context.Context, o Options, cfg *config.Config, parts func(context.Context, *config.Config) (*Parts, error)) (*agent, error) {
	a := &agent{name: cfg.Agent.Name, version: o.Version, cfg: cfg, log: o.Logger.Named("agent"), byName: map[string]*group{}}
	if err := os.MkdirAll(cfg.Agent.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("create data_dir: %w", err)
	}
	// Who is refused must not have locked data_dir: a driver that is to freeze its servers takes that for an agent that is back.
	err := a.recall()
	if err != nil {
		return nil, err
	}
	if a.parts, err = parts(ctx, cfg); err != nil {
		return nil, err
	}
	if err = a.recall(); err != nil { // once more, now that no agent before this one writes any more
		a.parts.Close(false)
		return nil, err
	}
	a.leases = &leases{read: a.parts.Consul.ReadRecords, now: a.parts.Now, alarm: a.parts.Alarm, log: a.log, kick: make(chan struct{}, 1)}
	a.publish = newPublisher(a.parts.Consul, a.log)
	a.rescues = &rescues{dir: cfg.Agent.RescueDir, keep: cfg.Agent.RescueKeep}
	a.peers = &peerPort{agent: a}
	for _, gc := range cfg.Groups {
		a.groups = append(a.groups, a.newGroup(gc))
	}
	return a, nil
}

// recall reads what agents before this one kept in data_dir.
func (a *agent) recall() (err error) {
	dir := a.cfg.Agent.DataDir
	if a.epochs, err = openEpochs(dir); err != nil {
		return err
	}
	a.servers = openServers(dir)
	if node, pid := a.servers.abandoned(a.cfg.Nodes, bootNow()); node != "" {
		return fmt.Errorf("the configuration does not have node %q, or has it in another group or at another address, and its server "+
			"(process %d) may take writes, which nobody would end: put it back and hand over first (switchover, drain), or stop the server; "+
			"if it is to go on without an agent, take it out of %s", node, pid, a.servers.path)
	}
	return nil
}

func (a *agent) newGroup(gc config.Group) *group {
	g := &group{
		name: gc.Name, agent: a.name, store: a.parts.Consul, log: a.log.With("group", gc.Name), now: a.parts.Now,
		names:  serviceNames{node: gc.Service, master: gc.MasterService, replica: gc.ReplicaService, tags: gc.Tags},
		epochs: a.epochs, servers: a.servers, news: make(chan func() bool, 256), nodes: map[string]*node{},
		running: map[string]bool{}, watcher: a.parts.Drivers[watcherKind], watchTLS: watchTLS(a.cfg.Nodes, gc.Name),
		publish: a.publish.group, crowd: &a.publish.crowd,
		unknown: make(chan struct{}, 1), mine: settingsOf(gc), rescues: a.rescues, peers: a.peers,
	}
	g.view.Agent, g.view.Highest = a.name, a.epochs.get(gc.Name)
	if g.view.Highest > 0 {
		// An agent before this one may have promised that no node here opens.
		g.view.Started = g.now()
	}
	g.fenceAfter.Store(int64(gc.FenceAfter))
	for _, nc := range a.cfg.Nodes {
		if nc.Group != gc.Name {
			continue
		}
		n := newNode(nc, gc, a.cfg.Agent.OnAgentLoss)
		n.drv, n.find = a.parts.Drivers[nc.Driver], a.parts.Process
		g.watcher = n.drv
		g.nodes[n.name] = n
		a.byName[n.name] = g
	}
	a.byName[watchPrefix(g.name)] = g
	g.confirm = func() {}
	if len(g.nodes) > 0 {
		g.confirm = func() { a.leases.ask(g) }
		a.leases.groups = append(a.leases.groups, g)
	}
	return g
}

// run starts the parts and waits, once ctx has ended, until all of them have.
func (a *agent) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	for _, d := range a.parts.Drivers {
		parts.Go(func() { a.observe(ctx, d) })
	}

	// Whatever loosens rests on a read by this process; what a predecessor left open needs one at once.
	if err := a.leases.once(ctx, firstRead, a.leases.groups); err != nil {
		a.log.Warn("no consistent read of the records yet", "error", err)
	}
	parts.Go(func() {
		a.parts.Consul.Run(ctx, catalog.AgentSpec{Name: a.name, Version: a.version, OnSession: a.onSession(ctx)})
	})
	parts.Go(func() { a.leases.run(ctx) })
	parts.Go(func() { a.prune(ctx) })
	parts.Go(func() {
		a.parts.Consul.WatchMaintenance(ctx, func(found map[string]string) { a.maintain(ctx, found) })
	})
	parts.Go(func() { a.peers.run(ctx) })
	parts.Go(func() { a.publish.run(ctx, a.name, a.serviceIDs()) })
	named := map[string]*group{}
	for _, g := range a.groups {
		named[g.name] = g
	}
	parts.Go(func() {
		a.parts.Consul.WatchGroups(ctx, slices.Sorted(maps.Keys(named)), func(name string, s failover.State) {
			g := named[name]
			g.tell(ctx, func() { g.take(s, 0) })
		})
	})
	for _, g := range a.groups {
		parts.Go(func() { g.run(ctx) })
		parts.Go(func() { a.introduce(ctx, g) })
	}
	a.log.Info("agent started", "name", a.name, "version", a.version, "groups", len(a.groups), "nodes", len(a.cfg.Nodes))
	<-ctx.Done()
	a.log.Info("agent leaves; its servers stay as they are")
}

// onSession looks at every group when the session changes.
func (a *agent) onSession(ctx context.Context) func(string) {
	return func(string) {
		for _, g := range a.groups {
			g.tell(ctx, func() {})
		}
	}
}

// observe hands what a driver sees to the group it concerns.
func (a *agent) observe(ctx context.Context, d plugin.Driver) {
	for ctx.Err() == nil {
		err := d.Observe(ctx, func(o plugin.Observation) {
			g := a.concerned(o.Server)
			if g == nil {
				return
			}
			g.tell(ctx, func() { g.observe(o) })
		})
		if err != nil && ctx.Err() == nil {
			a.log.Warn("the driver's observations ended", "error", err)
			pauseAfterError(ctx)
		}
	}
}

// concerned is the group that a connected server belongs to, or which watches it.
func (a *agent) concerned(server string) *group {
	if g := a.byName[server]; g != nil {
		return g
	}
	return a.byName[server[:strings.LastIndex(server, " ")+1]] // no address has a space
}

// observe takes in what a driver saw of one of the group's servers, or of the master that it watches.
func (g *group) observe(o plugin.Observation) {
	if n := g.nodes[o.Server]; n != nil {
		n.observe(o, g.servers, g.now())
		if g.servers.put(n.name, n.keep()) {
			go func() {
				if err := g.servers.write(); err != nil {
					g.log.Warn("cannot keep which process the server is", "node", n.name, "error", err)
				}
			}()
		}
		return
	}
	if r := g.view.State.Record; r != nil && o.Server == g.watchName(r.Address) {
		g.remote, g.remoteAt = o, g.now()
	}
}

// introduce makes the agent known to a group, and writes the shared settings if it is the first; and again whenever Consul does
// not know it any more.
func (a *agent) introduce(ctx context.Context, g *group) {
	info := failover.AgentInfo{Agent: a.name, Version: a.version, Nodes: g.nodeNames(), Since: time.Now().UTC()}
	if listen := a.cfg.Agent.Listen; listen != "off" {
		info.Address = listen
	}
	for ctx.Err() == nil {
		if err := a.makeKnown(ctx, g, info); err != nil {
			a.log.Warn("cannot make this agent known to the group", "group", g.name, "error", err)
		} else {
			select {
			case <-ctx.Done():
			case <-g.unknown:
			}
		}
		sleep(ctx, 500*time.Millisecond)
	}
}

func (a *agent) makeKnown(ctx context.Context, g *group, info failover.AgentInfo) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	s, err := a.parts.Consul.ReadGroup(ctx, g.name, true)
	if err != nil {
		return err
	}
	if s.Settings == nil {
		if err := a.parts.Consul.PutSettings(ctx, g.name, g.mine, 0); err != nil && !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
	known, ok := s.Agents[a.name]
	if ok && known.Version == info.Version && known.Address == info.Address && slices.Equal(known.Nodes, info.Nodes) {
		return nil
	}
	return a.parts.Consul.PutAgent(ctx, g.name, info)
}

// serviceIDs are the ids of every service that the configuration may register.
func (a *agent) serviceIDs() map[string]bool {
	ids := map[string]bool{}
	for _, g := range a.groups {
		for name := range g.nodes {
			ids[g.names.nodeID(name)] = true
			ids[g.names.replicaID(name)] = true
		}
	}
	return ids
}

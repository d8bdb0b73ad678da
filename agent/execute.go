package agent

import (
	"context"
	"errors"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

const (
	// orderTimeout bounds an order to a server. Each takes about a millisecond; a server that needs longer
	// than this is stuck, which is the decision's to deal with.
	orderTimeout = 2 * time.Second
	// storeTimeout bounds a write to Consul. It covers an election of Consul's own leader.
	storeTimeout = 5 * time.Second
	// persistTimeout bounds the rewriting of a configuration file, which waits for the disk.
	persistTimeout = 10 * time.Second
	// killTimeout bounds the wait for a killed process to be gone.
	killTimeout = 2 * time.Second
)

// start begins what the decision asks for, unless it is under way.
func (g *group) start(ctx context.Context, a failover.Action) {
	key := a.Key()
	if g.running[key] {
		return
	}
	switch a.(type) {
	case failover.Look, failover.Confirm, failover.PutReport, failover.TellReport, failover.AskPromises:
		g.log.Debug(a.String())
	default:
		g.log.Info(a.String())
	}
	switch a := a.(type) {
	case failover.Confirm:
		g.confirm()
	case failover.Freeze:
		tell := func(n *node) { g.tellFrozen(ctx, n, a.Why) } // after the order, so not in its context
		g.order(ctx, key, a.Node, orderTimeout, func(ctx context.Context, n *node) (func(), error) {
			return g.freeze(ctx, n, a, tell)
		})
	case failover.Kill:
		g.kill(ctx, key, a)
	case failover.OpenServer:
		n := g.nodes[a.Node]
		n.maybeOpen, n.opened = true, g.now()
		g.order(ctx, key, a.Node, orderTimeout, func(ctx context.Context, n *node) (func(), error) {
			at, err := n.drv.Open(ctx, a.Node, a.RunID)
			return func() {
				n.opened, n.paused = g.now(), nil
				if n.info.RunID == a.RunID && !n.info.Open {
					n.info.Open, n.info.Frozen, n.info.Position, n.info.MasterAddress, n.learned = true, false, at, "", g.now()
				}
			}, err
		})
	case failover.Follow:
		g.order(ctx, key, a.Node, orderTimeout, func(ctx context.Context, n *node) (func(), error) {
			err := n.drv.Follow(ctx, a.Node, a.RunID, plugin.Position(a.At), a.Master)
			return func() {
				if n.info.RunID != a.RunID {
					return // the server was restarted meanwhile
				}
				n.info.Open, n.info.Frozen, n.info.LinkUp, n.info.MasterAddress, n.learned = false, false, false, a.Master, g.now()
				n.maybeOpen = false
			}, err
		})
	case failover.Persist:
		run := g.nodes[a.Node].info.RunID
		g.order(ctx, key, a.Node, persistTimeout, func(ctx context.Context, n *node) (func(), error) {
			return g.persist(ctx, n, run)
		})
	case failover.Pause:
		info := g.nodes[a.Node].info
		g.order(ctx, key, a.Node, orderTimeout, func(ctx context.Context, n *node) (func(), error) {
			return g.pause(ctx, n, a, info)
		})
	case failover.Look:
		g.order(ctx, key, a.Node, orderTimeout, g.look)
	case failover.Rescue:
		g.rescue(ctx, key, a)
	case failover.AskPromises:
		g.askPromises(ctx, key, a)
	case failover.TellVote:
		g.tellVote(ctx, key, a)
	case failover.TellReport:
		g.tellReport(ctx, key, a)
	default:
		g.commit(ctx, key, a)
	}
}

// order runs an order to one of the agent's nodes and hands back what it changed.
func (g *group) order(ctx context.Context, key, name string, limit time.Duration, f func(context.Context, *node) (func(), error)) {
	n := g.nodes[name]
	g.do(ctx, key, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		done, err := f(ctx, n)
		if err != nil {
			g.complain.warn(g.log, "order failed: "+key, "error", err)
			pauseAfterError(ctx)
			return nil
		}
		return done
	})
}

// freeze closes a server; tell tells the other agents, where that one could not keep its lease.
func (g *group) freeze(ctx context.Context, n *node, a failover.Freeze, tell func(*node)) (func(), error) {
	begun := g.now()
	f, err := n.drv.Freeze(ctx, n.name)
	return func() {
		if g.running["role "+n.name] || begun < n.opened {
			return // an order sent before it may still arrive, or has: freeze once more
		}
		if f.RunID != n.info.RunID {
			return // the server was restarted meanwhile; its new run is looked at by itself
		}
		n.info.Open, n.info.Frozen, n.info.LinkUp, n.info.MasterAddress = false, true, false, ""
		n.stands(f.Position, f.SyncCutOff)
		n.info.Keys, n.learned = f.Keys, g.now()
		n.maybeOpen, n.paused = false, nil
		n.halfSynced = n.halfSynced || f.SyncCutOff
		if a.Attempt == 0 && g.named(n) && g.view.Lease.Until(n.name, f.RunID, g.view.Highest, g.view.Fence()) != 0 {
			tell(n)
		}
		n.frozen = &failover.FrozenFor{Attempt: a.Attempt, RunID: f.RunID, Position: failover.Position(f.Position), Keys: f.Keys}
	}, err
}

func (g *group) persist(ctx context.Context, n *node, run string) (func(), error) {
	if err := g.ownMinReplicas(ctx, n, run); err != nil {
		return nil, err
	}
	err := n.drv.Persist(ctx, n.name)
	if errors.Is(err, plugin.ErrConfigNotWritable) || errors.Is(err, plugin.ErrUnsupported) {
		return func() {
			g.log.Warn("the server's configuration file is not written", "node", n.name, "run", run, "error", err)
			n.persistFailed, n.persistFailedRun = err.Error(), run
		}, nil
	}
	if err != nil {
		return nil, err
	}
	// Its replication id may be a new one now.
	return func() { n.persistedRun, n.boundRun = run, "" }, nil
}

func (g *group) pause(ctx context.Context, n *node, a failover.Pause, before plugin.Info) (func(), error) {
	err := n.drv.Pause(ctx, n.name, a.For)
	lagging := errors.Is(err, plugin.ErrLagging)
	if err != nil && !lagging {
		return nil, err
	}
	if !lagging && len(before.Replicas) > 0 { // the freeze follows at once, and tells the rest
		return func() {
			n.paused = &failover.PausedFor{Attempt: a.Attempt, RunID: before.RunID, Since: g.now(), CaughtUp: true}
		}, nil
	}
	o, err := n.drv.Probe(ctx, n.server)
	if err == nil && o.Info == nil {
		err = plugin.ErrUnreachable
	}
	return func() {
		n.paused = &failover.PausedFor{Attempt: a.Attempt, RunID: o.Info.RunID, Since: g.now(), Position: failover.Position(o.Info.Position)}
	}, err
}

func (g *group) look(ctx context.Context, n *node) (func(), error) {
	begun := g.now()
	o, err := n.drv.Probe(ctx, n.server)
	return func() {
		if o.Info == nil || o.Info.RunID != n.info.RunID || begun < n.learned {
			return // an answer that was slow to arrive is not news: where the server stood before a freeze, for example
		}
		n.lookedAt = begun
		n.stands(o.Info.Position, o.Info.SyncInProgress)
		n.info.LinkUp = o.Info.LinkUp
	}, err
}

// kill ends a server without its driver, so that a driver which hangs can keep nothing open.
func (g *group) kill(ctx context.Context, key string, a failover.Kill) {
	n := g.nodes[a.Node]
	p := n.proc
	g.do(ctx, key, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, killTimeout)
		defer cancel()
		if err := p.Kill(ctx); err != nil {
			g.log.Error("cannot kill the server", "node", a.Node, "error", err)
			pauseAfterError(ctx)
			return nil
		}
		return func() { n.dead = n.proc == p }
	})
}

// commit runs a write to Consul and takes in its outcome.
func (g *group) commit(ctx context.Context, key string, a failover.Action) {
	switch a := a.(type) {
	case failover.Elect:
		g.view.MayElect, g.view.ElectOver, g.settles = true, a.Index, false
	case failover.Reread:
		g.settles = !g.running[failover.Elect{}.Key()]
	case failover.Amend:
		g.view.Propose(a.Record, a.Index)
	}
	g.do(ctx, key, func(life context.Context) func() {
		ctx, cancel := context.WithTimeout(life, storeTimeout)
		defer cancel()
		done, err := g.write(ctx, a)
		conflict := errors.Is(err, catalog.ErrConflict)
		switch {
		case err == nil:
			g.away.reset()
			return done
		case conflict:
			g.log.Info("somebody else was faster", "action", a.String(), "error", err)
			switch a.(type) {
			case failover.PutVote, failover.AcquireLock:
				pauseAfterError(ctx) // the session is gone, or the lock is somebody's, which is known in a moment
			}
		default:
			g.complain.warn(g.log, "write to Consul failed", "action", a.String(), "error", err)
			g.away.pause(ctx)
		}
		taken := g.reread(life)
		return func() {
			if _, elect := a.(failover.Elect); (taken() || conflict) && elect {
				g.view.MayElect = false
			}
		}
	})
}

func (g *group) write(ctx context.Context, a failover.Action) (func(), error) {
	v := &g.view
	switch a := a.(type) {
	case failover.PutReport:
		index, err := g.store.PutReport(ctx, g.name, a.Report)
		return func() {
			if g.wrote(index) {
				v.WroteReport(a.Report)
			}
		}, err
	case failover.PutVote:
		index, err := g.store.PutVote(ctx, g.name, a.Vote)
		return func() {
			if g.wrote(index) {
				a.Vote.Index = index
				v.WroteVote(a.Vote)
			}
		}, err
	case failover.DropVote:
		err := g.store.DeleteVote(ctx, g.name)
		return func() { v.DroppedVote() }, err
	case failover.AcquireLock:
		got, err := g.store.AcquireLock(ctx, g.name)
		if err == nil && !got {
			err = catalog.ErrConflict // who has it was not heard here yet
		}
		return func() { v.State.Leader = g.agent }, err
	case failover.ReleaseLock:
		err := g.store.ReleaseLock(ctx, g.name)
		return func() { v.State.Leader = "" }, err
	case failover.Reread:
		taken := g.reread(ctx)
		return func() {
			if taken() && g.settles {
				v.MayElect = false
			}
		}, nil
	case failover.Create:
		index, err := g.store.Create(ctx, g.name, a.Record, a.Index, a.Order, g.entry(a.Record))
		return func() {
			g.committed(a.Record, index)
			if a.Order != 0 {
				v.State.Order = nil
			}
		}, err
	case failover.Elect:
		grounds := catalog.Grounds{Votes: a.Votes, Order: a.Order}
		begun := g.now()
		index, err := g.store.Elect(ctx, g.name, a.Record, a.Index, grounds, g.entry(a.Record))
		return func() {
			if !g.committed(a.Record, index) {
				return // others have gone on since
			}
			v.Leads(begun)
			if a.Order != 0 {
				v.State.Order = nil
			}
		}, err
	case failover.Commit:
		begun := g.now()
		index, err := g.store.Commit(ctx, g.name, a.Record, a.Index, g.entry(a.Record))
		return func() {
			g.committed(a.Record, index)
			// That the compare-and-set went through says what a consistent read would say, unless one that was slow to arrive
			// has said more already.
			if index > v.Lease.Index {
				g.takeLease(failover.Lease{Begun: begun, Record: a.Record, Index: index}, 0)
				// A read that was sent before this was known may have come before the commit.
				g.leaseRead = g.now()
			}
			g.change = &change{history: a.History, committed: g.now()}
		}, err
	case failover.Amend:
		index, err := g.store.Amend(ctx, g.name, a.Record, a.Index)
		return func() { g.committed(a.Record, index) }, err
	case failover.RefuseOrder:
		err := g.store.AnswerOrder(ctx, g.name, a.Order, a.Index)
		return func() { v.State.Order = &a.Order }, err
	}
	panic("no such action: " + a.String())
}

// reread reads the whole group consistently: what is written next rests on it. What it returns takes the answer in and tells
// whether there was one, and it was news.
func (g *group) reread(ctx context.Context) func() bool {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	begun := g.now()
	s, err := g.store.ReadGroup(ctx, g.name, true)
	if err != nil {
		g.complain.warn(g.log, "cannot read the group", "error", err)
		g.away.pause(ctx)
		return func() bool { return false }
	}
	g.away.reset()
	return func() bool { return g.take(s, begun) }
}

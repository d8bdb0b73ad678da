package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// keepMinReplicas brings min-replicas-to-write of a node to what the configuration says, once in each run; when it says
// nothing, to the server's own value, if an agent has changed that. It comes after the configuration file was written, so that
// the file keeps the server's own.
func (g *group) keepMinReplicas(ctx context.Context, n *node) {
	run := n.info.RunID
	known := n.seen.Link == plugin.LinkUp && (n.persistedRun == run || n.persistFailedRun == run)
	if run == "" || n.boundRun == run || !known {
		return
	}
	kept := g.servers.get(n.name)
	if kept.RunID != run || n.minReplicas == 0 && kept.MinReplicas == nil {
		return
	}
	g.do(ctx, "min replicas "+n.name, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, orderTimeout)
		defer cancel()
		err := g.setMinReplicas(ctx, n, run, kept.MinReplicas)
		if err != nil {
			g.complain.warn(g.log, "cannot set min-replicas-to-write", "node", n.name, "error", err)
			if !errors.Is(err, plugin.ErrUnsupported) {
				sleep(ctx, tick) // nobody waits for it
				return nil
			}
		}
		return func() { n.boundRun = run }
	})
}

// setMinReplicas sets what the configuration says, or own. The server's own value is kept before it is changed.
func (g *group) setMinReplicas(ctx context.Context, n *node, run string, own *int) error {
	if n.minReplicas == 0 {
		if err := n.drv.SetMinReplicas(ctx, n.name, *own); err != nil {
			return err
		}
		g.log.Info("min-replicas-to-write is the server's own again", "node", n.name, "replicas", *own)
		return g.servers.keepMinReplicas(n.name, run, nil)
	}
	if own == nil {
		was, err := n.drv.MinReplicas(ctx, n.name)
		if err != nil {
			return err
		}
		if err := g.servers.keepMinReplicas(n.name, run, &was); err != nil {
			return fmt.Errorf("keep the server's own value: %w", err)
		}
		g.log.Info("set min-replicas-to-write", "node", n.name, "replicas", n.minReplicas, "own", was)
	}
	return n.drv.SetMinReplicas(ctx, n.name, n.minReplicas)
}

// ownMinReplicas gives a server its own value back for the moment in which its configuration file is written.
func (g *group) ownMinReplicas(ctx context.Context, n *node, run string) error {
	kept := g.servers.get(n.name)
	if kept.RunID != run || kept.MinReplicas == nil {
		return nil
	}
	return n.drv.SetMinReplicas(ctx, n.name, *kept.MinReplicas)
}

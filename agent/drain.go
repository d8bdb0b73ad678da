package agent

import (
	"context"
	"time"
)

// drainLimit is how long an agent that leaves waits until its masters are handed over, and drainEvery how often it looks.
const (
	drainLimit = 30 * time.Second
	drainEvery = 20 * time.Millisecond
)

// maintain takes over what operators say in Consul: a node in maintenance does not become master, and does not
// stay it when another can take over.
func (a *agent) maintain(ctx context.Context, found map[string]string) {
	for _, g := range a.groups {
		reasons, drained := map[string]string{}, map[string]bool{}
		for name := range g.nodes {
			_, drained[name] = found[g.names.nodeID(name)]
			for _, id := range []string{"", g.names.nodeID(name), g.names.replicaID(name)} {
				if notes, ok := found[id]; ok {
					reasons[name] = "it is in Consul's maintenance mode: " + notes
				}
			}
		}
		g.tell(ctx, func() {
			for name, n := range g.nodes {
				n.maintenance, n.drained = reasons[name], drained[name]
			}
		})
	}
}

// drain hands the masters of this agent over, or gives up after a while, saying so.
func (a *agent) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for _, g := range a.groups {
		g.tell(ctx, func() {
			for _, n := range g.nodes {
				n.leaving = "its agent leaves"
			}
		})
	}
	for _, g := range a.groups {
		for {
			done, err := ask(ctx, g, g.handedOver)
			if done || err != nil {
				break
			}
			sleep(ctx, drainEvery)
		}
	}
	for ctx.Err() == nil && a.publish.tagged() {
		sleep(ctx, drainEvery)
	}
	if ctx.Err() != nil {
		a.log.Warn("leaves without having handed over all of its masters in time", "limit", drainLimit)
	}
}

// handedOver tells whether no node of this agent is master, or was while another is being elected, and the history of the
// change of master that this agent led says that the new one has opened.
func (g *group) handedOver() bool {
	if r := g.view.State.Record; r != nil && g.nodes[r.Master] != nil {
		return false
	}
	c := g.change
	return c == nil || c.opened && c.written == len(c.history.Steps)
}

package agent

import (
	"context"
	"time"
)

const (
	// maintenanceEvery is how often the local Consul agent is asked what is in maintenance; it answers from memory.
	maintenanceEvery = time.Second
	// drainLimit is how long an agent that leaves waits until its masters are handed over.
	drainLimit = 30 * time.Second
)

// watchMaintenance takes over what operators say in Consul: a node in maintenance does not become master, and does not
// stay it when another can take over.
func (a *agent) watchMaintenance(ctx context.Context) {
	for {
		if found, err := a.parts.Consul.Maintenance(ctx); err == nil {
			a.maintain(ctx, found)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(maintenanceEvery):
		}
	}
}

func (a *agent) maintain(ctx context.Context, found map[string]string) {
	for _, g := range a.groups {
		reasons := map[string]string{}
		for name := range g.nodes {
			for _, id := range []string{"", g.names.node + "-" + name, g.names.replica + "-" + name} {
				if notes, ok := found[id]; ok {
					reasons[name] = "it is in Consul's maintenance mode: " + notes
				}
			}
		}
		g.tell(ctx, func() {
			for name, n := range g.nodes {
				n.maintenance = reasons[name]
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
		for ctx.Err() == nil {
			masters := make(chan string, 1)
			g.tell(ctx, func() { masters <- g.ownMaster() })
			select {
			case name := <-masters:
				if name == "" {
					break
				}
				time.Sleep(20 * time.Millisecond)
				continue
			case <-ctx.Done():
			}
			break
		}
	}
	if ctx.Err() != nil {
		a.log.Warn("leaves without having handed over all of its masters in time", "limit", drainLimit)
	}
}

// ownMaster is the node of this agent that is master of the group, or was while another is being elected; empty if none.
func (g *group) ownMaster() string {
	if r := g.view.State.Record; r != nil && g.nodes[r.Master] != nil {
		return r.Master
	}
	return ""
}

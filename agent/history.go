package agent

import (
	"context"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// change is a change of master that this agent has committed and whose history is not complete yet.
type change struct {
	history   failover.History
	committed time.Duration
	opened    bool
	written   int // how many steps the history had when it was last written
}

// historyEvery is how long a step that is not the last may wait to be written, so that it delays nothing that others wait for.
const historyEvery = time.Second

// keepHistory writes what is known of the last change of master: right after its commit, because the followers of
// Consul's leader learn of a commit with the next write and stale DNS answers with them; and again when the others
// follow, or a while after the new master has opened.
func (g *group) keepHistory(ctx context.Context) {
	c, v := g.change, &g.view
	if c == nil || g.running["history"] {
		return
	}
	r := v.State.Record
	if r == nil || r.Epoch != c.history.Epoch {
		g.change = nil
		return
	}
	if _, open := r.Open(); open && !c.opened {
		c.opened = true
		c.step("open", v.Now)
	}
	complete := c.opened && v.State.Leader != g.agent
	if complete {
		c.step("follow", v.Now)
	}
	due := c.written == 0 || complete || v.Now >= c.committed+historyEvery
	if len(c.history.Steps) == c.written || !due {
		return
	}
	h := c.history
	g.do(ctx, "history", func(life context.Context) func() {
		ctx, cancel := context.WithTimeout(life, storeTimeout)
		defer cancel()
		if err := g.store.PutHistory(ctx, g.name, h); err != nil {
			g.log.Warn("cannot write the history", "epoch", h.Epoch, "error", err)
			sleep(life, historyEvery) // nobody waits for it
			return nil
		}
		return func() {
			c.written = len(h.Steps)
			if complete && g.change == c {
				g.change = nil
			}
		}
	})
}

// step adds a step that ended now; its time counts from the commit.
func (c *change) step(name string, now time.Duration) {
	for _, s := range c.history.Steps {
		if s.Name == name {
			return
		}
	}
	steps := append([]failover.Step(nil), c.history.Steps...)
	c.history.Steps = append(steps, failover.Step{Name: name, Took: failover.Duration(now - c.committed)})
}

package agent

import (
	"context"
	"errors"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// entryEvery is how often the agent of a master looks at the name of the master.
const entryEvery = 30 * time.Second

// keepEntry has the agent of a master look whether the entry that names it stands in Consul as the record has it. It belongs to no
// Consul agent, so what somebody removes, by a script that tidies up for one, nobody would put back before the next change of
// master.
func (g *group) keepEntry(ctx context.Context) {
	v := &g.view
	r, index := v.State.Record, v.State.RecordIndex
	if r == nil || v.Now < max(g.entrySeen, v.Memory.EpochSeen)+entryEvery {
		return
	}
	if n := g.nodes[r.Master]; n == nil || !g.named(n) || !g.leased(n) {
		return
	}
	g.entrySeen = v.Now
	entry := g.entry(r)
	g.do(ctx, "entry", func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		back, err := g.store.KeepEntry(ctx, g.name, index, entry)
		switch {
		case back:
			g.log.Warn("the name of the master was not in Consul as the record has it, and was put back", "service", entry.Service)
		case err != nil && !errors.Is(err, catalog.ErrConflict):
			g.complain.warn(g.log, "cannot keep the name of the master", "service", entry.Service, "error", err)
		}
		return nil
	})
}

package agent

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

const (
	// tagRetry is how often a master asks whether the tag is free, tagOverdue how often when it should have been long ago.
	tagRetry, tagOverdue = 50 * time.Millisecond, 500 * time.Millisecond
	// overdueAfter is how long after a change of master the agents of those that were it before may take to register them anew,
	// expiredAfter how long what an agent said holds that ended instead. One of which Consul has no entry any more is waited for
	// until goneAfter: by then the connection of its Consul agent to the servers should have ended, and with it what was on the way.
	overdueAfter = turnFor + holdFor
	expiredAfter = overdueAfter + masterTTL + time.Second
	goneAfter    = time.Minute
	// olderFirst and olderLast are how often one that has the tag looks whether an entry of an older epoch came back.
	olderFirst, olderLast = 2 * time.Second, 30 * time.Second
)

// tagClaim is where a master of this agent stands with the tag master.
type tagClaim struct {
	epoch uint64
	free  bool          // no other node passes with it
	waits string        // why that is not known
	again time.Duration // when to look
	pause time.Duration // between the last looks
}

// claimTag looks, for a master that is open, whether any other node still passes with the tag master; and again until none is of
// an older epoch, which might come back with it.
func (g *group) claimTag(ctx context.Context) {
	r := g.view.State.Record
	if r == nil {
		return
	}
	n := g.nodes[r.Master]
	if open := n != nil && g.named(n) && n.info.Open && g.leased(n); !open || g.tag.epoch != r.Epoch {
		g.tag = tagClaim{epoch: r.Epoch}
		if !open {
			return
		}
	}
	if g.view.Now < g.tag.again {
		return
	}
	since := g.view.Now - g.view.Memory.EpochSeen
	claim := catalog.TagClaim{Service: g.names.node, Tag: tagMaster, Own: g.names.nodeID(n.name), Epoch: r.Epoch,
		Before: map[string]uint64{}, Overdue: since >= overdueAfter, Expired: since >= expiredAfter, Gone: since >= goneAfter}
	for name, m := range r.Eligible {
		claim.Before[g.names.nodeID(name)] = m.MasterOf
	}
	g.do(ctx, "tag", func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		others, older, err := g.store.ClaimTag(ctx, claim)
		why, level := "", hclog.Warn
		switch {
		case err != nil:
			why = err.Error()
		case len(others) > 0:
			why, level = strings.Join(others, ", ")+" may still have the tag", hclog.Info
		}
		return func() {
			t := &g.tag
			if t.epoch != r.Epoch {
				return
			}
			if why != "" && why != t.waits && !t.free {
				g.log.Log(level, "cannot take the tag master yet", "node", n.name, "why", why)
			}
			t.free, t.waits = t.free || why == "", why
			switch {
			case !t.free: // writes go on meanwhile: it is the name by tag alone that waits
				t.again = g.now() + tagRetry
				if claim.Overdue {
					t.again = g.now() + tagOverdue
				}
			case why != "" || older:
				t.pause = min(max(2*t.pause, olderFirst), olderLast)
				t.again = g.now() + t.pause
			default:
				t.again = math.MaxInt64
			}
		}
	})
}

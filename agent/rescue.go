package agent

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/rescue"
)

const (
	// rescueTimeout bounds the saving of one data set: a server of many gigabytes on a slow disk needs minutes.
	rescueTimeout = time.Hour
	// rescueAgain is how long after a failure it is tried again; the node waits, and the disk may have room by then.
	rescueAgain = 10 * time.Second
	// pruneEvery is how often data sets that were kept long enough are looked for.
	pruneEvery = time.Hour
)

// rescues is the folder of saved data sets, made when the first is needed.
type rescues struct {
	dir   string
	keep  time.Duration
	mu    sync.Mutex
	store *rescue.Store
}

func (r *rescues) open() (_ *rescue.Store, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		r.store, err = rescue.Open(r.dir, r.keep)
	}
	return r.store, err
}

// prune removes what was kept long enough, until ctx ends.
func (a *agent) prune(ctx context.Context) {
	for ; ctx.Err() == nil; sleep(ctx, pruneEvery) {
		if _, err := os.Stat(a.rescues.dir); err == nil {
			a.pruneOnce()
		}
	}
}

func (a *agent) pruneOnce() {
	store, err := a.rescues.open()
	if err != nil {
		a.log.Warn("cannot look for old rescued data sets", "error", err)
		return
	}
	removed, err := store.Prune(time.Now())
	if err != nil {
		a.log.Warn("cannot remove an old rescued data set", "error", err)
	}
	for _, f := range removed {
		a.log.Info("removed a rescued data set that was kept long enough", "file", f.Path, "saved", f.SavedAt)
	}
}

// rescue saves what a frozen node has to a file, and says so in the history of the change of master that discards it.
func (g *group) rescue(ctx context.Context, key string, a failover.Rescue) {
	n := g.nodes[a.Node]
	if g.now() < n.rescueAfter {
		return
	}
	at, keys := n.info.Position, n.info.Keys
	g.do(ctx, key, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, rescueTimeout)
		defer cancel()
		f := rescue.File{Group: g.name, Node: a.Node, RunID: a.RunID, Epoch: a.Epoch, ReplID: at.ReplID,
			FirstOffset: at.Offset - a.Bytes + 1, LastOffset: at.Offset, Beyond: a.Bytes, Keys: keys}
		if a.Bytes < 0 {
			f.Beyond, f.FirstOffset, f.Reason = rescue.Unknown, 0, "unknown: "+a.Why
		}
		f, err := g.save(ctx, n, f)
		if err != nil {
			g.log.Error("cannot save the data set of a node; it is not resynced", "node", a.Node, "error", err)
			return func() {
				n.rescueFailed, n.rescueAfter = err.Error(), g.now()+rescueAgain
			}
		}
		g.log.Warn("a data set was saved before it is discarded", "node", a.Node, "file", f.Path, "why", a.Why, "size", f.Size)
		g.tellRescued(ctx, a, f)
		return func() {
			n.rescueFailed, n.rescued, n.rescuedAt = "", f.Path, g.now()
			if n.info.RunID == a.RunID && n.info.Position == at { // else it was master once more meanwhile, perhaps
				n.rescuedRun = a.RunID
			}
		}
	})
}

// rescued names the file that has what the node had before it was resynced, for as long as it is kept.
func (g *group) rescued(n *node) string {
	if n.rescued == "" || g.rescues.keep > 0 && g.now() > n.rescuedAt+g.rescues.keep {
		return ""
	}
	return "its data of before the resync are in " + n.rescued
}

func (g *group) save(ctx context.Context, n *node, f rescue.File) (rescue.File, error) {
	store, err := g.rescues.open()
	if err != nil {
		return f, err
	}
	final, temporary := store.Path(f.Group, f.Node, f.Epoch, f.RunID)
	if _, err := os.Stat(final); err == nil {
		// An agent before this one saved it, and nothing was written to a frozen server since.
		if files, err := store.List(); err == nil {
			for _, there := range files {
				if there.Path == final && there.LastOffset == f.LastOffset && there.Problem == "" {
					return there, nil
				}
			}
		}
	}
	if err := n.drv.Save(ctx, n.name, temporary); err != nil {
		return f, err
	}
	return store.Commit(f)
}

// tellRescued writes to the history that the file is there. The file says it too, so nothing is lost without Consul.
func (g *group) tellRescued(ctx context.Context, a failover.Rescue, f rescue.File) {
	r := failover.Rescued{Node: a.Node, RunID: a.RunID, Agent: g.agent, File: f.Path, Bytes: a.Bytes, Why: a.Why, At: f.SavedAt}
	for range 3 {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		err := g.store.PutRescued(ctx, g.name, a.Epoch, r)
		cancel()
		if err == nil {
			return
		}
		g.log.Warn("cannot note the rescued data set in the history", "node", a.Node, "error", err)
		pauseAfterError(ctx)
	}
}

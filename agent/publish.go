package agent

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/checks"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// publisher keeps the services and checks of the agent's nodes in its local Consul agent. Groups hand it what
// should be there; a goroutine for each node brings it there, so that a slow Consul agent holds up no decision.
type publisher struct {
	catalog registrar
	log     hclog.Logger
	complain
	mu     sync.Mutex
	nodes  map[string]*published
	groups map[string]standing
	// crowd is how many groups are in a change of master.
	crowd atomic.Int64
	ctx   context.Context
	wg    sync.WaitGroup
}

const (
	// showEvery is how often checks are formed anew whose figures alone may have changed.
	showEvery = time.Second
	// figuresEvery is how often a check says so when nothing else has: each time costs Consul a write. Nodes beyond
	// figuresNodes make it seldomer, so that an agent of a hundred writes no more than one of ten.
	figuresEvery = time.Minute
	figuresNodes = 10
)

// face is what of a node is told as soon as it changes.
type face struct {
	role, run string
	link      plugin.Link
	state     failover.NodeState
	dead      bool
	drained   bool
	epoch     uint64
	phase     failover.Phase
	verdict   failover.Verdict
}

func (g *group) face(n *node, role string) face {
	f := face{role: role, run: n.info.RunID, link: n.seen.Link, state: n.state(), dead: n.dead, drained: n.drained,
		verdict: g.view.Judgement.Verdict}
	if r := g.view.State.Record; r != nil {
		f.epoch, f.phase = r.Epoch, r.Phase
	}
	return f
}

// published is what should be in Consul of one node.
type published struct {
	face     face          // as last wanted, at shown; they belong to the group's goroutine
	shown    time.Duration // when the checks were last formed
	mu       sync.Mutex
	services []catalog.Service
	results  map[string]checks.Result
	tagged   bool // Consul has it with the tag master
	changed  chan struct{}
}

func newPublisher(c registrar, log hclog.Logger) *publisher {
	return &publisher{catalog: c, log: log, nodes: map[string]*published{}, groups: map[string]standing{}}
}

// run removes what an earlier configuration registered and this one does not, and keeps the rest until ctx ends.
func (p *publisher) run(ctx context.Context, agent string, wanted map[string]bool) {
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	for ctx.Err() == nil {
		if err := p.sweep(ctx, agent, wanted); err == nil {
			break
		}
		pauseAfterError(ctx)
	}
	<-ctx.Done()
	p.wg.Wait()
}

func (p *publisher) sweep(ctx context.Context, agent string, wanted map[string]bool) error {
	owned, err := p.catalog.Owned(ctx)
	if err != nil {
		return err
	}
	for _, id := range owned {
		if wanted[id] {
			continue
		}
		p.log.Info("remove a service that the configuration no longer has", "service", id)
		if err := p.catalog.Deregister(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// group takes in what a group's nodes should look like now.
func (p *publisher) group(g *group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil || p.ctx.Err() != nil {
		return
	}
	if s := (standing{g.standing, g.troubled}); p.groups[g.name] != s {
		p.groups[g.name] = s
		p.agentCheck()
	}
	held := p.holds(g)
	for name, n := range g.nodes {
		if g.unseen(n) || p.nodes[name] == nil && g.named(n) && n.info.Open && !g.tag.free {
			continue // what an earlier agent registered stands until this one knows better
		}
		d := p.nodes[name]
		if d == nil {
			d = &published{changed: make(chan struct{}, 1)}
			p.nodes[name] = d
			p.wg.Go(func() { p.keep(p.ctx, name, d) })
		}
		f := g.face(n, g.role(n))
		if f == d.face && g.view.Now < d.shown+showEvery {
			continue
		}
		// The tag master goes at once when a lease ends, unless there is nobody left to find; in a change of master, when that
		// takes its time.
		untag := d.face.role == tagMaster && f.role != tagMaster && !n.dead &&
			(n.leaving != "" || g.view.Now >= g.view.Memory.EpochSeen+holdFor)
		waits := held && d.mayWait(g, n)
		if untag || !waits && !g.turning(n) && !n.lost(g.view.Now) {
			d.face, d.shown = f, g.view.Now
			d.set(g.services(n), g.results(n))
		}
	}
}

// mayWait tells whether nobody waits for what a node has to tell. The next master's agent does, for an earlier one to be registered
// as what it is now; so does an agent that leaves, and whoever would go to a server that has ended.
func (d *published) mayWait(g *group, n *node) bool {
	r := g.view.State.Record
	return r != nil && d.shown > 0 && !n.dead && n.leaving == "" && d.face.epoch > r.Eligible[n.name].MasterOf
}

// holds tells whether a group that has just changed masters waits with what it has to tell, as others of this agent are about to:
// it would cost Consul the commits that those wait for.
func (p *publisher) holds(g *group) bool {
	if changes := g.changing(); changes != g.counts {
		g.counts = changes
		p.crowd.Add(map[bool]int64{true: 1, false: -1}[changes])
	}
	if g.view.Now >= g.view.Memory.EpochSeen+heldFor {
		return false
	}
	return g.others(&p.crowd) > 0
}

// agentCheck shows in the agent's own check where its groups stand, and what each waits for. Those that wait stand first, as
// Consul cuts an output off after 4 KiB.
func (p *publisher) agentCheck() {
	status := "passing"
	var troubled, calm []string
	for _, name := range slices.Sorted(maps.Keys(p.groups)) {
		s := p.groups[name]
		line := name + ": " + s.line
		if s.troubled {
			status, troubled = "warning", append(troubled, line)
		} else {
			calm = append(calm, line)
		}
	}
	p.catalog.SetAgentCheck(status, strings.Join(append(troubled, calm...), betweenGroups))
}

func (d *published) set(services []catalog.Service, results map[string]checks.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.services, d.results = services, results
	poke(d.changed)
}

// bear notes what Consul has.
func (d *published) bear(there map[string]catalog.Service) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tagged = false
	for _, s := range there {
		d.tagged = d.tagged || slices.Contains(s.Tags, tagMaster)
	}
}

// tagged tells whether Consul still has a node of this agent with the tag master.
func (p *publisher) tagged() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.nodes {
		d.mu.Lock()
		tagged := d.tagged
		d.mu.Unlock()
		if tagged {
			return true
		}
	}
	return false
}

func (d *published) get() ([]catalog.Service, map[string]checks.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.services, d.results
}

// keep brings one node's services to Consul whenever they change.
func (p *publisher) keep(ctx context.Context, name string, d *published) {
	there := map[string]catalog.Service{}
	said := map[string]spoken{}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-d.changed:
		}
		services, results := d.get()
		err := p.bring(ctx, there, said, services, results)
		d.bear(there)
		if err != nil {
			p.complain.warn(p.log, "cannot register with Consul", "node", name, "error", err)
			sleep(ctx, 200*time.Millisecond)
			poke(d.changed) // try again
		}
	}
}

// spoken is what a check was made to say, and when.
type spoken struct {
	checks.Result
	at time.Time
}

// is tells whether a result is the same but for its figures, which were told not long ago.
func (s spoken) is(r checks.Result, pause time.Duration) bool {
	return s.Status == r.Status && (s.Output == r.Output || time.Since(s.at) < pause && checks.SameWords(s.Output, r.Output))
}

// figuresPause is how long figures alone are not told again.
func (p *publisher) figuresPause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return figuresEvery * time.Duration(max(figuresNodes, len(p.nodes))) / figuresNodes
}

func (p *publisher) bring(ctx context.Context, there map[string]catalog.Service, said map[string]spoken, want []catalog.Service, results map[string]checks.Result) error {
	wanted := map[string]bool{}
	for _, s := range want {
		wanted[s.ID] = true
	}
	for id := range there {
		if !wanted[id] {
			there[id] = catalog.Service{} // whatever becomes of it, it is not as it was
			if err := p.catalog.Deregister(ctx, id); err != nil {
				return err
			}
			delete(there, id)
		}
	}
	for _, s := range want {
		if old, ok := there[s.ID]; ok && reflect.DeepEqual(old, s) {
			continue
		}
		if err := p.catalog.Register(ctx, s); err != nil {
			return err
		}
		there[s.ID] = s
		for _, c := range s.Checks {
			delete(said, c.ID)
		}
	}
	pause := p.figuresPause()
	for _, s := range want {
		for _, c := range s.Checks {
			if r, ok := results[c.ID]; ok && !said[c.ID].is(r, pause) {
				p.catalog.SetCheck(ctx, c.ID, string(r.Status), r.Output)
				said[c.ID] = spoken{r, time.Now()}
			}
		}
	}
	return nil
}

package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/checks"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// group runs the protocol for one group on this agent. One goroutine owns all of it: news arrive as functions
// on its channel, what they change is followed by one look at everything, and what is to be done runs beside it.
type group struct {
	name    string
	agent   string
	names   serviceNames
	mine    failover.Settings // the shared settings as this agent's file has them
	store   store
	log     hclog.Logger
	now     func() time.Duration
	epochs  *epochs
	servers *servers
	confirm func() // asks for a consistent read of the record; a witness needs none
	// unknown is told when the state lacks this agent, or the settings: somebody has deleted them.
	unknown chan struct{}

	// news are taken in by the group's goroutine, and tell whether everything is to be looked at because of them.
	news  chan func() (look bool)
	view  failover.View
	nodes map[string]*node
	// watcher observes the master when it is another agent's node, with watchTLS if that is reached by TLS.
	watcher  plugin.Driver
	watchTLS *plugin.TLS
	watched  plugin.Server
	remote   plugin.Observation
	remoteAt time.Duration
	// reported is what the master's agent says of it, reportedAt since when; openIn is the last epoch in which it said that it is open.
	reported   reported
	reportedAt time.Duration
	openIn     uint64
	// judged is the last verdict, downSince is when it last became down.
	judged    failover.Verdict
	downSince time.Duration
	// fenceAfter is the shared setting, and recordSeen the index of the newest record known: for the reader of the leases.
	fenceAfter atomic.Int64
	recordSeen atomic.Uint64
	tag        tagClaim
	// entrySeen is when the name of the master was last looked at.
	entrySeen time.Duration
	// leaseRead is since when no older consistent read counts.
	leaseRead time.Duration
	// stateIndex is the X-Consul-Index of the newest state, stateAt when it was told; older answers are dropped.
	stateIndex uint64
	stateAt    time.Duration
	// taken is the index of the newest state that was taken in whole; missed tells that one was dropped since.
	taken  uint64
	missed bool
	// settles tells of a read of the group that it was begun when no election of this agent was under way, and none was begun since.
	settles bool
	// wroteRecord is the index of a record that this agent wrote and has not told, heardRecord that of the newest it was told of, at heardAt.
	wroteRecord, heardRecord uint64
	heardAt                  time.Duration
	// running are the keys of what runs beside the goroutine.
	running map[string]bool
	// said is what was last logged of where the group stands, standing is the same for the agent's check; troubled tells that
	// something is waited for.
	said, standing string
	troubled       bool
	// vetoed is the last judgement that the agent's own master is busy, vetoing whether it still is, and vetoedAt until when it was.
	vetoed   failover.Judgement
	vetoing  bool
	vetoedAt time.Duration
	// change is the change of master that this agent committed, until its history is complete.
	change *change
	complain
	// away paces what is tried again while Consul does not answer.
	away    backoff
	publish func(*group)
	// crowd is how many of the agent's groups are in a change of master. This one counts while counts is true.
	crowd   *atomic.Int64
	counts  bool
	rescues *rescues
	// told is what a master's agent said of it directly, because Consul did not answer it, and toldAt when. refused is why
	// the last promises were not given.
	told    peers.FrozenNotice
	toldAt  time.Duration
	refused string
	peers   *peerPort
}

// tick is the longest a group goes without looking at everything, should no news arrive.
const tick = time.Second

// endsWithin is how long the process of a server may outlive its connections: the kernel closes those before it ends it.
const endsWithin = 100 * time.Millisecond

// vetoLasts is how long the veto of a busy master stands after it has answered again, or its driver has lost it: the others
// hear it as soon, and must have taken their votes back by then. Who is busy again and again need not veto each time.
const vetoLasts = time.Second

// servingGrace is how long a master that was just named may take to report that it is open.
const servingGrace = time.Second

func (g *group) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	g.takeIn() // the first lease, if there is one
	for {
		wake := g.step(ctx)
		timer.Reset(min(tick, max(0, wake-g.now())))
		for look := false; !look; {
			select {
			case <-ctx.Done():
				return
			case f := <-g.news:
				look = f()
				look = g.takeIn() || look
			case <-timer.C:
				look = true
			}
		}
	}
}

// takeIn takes in what else is new, so that one look serves all of it.
func (g *group) takeIn() (look bool) {
	for {
		select {
		case f := <-g.news:
			look = f() || look
		default:
			return look
		}
	}
}

// tell has the group's goroutine take something in, and look at everything.
func (g *group) tell(ctx context.Context, f func()) {
	g.hand(ctx, func() bool { f(); return true })
}

// hand hands news to the group's goroutine.
func (g *group) hand(ctx context.Context, f func() (look bool)) {
	select {
	case g.news <- f:
	case <-ctx.Done():
	}
}

// ask hands f to the group's goroutine and waits for its answer.
func ask[T any](ctx context.Context, g *group, f func() T) (answer T, err error) {
	c := make(chan T, 1)
	g.tell(ctx, func() { c <- f() })
	select {
	case answer = <-c:
		return answer, nil
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// step looks at everything, starts what is to be done, and returns when to look again.
func (g *group) step(ctx context.Context) time.Duration {
	v := &g.view
	v.Now, v.Wall = g.now(), time.Now()
	v.Session = g.store.Session() != ""
	v.Crowd = g.others(g.crowd)
	v.Local = v.Local[:0]
	for _, name := range g.nodeNames() {
		n := g.nodes[name]
		if n.seen.Link == plugin.LinkGone && !n.dead {
			n.dead = n.ended()
		}
		if v.Read {
			n.inherit(v.State.Nodes[name])
		}
		known := g.ownReport(name)
		if n.info.RunID == "" {
			known.RunID = n.recall(g.servers, known, v.Now)
		}
		l := n.local(known)
		l.Busy = n.busySince > 0 && v.Now >= n.busySince+time.Duration(g.view.Settings().BusyAfter)
		v.Local = append(v.Local, l)
	}
	g.fenceAfter.Store(int64(g.view.Fence()))
	g.connectNodes(ctx)
	g.watchMaster(ctx)
	v.Note()
	g.keepEpoch(ctx)
	g.catchUp(ctx)
	g.greet(ctx)
	if v.MayElect && !g.running[failover.Elect{}.Key()] {
		g.start(ctx, failover.Reread{Why: "what became of an election is not known"})
	}
	g.noteReported()
	wake := g.judge()
	d := failover.Decide(v)
	if d.Wake != 0 {
		wake = min(wake, d.Wake)
	}
	g.say(d)
	for _, a := range d.Actions {
		g.start(ctx, a)
	}
	for _, n := range g.nodes {
		g.keepMinReplicas(ctx, n)
	}
	g.tellRecord(ctx)
	wake = min(wake, g.readTold(ctx))
	g.keepHistory(ctx)
	g.claimTag(ctx)
	g.keepEntry(ctx)
	g.publish(g)
	for _, then := range []time.Duration{v.Memory.EpochSeen + holdFor, g.tag.again} {
		if then > v.Now {
			wake = min(wake, then)
		}
	}
	return wake
}

// ownReport is what this agent, or one before it of the same name, reported of a node; what another says is about another server.
func (g *group) ownReport(node string) failover.Report {
	if rep := g.view.State.Nodes[node]; rep.Agent == g.agent {
		return rep
	}
	return failover.Report{}
}

// judge forms this agent's verdict on the master and returns when it may change without news.
func (g *group) judge() time.Duration {
	v, wake := &g.view, g.view.Now+tick
	v.Judgement = failover.Judgement{}
	r := v.State.Record
	if r == nil || r.Phase != failover.Steady {
		return wake
	}
	own, mine := g.nodes[r.Master]
	settings := g.view.Settings()
	if mine && own.missed() {
		// The veto is due when half of down_after has passed, and ends with busy_after, not at the next observation.
		silent := own.silentFor(v.Now)
		for _, limit := range []failover.Duration{settings.DownAfter / 2, settings.BusyAfter} {
			if due := time.Duration(limit) + 1; silent < due {
				wake = min(wake, v.Now+due-silent)
			}
		}
		if own.seen.Link == plugin.LinkGone && !own.dead && v.Now < own.lostAt+endsWithin {
			wake = v.Now + time.Millisecond
		}
	}
	for _, since := range []time.Duration{g.reportedAt, g.toldAt} {
		if v.Now < since+servingGrace {
			wake = min(wake, since+servingGrace)
		}
	}
	if grace := v.Memory.EpochSeen + servingGrace; grace > v.Now {
		wake = min(wake, grace)
	}
	verdict := checks.JudgeMaster(g.masterView())
	j := failover.Judgement{Epoch: r.Epoch, Master: r.Master}
	busy := mine && g.busy(own, settings, &j)
	if busy || g.vetoing {
		g.vetoedAt = v.Now
	}
	g.vetoing = busy
	switch {
	case busy:
		g.vetoed = j
	case verdict.Down:
		j.Verdict, j.Evidence, j.Cause = failover.Down, failover.Evidence(verdict.Evidence), verdict.Cause
	case mine && !own.missed() && g.vetoed.Epoch == r.Epoch && v.Now < g.vetoedAt+vetoLasts:
		j, wake = g.vetoed, min(wake, g.vetoedAt+vetoLasts)
	}
	if j.Verdict == failover.Down && g.judged != j.Verdict {
		g.downSince = v.Now
	}
	g.judged = j.Verdict
	v.Judgement = j
	return wake
}

// masterView is what this agent knows of the master of the record.
func (g *group) masterView() checks.MasterView {
	v, r := &g.view, g.view.State.Record
	o := g.masterSeen()
	rep := v.State.Nodes[r.Master]
	reportedFor := v.Now - g.reportedAt
	if t := g.told; t.Node == r.Master && t.RunID == r.RunID && t.Epoch == r.Epoch && g.toldAt > g.reportedAt {
		rep.RunID, rep.State, rep.Epoch, reportedFor = t.RunID, failover.StateFrozen, t.Epoch, v.Now-g.toldAt
	}
	if own, mine := g.nodes[r.Master]; mine && o.Link == plugin.LinkUp && own.info.Open && own.info.RunID == r.RunID {
		// What this agent reported of it may be on its way still.
		rep.RunID, rep.State, rep.Epoch, reportedFor = r.RunID, failover.StateOpen, r.Epoch, 0
	}
	_, open := r.Open()
	return checks.MasterView{
		Link: checks.Link(o.Link), Cause: o.Cause, SilentFor: o.SilentFor, ObservedAgo: v.Now - g.masterSeenAt(),
		DownAfter:     time.Duration(g.view.Settings().DownAfter),
		ReportedRunID: rep.RunID, ReportedState: string(rep.State), ReportedEpoch: rep.Epoch, ReportedFor: reportedFor,
		RecordRunID: r.RunID, Epoch: r.Epoch, EpochSeenFor: v.Now - v.Memory.EpochSeen, NotOpened: !open && g.openIn != r.Epoch, Grace: servingGrace,
	}
}

func (g *group) masterSeen() plugin.Observation {
	if own, mine := g.nodes[g.view.State.Record.Master]; mine {
		return own.seen
	}
	return g.remote
}

func (g *group) masterSeenAt() time.Duration {
	if own, mine := g.nodes[g.view.State.Record.Master]; mine {
		return own.at
	}
	return g.remoteAt
}

// noteReported notes since when the master's own agent has reported what it reports now, and forgets what it told before that.
func (g *group) noteReported() {
	r := g.view.State.Record
	if r == nil {
		return
	}
	rep := g.view.State.Nodes[r.Master]
	if now := (reported{rep.Node, rep.RunID, rep.State, rep.Epoch}); now != g.reported {
		g.reported, g.reportedAt = now, g.view.Now
		if rep.State == failover.StateOpen && rep.RunID == r.RunID {
			g.openIn = rep.Epoch
		}
	}
	// A report of an opening that goes on from the freeze, or from a place behind it, is newer than the word of that, however late it
	// came.
	from, behind := rep.Position.ReplID2 == g.told.ReplID, g.told.Offset > 0 && rep.Position.Offset2 > g.told.Offset
	if rep.State == failover.StateOpen && g.told.ReplID != "" && (from || behind) {
		g.told = peers.FrozenNotice{}
	}
}

type reported struct {
	node, run string
	state     failover.NodeState
	epoch     uint64
}

// busy fills in the veto of the master's own agent: the server runs, it is only not answering.
func (g *group) busy(n *node, s failover.Settings, j *failover.Judgement) bool {
	silent := n.silentFor(g.view.Now)
	if !n.missed() || n.dead || silent > time.Duration(s.BusyAfter) {
		return false
	}
	state, cpu, known := n.stat()
	busy, cause := checks.JudgeBusy(checks.Process{State: state, Known: known, CPU: cpu - n.cpuAtSilence},
		silent, time.Duration(s.DownAfter))
	if busy {
		j.Verdict, j.Cause = failover.Busy, cause
	}
	return busy
}

// say logs what is waited for and refused, once per change.
func (g *group) say(d failover.Decision) {
	waits := slices.Clone(d.Waits)
	slices.Sort(waits)
	if why := g.disagreement(); why != "" {
		waits = append(waits, why)
	}
	line := g.view.Summary()
	if len(waits) > 0 {
		line += ": " + strings.Join(waits, "; ")
	}
	g.standing = standingLine(g.view.Summary(), waits)
	g.troubled = len(waits) > 0
	if line != g.said {
		g.said = line
		g.log.Info(line)
	}
}

// disagreement says which shared settings the agent's own file has otherwise. Those in Consul hold.
func (g *group) disagreement() string {
	if g.view.State.Settings == nil {
		return ""
	}
	theirs := *g.view.State.Settings
	theirs.Paused = g.mine.Paused
	if theirs == g.mine {
		return ""
	}
	return fmt.Sprintf("this agent's file has other settings than Consul, which hold: %s", strings.Join(differences(g.mine, theirs), ", "))
}

func differences(file, consul failover.Settings) (list []string) {
	differ := func(name string, a, b any) {
		if a != b {
			list = append(list, fmt.Sprintf("%s is %v in the file and %v in Consul", name, a, b))
		}
	}
	differ("quorum", file.Quorum, consul.Quorum)
	differ("down_after", time.Duration(file.DownAfter), time.Duration(consul.DownAfter))
	differ("busy_after", time.Duration(file.BusyAfter), time.Duration(consul.BusyAfter))
	differ("fence_after", time.Duration(file.FenceAfter), time.Duration(consul.FenceAfter))
	differ("failover_timeout", time.Duration(file.FailoverTimeout), time.Duration(consul.FailoverTimeout))
	differ("parallel_syncs", file.ParallelSyncs, consul.ParallelSyncs)
	differ("durability", file.Durability, consul.Durability)
	differ("cooldown", time.Duration(file.Cooldown), time.Duration(consul.Cooldown))
	differ("bootstrap_expect", file.BootstrapExpect, consul.BootstrapExpect)
	return list
}

func (g *group) nodeNames() []string { return slices.Sorted(maps.Keys(g.nodes)) }

// do runs f beside the group's goroutine, once at a time for each key, and hands it what f returns.
func (g *group) do(ctx context.Context, key string, f func(context.Context) func()) {
	if g.running[key] {
		return
	}
	g.running[key] = true
	go func() {
		done := f(ctx)
		g.tell(ctx, func() {
			delete(g.running, key)
			if done != nil {
				done()
			}
		})
	}()
}

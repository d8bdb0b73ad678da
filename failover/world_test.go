package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// world is a small model of an installation under virtual time: servers, agents and Consul. The agents run Note and
// Decide; the world carries their actions out, one tick after the other. It is what the transcripts and the random
// histories are played in.
type world struct {
	now     time.Duration
	index   uint64
	replids int
	runs    int
	consul  State
	down    bool // Consul answers nobody
	servers map[string]*server
	agents  []*simAgent
	history []History
	log     []string
	// skip, when set, keeps an agent from taking a step in a tick, and blind keeps it from reading Consul.
	skip, blind func(*simAgent) bool
	// acked are writes acknowledged to clients; each is a number of its own.
	written int
}

// server is a model of Redis: what it holds is a list of writes, and its offset is their count.
type server struct {
	name           string
	alive, stopped bool
	run            string
	open           bool
	master         string // the address it replicates from; frozenAt is the closed port
	linkUp         bool
	replid         string
	replid2        string
	offset2        int64
	data           []int
	persisted      bool
	paused         bool
	fullSyncs      int
}

const (
	tickLen  = 10 * time.Millisecond
	frozenAt = "127.0.0.1:1"
)

// simAgent is an agent with at most one node.
type simAgent struct {
	name    string
	node    string
	alive   bool
	cut     bool // reaches neither Consul nor other machines
	session bool
	view    View
	local   Local
	silent  map[string]time.Duration // since when each address has not answered
	// reported is what the master's agent says of it, and since when this agent has seen that.
	reported      Report
	reportedSince time.Duration
}

func newWorld(nodes ...string) *world {
	w := &world{servers: map[string]*server{}, now: time.Hour, consul: State{
		Votes: map[string]Vote{}, Nodes: map[string]Report{}, Agents: map[string]AgentInfo{},
	}}
	for _, n := range nodes {
		w.servers[n] = &server{name: n}
		w.boot(n)
		w.agent("agent-"+n, n)
	}
	s := DefaultSettings()
	s.BootstrapExpect, s.DownAfter = len(nodes), Duration(time.Second)
	w.consul.Settings = &s
	return w
}

func (w *world) agent(name, node string) *simAgent {
	a := &simAgent{name: name, node: node}
	w.agents = append(w.agents, a)
	w.startAgent(a)
	info := AgentInfo{Agent: name}
	if node != "" {
		info.Nodes = []string{node}
	}
	w.consul.Agents[name] = info
	return a
}

func (w *world) startAgent(a *simAgent) {
	highest := a.view.Highest
	*a = simAgent{name: a.name, node: a.node, alive: true, session: true, silent: map[string]time.Duration{}, cut: a.cut}
	a.view.Agent, a.view.Highest = a.name, highest
}

// boot starts a server, which starts frozen, with the data it has.
func (w *world) boot(name string) {
	s := w.servers[name]
	w.runs++
	s.alive, s.stopped, s.open, s.linkUp, s.master, s.paused = true, false, false, false, frozenAt, false
	s.run = fmt.Sprintf("run%d", w.runs)
	if len(s.data) == 0 {
		s.replid, s.replid2, s.offset2 = w.newReplID(), "", 0
	}
}

func (w *world) newReplID() string { w.replids++; return fmt.Sprintf("r%d", w.replids) }

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%6dms ", (w.now-time.Hour).Milliseconds())+fmt.Sprintf(format, args...))
}

func (w *world) agentOf(node string) *simAgent {
	for _, a := range w.agents {
		if a.node == node {
			return a
		}
	}
	return nil
}

// answers tells whether a server answers an agent: the machines must reach each other.
func (w *world) answers(a *simAgent, name string) bool {
	s := w.servers[name]
	owner := w.agentOf(name)
	reached := a == owner || !a.cut && (owner == nil || !owner.cut)
	return s.alive && !s.stopped && reached
}

// tick lets one step of time pass everywhere.
func (w *world) tick() {
	w.now += tickLen
	w.replicate()
	for _, a := range w.agents {
		if a.alive && (w.skip == nil || !w.skip(a)) {
			w.step(a)
		}
	}
}

// replicate moves data from masters to the replicas that follow them.
func (w *world) replicate() {
	for _, name := range slices.Sorted(maps.Keys(w.servers)) {
		s := w.servers[name]
		if !s.alive || s.stopped || s.open {
			continue
		}
		m := w.servers[s.master]
		apart := m != nil && (w.agentOf(s.name).cut || w.agentOf(m.name).cut)
		if m == nil || !m.alive || m.stopped || !m.open || apart {
			s.linkUp = false
			continue
		}
		switch {
		case s.replid == m.replid && len(s.data) <= len(m.data), s.replid == m.replid2 && int64(len(s.data)) <= m.offset2:
			s.data = append(s.data, m.data[len(s.data):]...)
		default:
			s.data = slices.Clone(m.data)
			s.fullSyncs++
		}
		s.replid, s.replid2, s.offset2, s.linkUp = m.replid, m.replid2, m.offset2, true
	}
}

// write lets a client write to every server that takes writes, and returns the numbers acknowledged.
func (w *world) write() (acked []int) {
	for _, s := range w.servers {
		if s.alive && !s.stopped && s.open && !s.paused {
			w.written++
			s.data = append(s.data, w.written)
			acked = append(acked, w.written)
		}
	}
	return acked
}

func (w *world) reads(a *simAgent) bool {
	return !a.cut && !w.down && (w.blind == nil || !w.blind(a))
}

// step is what the loop of an agent does: look at everything, decide, act.
func (w *world) step(a *simAgent) {
	v := &a.view
	v.Now, v.Wall, v.Session = w.now, time.Unix(0, 0), a.session && !a.cut && !w.down
	if w.reads(a) && w.consul.Index >= v.State.Index {
		v.State, v.Read = w.snapshot(), true
		if w.now-v.Lease.Begun > 250*time.Millisecond {
			w.confirm(a)
		}
	}
	if a.node != "" {
		w.observe(a)
		v.Local = []Local{a.local}
	}
	v.Note()
	w.judge(a)
	for _, act := range Decide(v).Actions {
		w.do(a, act)
	}
}

func (w *world) snapshot() State {
	s := w.consul
	s.Votes, s.Nodes, s.Agents = maps.Clone(s.Votes), maps.Clone(s.Nodes), maps.Clone(s.Agents)
	s.Index = w.index
	return s
}

func (w *world) confirm(a *simAgent) {
	a.view.Lease = Lease{Begun: w.now, Record: w.consul.Record, Index: w.consul.RecordIndex}
}

// observe takes in the agent's own server.
func (w *world) observe(a *simAgent) {
	s, l := w.servers[a.node], &a.local
	l.Name, l.Address, l.Priority, l.Killable = s.name, s.name, 100, true
	if rep, ok := w.consul.Nodes[s.name]; ok && rep.Priority == 0 {
		l.Priority = 0
	}
	l.Known = s.alive && !s.stopped
	if !s.alive {
		l.Dead = true
		return
	}
	if !l.Known {
		return
	}
	l.Dead = false
	if l.RunID != s.run {
		*l = Local{Name: s.name, Address: s.name, Priority: l.Priority, Killable: true, Known: true, RunID: s.run}
	}
	l.Persisted, l.Master, l.Keys = s.persisted, s.master, int64(len(s.data))
	l.Position = Position{s.replid, int64(len(s.data)), s.replid2, s.offset2}
	switch {
	case s.open:
		l.State, l.MaybeOpen = StateOpen, true
	case s.master == frozenAt:
		l.State, l.Master = StateFrozen, ""
	case s.linkUp:
		l.State = StateFollowing
	default:
		l.State = StateSyncing
	}
}

// judge is the agent's view of the master, as package checks would have it.
func (w *world) judge(a *simAgent) {
	v := &a.view
	v.Judgement = Judgement{}
	r := v.State.Record
	if r == nil || r.Phase != Steady {
		return
	}
	s, rep := w.servers[r.Master], v.State.Nodes[r.Master]
	if w.answers(a, r.Master) || s.alive != true && w.reachable(a, r.Master) {
		delete(a.silent, r.Master)
	} else if _, ok := a.silent[r.Master]; !ok {
		a.silent[r.Master] = w.now
	}
	if rep.State != a.reported.State || rep.RunID != a.reported.RunID || rep.Epoch != a.reported.Epoch {
		a.reported, a.reportedSince = rep, w.now
	}
	since, silent := a.silent[r.Master]
	_, open := r.Open()
	j := Judgement{Epoch: r.Epoch, Master: r.Master, Verdict: Down}
	switch {
	case !s.alive && w.reachable(a, r.Master):
		j.Evidence, j.Cause = Gone, "connection refused"
	case silent && w.now-since >= timeOf(v.settings().DownAfter):
		j.Evidence, j.Cause = Silent, "no reply"
	case rep.RunID != "" && rep.RunID != r.RunID && rep.Epoch >= r.Epoch:
		j.Evidence, j.Cause = NotServing, "another run"
	case !open && w.now-v.Memory.EpochSeen > time.Second:
		j.Evidence, j.Cause = NotServing, "has not opened"
	case rep.Epoch >= r.Epoch && rep.State == StateFrozen && w.now-max(a.reportedSince, v.Memory.EpochSeen) > time.Second:
		j.Evidence, j.Cause = NotServing, "is frozen"
	default:
		return
	}
	v.Judgement = j
}

func (w *world) reachable(a *simAgent, name string) bool {
	owner := w.agentOf(name)
	return a == owner || !a.cut && !owner.cut
}

// do carries an action out. What needs Consul fails while the agent cannot reach it.
func (w *world) do(a *simAgent, act Action) {
	if w.onServer(a, act) {
		return
	}
	if !w.reads(a) {
		return
	}
	before := w.index
	c := &w.consul
	w.index++
	moves := func(index uint64) bool { return c.Leader == a.name && c.RecordIndex == index && a.session }
	set := func(r *Record) { c.Record, c.RecordIndex = r, w.index }
	switch act := act.(type) {
	case Confirm:
		w.confirm(a)
	case PutReport:
		c.Nodes = maps.Clone(c.Nodes)
		c.Nodes[act.Report.Node] = act.Report
	case PutVote:
		if a.session {
			c.Votes[a.name] = act.Vote
		}
	case DropVote:
		delete(c.Votes, a.name)
	case AcquireLock:
		if c.Leader == "" && a.session {
			c.Leader = a.name
		}
	case ReleaseLock:
		if c.Leader == a.name {
			c.Leader = ""
		}
	case Reread:
		a.view.State, a.view.StateBegun = w.snapshot(), w.now
	case Create:
		if moves(0) && c.Record == nil {
			set(act.Record)
			w.note("%s: %s", a.name, act)
			c.Order = nil
		}
	case Elect:
		if c.Leader == "" && a.session && c.RecordIndex == act.Index {
			c.Leader = a.name
		}
		if moves(act.Index) {
			set(act.Record)
			w.note("%s: %s", a.name, act)
			if act.Order != 0 {
				c.Order = nil
			}
		}
	case Commit:
		if moves(act.Index) {
			set(act.Record)
			w.history = append(w.history, act.History)
			w.note("%s: %s", a.name, act)
		}
	case Amend:
		if c.RecordIndex == act.Index {
			set(act.Record)
			w.note("%s: %s", a.name, act)
		}
	case RefuseOrder:
		c.Order = &act.Order
		w.note("%s: %s", a.name, act)
	default:
		panic(act.String())
	}
	if w.index != before {
		c.Index = w.index
	}
}

// onServer carries out an action on the agent's own server, and tells whether it was one.
func (w *world) onServer(a *simAgent, act Action) bool {
	s := w.servers[a.node]
	able := s != nil && s.alive && !s.stopped
	switch act := act.(type) {
	case Freeze:
		if able {
			s.open, s.master, s.linkUp, s.paused = false, frozenAt, false, false
			a.local.MaybeOpen, a.local.Paused = false, nil
			a.local.Frozen = &FrozenFor{act.Attempt, s.run, Position{s.replid, int64(len(s.data)), s.replid2, s.offset2}, int64(len(s.data))}
			w.note("%s: %s", a.name, act)
		}
	case Kill:
		s.alive, s.stopped, s.open, s.data = false, false, false, nil
		w.note("%s: %s", a.name, act)
	case OpenServer:
		if able && s.run == act.RunID && !s.open {
			s.replid2, s.offset2, s.replid = s.replid, int64(len(s.data)), w.newReplID()
			s.open, s.master = true, ""
			w.note("%s: %s", a.name, act)
		}
	case Follow:
		if able {
			s.open, s.master, s.linkUp = false, act.Master, false
			a.local.MaybeOpen = false
			w.note("%s: %s", a.name, act)
		}
	case Persist:
		if able {
			s.persisted = true
			if s.open {
				s.replid2, s.offset2, s.replid = s.replid, int64(len(s.data)), w.newReplID()
			}
			w.note("%s: %s", a.name, act)
		}
	case Pause:
		if able {
			s.paused = true
			a.local.Paused = &PausedFor{act.Attempt, s.run, w.now, Position{ReplID: s.replid, Offset: int64(len(s.data))}}
			w.note("%s: %s", a.name, act)
		}
	case Look:
		if able {
			a.local.LookedAt = w.now
		}
	default:
		return false
	}
	return true
}

// kill ends a server; without persistence its data are gone with it.
func (w *world) kill(name string, keep bool) {
	s := w.servers[name]
	s.alive, s.stopped, s.open, s.linkUp = false, false, false, false
	if !keep {
		s.data = nil
	}
}

// killAgent ends an agent; its session, and with it lock and votes, ends when Consul notices.
func (w *world) killAgent(a *simAgent) {
	a.alive, a.session = false, false
	w.endSession(a)
}

func (w *world) endSession(a *simAgent) {
	w.index++
	w.consul.Index = w.index
	delete(w.consul.Votes, a.name)
	if w.consul.Leader == a.name {
		w.consul.Leader = ""
	}
}

// openServers are those that take writes now.
func (w *world) openServers() (names []string) {
	for name, s := range w.servers {
		if s.alive && s.open {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// whole tells whether the record is steady, its master open, and every living server follows it.
func (w *world) whole() error {
	r := w.consul.Record
	if r == nil || r.Phase != Steady {
		return fmt.Errorf("record %+v", r)
	}
	for name, s := range w.servers {
		switch {
		case !s.alive:
		case name == r.Master && !s.open:
			return fmt.Errorf("%s is master and not open", name)
		case name != r.Master && (s.master != r.Master || !s.linkUp):
			return fmt.Errorf("%s follows %q, link up %v", name, s.master, s.linkUp)
		case name != r.Master && r.Eligible[name].RunID != s.run:
			return fmt.Errorf("%s is not counted", name)
		}
	}
	if !w.servers[r.Master].alive {
		return fmt.Errorf("%s is master and dead", r.Master)
	}
	return nil
}

// until ticks until the world is whole, at most so long.
func (w *world) until(limit time.Duration) error {
	var err error
	for end := w.now + limit; w.now < end; w.tick() {
		if err = w.whole(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("not whole after %s: %w", limit, err)
}

func (w *world) String() string { return strings.Join(w.log, "\n") }

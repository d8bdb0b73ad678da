package failover

import (
	"time"
)

// simAgent is an agent with at most one node. It does in virtual time what package agent does.
type simAgent struct {
	name    string
	node    string
	alive   bool
	life    int  // grows by one with each start
	cut     bool // reaches neither Consul nor other machines
	away    bool // reaches other machines, and not Consul
	session int  // 0 is none
	view    View
	local   Local
	silent  map[string]time.Duration // since when each address has not answered
	zone    string
	prio    int
	why     string // why it must not be chosen
	busy    string // why its server is silent, and not down

	stateIndex         uint64
	reading, confirmed bool // a read of the state, or of the record, is under way
	running            map[string]bool
	reported           Report
	reportedAt         time.Duration
	skipped            int           // how many ticks in a row it took no step
	cutSince           time.Duration // since when it has reached nobody; 0 while it does
}

func (w *world) startAgent(a *simAgent) {
	*a = simAgent{name: a.name, node: a.node, alive: true, life: a.life + 1, silent: map[string]time.Duration{}, cut: a.cut, away: a.away,
		zone: a.zone, prio: a.prio, why: a.why, running: map[string]bool{}, view: View{Highest: a.view.Highest}}
	a.view.Agent = a.name
	if a.view.Highest > 0 { // the process before may have promised
		a.view.Started = w.now
	}
	w.newSession(a)
}

// killAgent ends an agent; its session, and with it lock and votes, ends when Consul notices.
func (w *world) killAgent(a *simAgent) {
	a.alive = false
	w.endSession(a)
}

// reads tells whether an agent reaches Consul.
func (w *world) reads(a *simAgent) bool { return !a.cut && !a.away && !w.down }

// step is what the loop of an agent does: look at everything, decide, act.
func (w *world) step(a *simAgent) {
	if a.session == 0 && w.reads(a) {
		w.newSession(a)
	}
	if w.reads(a) && (w.blind == nil || !w.blind(a)) {
		w.readState(a)
		if w.now-a.view.Lease.Begun > time.Duration(a.view.Settings().FenceAfter)/4 {
			w.confirm(a)
		}
	}
	w.look(a)
	for _, act := range Decide(&a.view).Actions {
		w.do(a, act)
	}
}

// look is what an agent knows now.
func (w *world) look(a *simAgent) {
	v := &a.view
	v.Now, v.Wall, v.Session = w.now, time.Unix(0, int64(w.now)), a.session != 0 && w.reads(a)
	if a.node != "" {
		w.observe(a)
		v.Local = []Local{a.local}
	}
	v.Note()
	w.judge(a)
}

func (w *world) readState(a *simAgent) {
	if a.reading {
		return
	}
	a.reading = true
	var s State
	w.ask(a, func() bool { s = w.snapshot(); return true }, func(ok, _ bool) {
		if a.reading = false; ok {
			a.take(s, 0)
		}
	})
}

func (a *simAgent) take(s State, begun time.Duration) {
	if s.Index >= a.stateIndex {
		a.stateIndex, a.view.State, a.view.Read = s.Index, s, true
		a.view.StateBegun = max(a.view.StateBegun, begun)
		a.noteEpoch()
	}
}

func (a *simAgent) noteEpoch() {
	if r := a.view.State.Record; r != nil {
		a.view.Highest = max(a.view.Highest, r.Epoch)
	}
}

func (w *world) confirm(a *simAgent) {
	if a.confirmed {
		return
	}
	a.confirmed = true
	l := Lease{Begun: w.now}
	w.ask(a, func() bool { l.Record, l.Index = w.consul.Record, w.consul.RecordIndex; return true }, func(ok, _ bool) {
		if a.confirmed = false; ok {
			a.takeLease(l)
		}
	})
}

func (a *simAgent) takeLease(l Lease) {
	if l.Index < a.view.Lease.Index || l.Begun < a.view.Lease.Begun {
		return
	}
	if l.Record == nil || l.Record.Epoch < a.view.Highest {
		return
	}
	a.view.Lease = l
	if l.Record != nil && l.Index > a.view.State.RecordIndex {
		a.view.State.Record, a.view.State.RecordIndex = l.Record, l.Index
		a.noteEpoch()
	}
}

// observe takes in the agent's own server.
func (w *world) observe(a *simAgent) {
	s, l := w.servers[a.node], &a.local
	l.Known = s.alive && !s.stopped
	if !l.Known {
		l.Dead, l.Ended = !s.alive, !s.alive
		if l.RunID == "" { // it was never seen: what is known of it is what it was
			was := a.view.State.Nodes[a.node]
			*l = Local{RunID: was.RunID, Dead: l.Dead, Ended: l.Ended, MaybeOpen: was.State == StateOpen || was.State == StatePaused}
		}
		l.Name, l.Address, l.Priority, l.Zone, l.Ineligible, l.Killable = s.name, s.name, a.prio, a.zone, a.why, !w.spares
		return
	}
	if l.RunID != s.run {
		*l = Local{RunID: s.run, Known: true}
	}
	l.Name, l.Address, l.Priority, l.Zone, l.Ineligible, l.Killable = s.name, s.name, a.prio, a.zone, a.why, !w.spares
	l.Dead, l.Persisted, l.Master, l.Keys = false, s.persisted, s.master, s.offset()
	// When a resync is done the replication id is another one.
	half := l.HalfSynced && l.Position.ReplID == s.replid || s.syncing != 0
	l.HalfSynced = half && !s.linkUp && !s.open
	l.Position = s.position()
	l.Attached = !s.fresh
	switch {
	case s.loading != 0:
		l.State = StateLoading
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
	mine := a.node == r.Master
	reached := mine || !w.apart2(a, r.Master)
	if reached && (s.alive && !s.stopped || !s.alive) {
		delete(a.silent, r.Master)
	} else if _, ok := a.silent[r.Master]; !ok {
		a.silent[r.Master] = w.now
	}
	if was := a.reported; rep.Node != was.Node || rep.RunID != was.RunID || rep.State != was.State || rep.Epoch != was.Epoch {
		a.reported, a.reportedAt = rep, w.now
	}
	since, silent := a.silent[r.Master]
	_, open := r.Open()
	const grace = time.Second
	settled := w.now-v.Memory.EpochSeen > grace
	j := Judgement{Epoch: r.Epoch, Master: r.Master, Verdict: Down}
	switch {
	case mine && a.busy != "":
		j.Verdict, j.Cause = Busy, a.busy
	case reached && !s.alive:
		j.Evidence, j.Cause = Gone, "connection refused"
	case rep.RunID == r.RunID && rep.State == StateDead:
		j.Evidence, j.Cause = Gone, "its own agent says so"
	case rep.RunID != "" && rep.RunID != r.RunID:
		j.Evidence, j.Cause = NotServing, "another run"
	case settled && !open && rep.State != StateOpen && rep.State != StatePaused:
		j.Evidence, j.Cause = NotServing, "has not opened"
	case settled && rep.Epoch >= r.Epoch && w.now-a.reportedAt > grace &&
		(rep.State == StateFrozen || rep.State == StateFollowing || rep.State == StateSyncing || rep.State == StateStray):
		j.Evidence, j.Cause = NotServing, "is "+string(rep.State)
	case silent && w.now-since >= time.Duration(v.Settings().DownAfter):
		j.Evidence, j.Cause = Silent, "no reply"
	default:
		return
	}
	v.Judgement = j
}

// do begins what the decision asks for, unless it is under way.
func (w *world) do(a *simAgent, act Action) {
	key := act.Key()
	if _, ok := act.(Confirm); ok {
		w.confirm(a)
		return
	}
	if a.running[key] {
		return
	}
	a.running[key] = true
	if w.onServer(a, act) {
		return
	}
	switch act := act.(type) {
	case AskPromises:
		w.askPromises(a, act)
		return
	case TellVote:
		delete(a.running, key)
		a.view.NoteToldVote(act)
		w.tellVote(a, act)
		return
	case TellReport:
		w.tell(a, act)
		return
	}
	switch act := act.(type) {
	case Elect:
		a.view.MayElect, a.view.ElectOver = true, act.Index
	case Amend:
		a.view.Propose(act.Record, act.Index)
	}
	session, begun := a.session, w.now
	var index uint64
	w.ask(a, func() bool {
		if _, ok := act.(Reread); ok {
			return true
		}
		took := w.apply(a, session, act)
		if index = w.consul.RecordIndex; key == (PutVote{}).Key() {
			index = w.index
		}
		return took
	}, func(ok, took bool) {
		if _, again := act.(Reread); again || !ok || !took {
			w.reread(a, key)
			return
		}
		delete(a.running, key)
		a.view.MayElect = false
		a.outcome(act, begun, index)
	})
}

// askPromises asks each of the agents, and prolongs the lease when all have promised.
func (w *world) askPromises(a *simAgent, ask AskPromises) {
	begun, life, missing, open := w.now, a.life, len(ask.Agents), true
	done := func() {
		if a.alive && a.life == life {
			delete(a.running, ask.Key())
			if a.view.Now = w.now; missing == 0 {
				a.view.Extend(ask, begun)
			}
		}
	}
	if missing == 0 {
		done()
		return
	}
	w.later(ask.For/4, func() {
		if open {
			open = false
			done()
		}
	})
	for _, name := range ask.Agents {
		w.after(w.delay, func() {
			for _, b := range w.agents {
				if b.name != name || !b.alive || b.cut || a.cut {
					continue
				}
				b.view.Now = w.now
				if why := b.view.GivePromise(ask.Epoch, ask.Node, ask.RunID, ask.For); why != "" {
					w.note("%s promises nothing to %s: %s", b.name, a.name, why)
					continue
				}
				w.after(w.delay, func() {
					if missing--; missing == 0 && open && !a.cut {
						open = false
						done()
					}
				})
			}
		})
	}
}

// tell tells another agent of a node, if the two reach each other.
func (w *world) tell(a *simAgent, tell TellReport) {
	life, open := a.life, true
	done := func(failed bool) {
		if open && a.alive && a.life == life {
			delete(a.running, tell.Key())
			a.view.Now = w.now
			a.view.NoteToldReport(tell, failed)
		}
		open = false
	}
	w.later(tellTimeout, func() { done(true) })
	for _, b := range w.agents {
		if b.name != tell.Leader {
			continue
		}
		w.after(w.delay, func() {
			if b.alive && (b == a || !b.cut && !a.cut) {
				b.view.Now = w.now
				b.view.HearReport(tell.Report)
				w.after(w.delay, func() { done(false) })
			}
		})
	}
}

// tellVote tells all other agents that it reaches.
func (w *world) tellVote(a *simAgent, tell TellVote) {
	for _, b := range w.agents {
		if b == a {
			continue
		}
		w.after(w.delay, func() {
			if b.alive && !b.cut && !a.cut {
				b.view.Now = w.now
				b.view.HearVote(a.name, tell.Vote)
			}
		})
	}
}

// tellTimeout is how long an agent waits for another to hear it.
const tellTimeout = 50 * time.Millisecond

// reread reads the group consistently: what is written next rests on it.
func (w *world) reread(a *simAgent, key string) {
	begun, s := w.now, State{}
	w.ask(a, func() bool { s = w.snapshot(); return true }, func(ok, _ bool) {
		if delete(a.running, key); ok {
			a.view.MayElect = false
			a.take(s, begun)
		}
	})
}

// outcome takes in what an own write has changed.
func (a *simAgent) outcome(act Action, begun time.Duration, index uint64) {
	s := &a.view.State
	committed := func(r *Record) {
		if index >= s.RecordIndex {
			s.Record, s.RecordIndex = r, index
			a.stateIndex = max(a.stateIndex, index)
			a.noteEpoch()
		}
	}
	switch act := act.(type) {
	case PutReport:
		s.Nodes = with(s.Nodes, act.Report.Node, act.Report)
	case PutVote:
		act.Vote.Index = index
		s.Votes = with(s.Votes, a.name, act.Vote)
	case DropVote:
		s.Votes = without(s.Votes, a.name)
	case AcquireLock:
		s.Leader = a.name
	case ReleaseLock:
		s.Leader = ""
	case Create:
		committed(act.Record)
	case Elect:
		committed(act.Record)
		if a.view.Leads(begun); act.Order != 0 {
			s.Order = nil
		}
	case Commit:
		committed(act.Record)
		a.takeLease(Lease{Begun: begun, Record: act.Record, Index: index})
	case Amend:
		committed(act.Record)
	case RefuseOrder:
		s.Order = &act.Order
	}
}

// onServer sends an order to the agent's own server, and tells whether the action is one.
func (w *world) onServer(a *simAgent, act Action) bool {
	s := w.servers[a.node]
	switch act := act.(type) {
	case Freeze, OpenServer, Follow, Persist, Pause, Look, Rescue:
	case Kill:
		if delete(a.running, act.Key()); s.alive && s.run == act.RunID {
			w.kill(s.name, false)
			w.note("%s: %s", a.name, act)
		}
		return true
	default:
		return false
	}
	if _, ok := act.(OpenServer); ok {
		a.local.MaybeOpen = true
	}
	life, sent := a.life, w.now
	fail := func() {
		if a.life == life {
			delete(a.running, act.Key())
		}
	}
	w.after(w.hangs, func() {
		arrive := func() {
			if a.life != life { // whoever follows an agent has ended its connections
				return
			}
			answer := w.carryOut(a, s, act, sent)
			w.after(w.hangs, func() {
				if a.alive && a.life == life {
					if delete(a.running, act.Key()); answer != nil {
						answer()
					}
				}
			})
		}
		switch {
		case s.takesOrders() && len(s.queue) == 0:
			arrive()
		case s.alive: // it waits in the server's buffers
			s.queue = append(s.queue, order{arrive, fail})
		default:
			fail()
		}
	})
	return true
}

// carryOut does what an order asks for, and returns what its answer means to the agent. A note is made of what changes.
func (w *world) carryOut(a *simAgent, s *server, act Action, sent time.Duration) (answer func()) {
	l, run := &a.local, s.run
	switch act := act.(type) {
	case Freeze:
		s.close()
		f := FrozenFor{act.Attempt, run, s.position(), s.offset()}
		answer = func() {
			if a.running["role "+s.name] || l.RunID != run {
				return // an order sent before it may still arrive; or it was restarted meanwhile
			}
			l.HalfSynced = l.HalfSynced || s.half
			l.MaybeOpen, l.Paused, l.Frozen = false, nil, &f
		}
	case OpenServer:
		if run != act.RunID || s.open || s.stubborn {
			return nil
		}
		w.openUp(s)
	case Follow:
		if run != act.RunID || s.open || s.master != frozenAt || s.position() != act.At {
			return nil
		}
		s.close()
		s.master = act.Master
		answer = func() { l.MaybeOpen = false }
	case Persist:
		if s.readOnly {
			answer = func() { l.PersistFailed = "its configuration file cannot be written: read-only file system" }
			break
		}
		s.persisted = true
		if s.open {
			w.openUp(s)
		}
	case Pause:
		s.paused = true
		w.later(act.For, func() { s.paused = s.paused && s.run != run })
		p := PausedFor{act.Attempt, run, w.now, Position{ReplID: s.replid, Offset: s.offset()}, w.allHave(s)}
		answer = func() { p.Since = w.now; l.Paused = &p }
	case Rescue:
		s.rescued = run
		answer = func() { l.RescuedRun = run }
	case Look:
		return func() {
			if l.RunID == run {
				l.LookedAt = sent
			}
		}
	}
	w.note("%s: %s", a.name, act)
	return answer
}

func (w *world) later(d time.Duration, f func()) {
	w.messages = append(w.messages, message{w.now + d, f})
}

package failover

import (
	"time"
)

// Messages take the time that the world gives them; without one they arrive at once, and in the same step.

type message struct {
	at time.Duration
	f  func()
}

// after runs f when one more message has travelled.
func (w *world) after(delay func() time.Duration, f func()) {
	var d time.Duration
	if delay != nil {
		d = delay()
	}
	if d < tickLen {
		f()
		return
	}
	w.messages = append(w.messages, message{w.now + d, f})
}

// deliver hands over what has arrived.
func (w *world) deliver() {
	pending := w.messages
	w.messages = nil
	for _, m := range pending {
		if m.at <= w.now {
			m.f()
		} else {
			w.messages = append(w.messages, m)
		}
	}
}

// ask sends a request to Consul. serve runs there, unless the request is lost; answer runs at the agent with what serve
// returned, or with false if the request or its answer were lost.
func (w *world) ask(a *simAgent, serve func() bool, answer func(ok, outcome bool)) {
	life := a.life
	back := func(ok, outcome bool) {
		w.after(w.delay, func() {
			if a.alive && a.life == life {
				answer(ok, outcome)
			}
		})
	}
	w.after(w.delay, func() {
		if !w.reads(a) {
			back(false, false)
			return
		}
		outcome := serve()
		back(w.reads(a) && (w.loses == nil || !w.loses()), outcome)
	})
}

func (w *world) snapshot() State {
	s := w.consul
	s.Index = w.index
	return s
}

// apply carries out at Consul what an agent has sent, and tells whether it took effect.
func (w *world) apply(a *simAgent, session int, act Action) bool {
	c := &w.consul
	lives := a.session == session && session != 0
	moves := func(index uint64) bool { return lives && c.Leader == a.name && c.RecordIndex == index }
	done := func(f func()) bool { w.index++; f(); return true }
	set := func(r *Record) bool {
		return done(func() { c.Record, c.RecordIndex = r, w.index; w.note("%s: %s", a.name, act) })
	}
	switch act := act.(type) {
	case PutReport:
		return done(func() { c.Nodes = with(c.Nodes, act.Report.Node, act.Report) })
	case PutVote:
		return lives && done(func() {
			act.Vote.Index = w.index
			c.Votes = with(c.Votes, a.name, act.Vote)
		})
	case DropVote:
		return done(func() { c.Votes = without(c.Votes, a.name) })
	case AcquireLock:
		return lives && c.Leader == "" && done(func() { c.Leader = a.name })
	case ReleaseLock:
		return c.Leader == a.name && done(func() { c.Leader = "" })
	case Create:
		if !moves(act.Index) {
			return false
		}
		c.Order = nil
		return set(act.Record)
	case Elect:
		for voter, index := range act.Votes {
			if c.Votes[voter].Index != index {
				return false
			}
		}
		if c.Leader == "" && lives && c.RecordIndex == act.Index {
			c.Leader = a.name
		}
		if !moves(act.Index) || act.Order != 0 && (c.Order == nil || c.OrderIndex != act.Order) {
			return false
		}
		if act.Order != 0 {
			c.Order = nil
		}
		return set(act.Record)
	case Commit:
		if !moves(act.Index) {
			return false
		}
		w.judgeCommit(act)
		return set(act.Record)
	case Amend:
		return c.RecordIndex == act.Index && set(act.Record)
	case RefuseOrder:
		return done(func() { c.Order, c.OrderIndex = &act.Order, w.index; w.note("%s: %s", a.name, act) })
	}
	panic(act.String())
}

// endSession is what Consul does when it notices that an agent is gone.
func (w *world) endSession(a *simAgent) {
	w.index++
	a.session = 0
	w.consul.Votes = without(w.consul.Votes, a.name)
	if w.consul.Leader == a.name {
		w.consul.Leader = ""
	}
}

func (w *world) newSession(a *simAgent) { w.sessions++; a.session = w.sessions }

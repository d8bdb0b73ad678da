package simulation

import (
	"fmt"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// fault makes one thing go wrong, by chance, and mends it after a while. The caller holds the lock.
//
// Assumed, as G2 does: the agent of a server that may be open runs, or its machine is dead. So an agent stops alone only
// while its server is not open, or while nobody has anything against it; see mayStop.
func (w *world) fault() {
	r := w.rnd
	m := w.machines[r.IntN(len(w.machines))]
	if rec := w.consul.state.Record; rec != nil && r.IntN(2) == 0 {
		m = w.serverOf(rec.Master).m
	}
	n := r.IntN(faultsInAll)
	for f := range faults {
		if n -= faults[f].weight; n < 0 {
			if w.lone == nil || faults[f].harmless {
				w.only, w.outage = "", nil
				faults[f].do(w, m)
			}
			return
		}
	}
}

var faultsInAll = func() (n int) {
	for _, f := range faults {
		n += f.weight
	}
	return n
}()

// faults are all that can go wrong, and how often each does. The harmless ones may happen while an agent is away that has
// left its server open.
var faults = []struct {
	weight   int
	harmless bool
	do       func(w *world, m *machine)
}{
	{10, false, (*world).killServer},
	{6, false, (*world).restartServer},
	{6, false, (*world).stopServer},
	{4, false, (*world).busyServer},
	{6, true, (*world).saveData},
	{8, false, (*world).stopAgent},
	{5, false, (*world).pauseAgent},
	{4, false, (*world).loseDriver},
	{5, false, (*world).crashMachine},
	{5, false, (*world).pauseMachine},
	{8, false, (*world).isolate},
	{6, false, (*world).cutConsul},
	{6, false, (*world).cutLink},
	{4, false, (*world).split},
	{4, true, (*world).loseConsul},
	{4, false, (*world).endSession},
	{8, false, (*world).order},
	{3, false, (*world).maintain},
}

// lasting draws how long a fault lasts: mostly short, sometimes long.
func (w *world) lasting() time.Duration {
	return upTo(w.rnd, one(w.rnd, 100*ms, 500*ms, 2*time.Second, 2*time.Second, 8*time.Second))
}

// lasts has a fault end by itself, or at the latest when everything is mended.
func (w *world) lasts(mend func()) { w.lastsFor(w.lasting(), mend) }

func (w *world) lastsFor(d time.Duration, mend func()) {
	w.active++
	w.later(d, func() {
		w.active--
		w.troubled = w.now()
		mend()
	})
	w.troubled = w.now()
}

func (w *world) keeps() keeps {
	return one(w.rnd, keepsSaved, keepsAll, keepsAll, keepsNoStory, keepsNothing)
}

// bootLater is the supervisor of a server.
func (w *world) bootLater(s *server) { w.lasts(s.boot) }

func (w *world) killServer(m *machine) {
	if s := m.server; s != nil && s.alive && s.config == plugin.FrozenAddress {
		w.note("FAULT", "kill %s", s.name)
		s.kill(w.keeps())
		w.bootLater(s)
		if m.life != nil && !m.life.paused() && m.roll("agent too").IntN(6) == 0 {
			w.note("FAULT", "and its agent %s", m.name)
			m.crash()
			w.lastsFor(time.Second+4*w.lasting(), m.start)
		}
	}
}

func (w *world) restartServer(m *machine) {
	if s := m.server; s != nil && s.alive && s.config == plugin.FrozenAddress {
		w.note("FAULT", "restart %s", s.name)
		s.kill(w.keeps())
		s.boot()
	}
}

func (w *world) stopServer(m *machine) {
	s := m.server
	if s == nil || !s.alive || s.stopped || m.life == nil || m.life.paused() || s.config != plugin.FrozenAddress {
		return
	}
	w.note("FAULT", "stop %s", s.name)
	s.stopped = true
	w.touched()
	run := s.run
	w.lasts(func() {
		if s.run == run && s.stopped {
			w.note("MEND", "continue %s", s.name)
			s.stopped = false
			s.goOn()
			w.touched()
		}
	})
}

func (w *world) busyServer(m *machine) {
	if s := m.server; s != nil && s.alive && m.life != nil && s.config == plugin.FrozenAddress {
		s.busy = w.now() + w.lasting()
		w.note("FAULT", "%s is busy until %s", s.name, s.busy)
		w.touched()
		w.later(s.busy-w.now(), w.touched)
		w.troubled = s.busy
	}
}

// maintain puts a machine into Consul's maintenance mode.
func (w *world) maintain(m *machine) {
	if m.server == nil {
		return
	}
	w.note("FAULT", "%s is in maintenance", m.name)
	m.maintenance = "by the operator"
	w.lasts(func() {
		w.note("MEND", "%s is not in maintenance any more", m.name)
		m.maintenance = ""
	})
}

func (w *world) removeName() {
	w.note("FAULT", "an operator removes the name of the master from the catalog")
	w.consul.entry = catalog.MasterEntry{}
}

func (w *world) saveData(m *machine) {
	if s := m.server; s != nil && s.alive && !s.isLoading() {
		w.note("FAULT", "%s saves %d writes", s.name, s.keys())
		d := s.copy()
		d.replid2, d.offset2 = "", 0
		s.disk = &d
	}
}

// calm tells whether nothing is wrong, and has not been for a while.
func (w *world) calm() bool {
	c := &w.consul.state
	r := c.Record
	if w.active > 0 || w.now() < w.troubled+2*time.Second || len(failover.Count(*c).Down) > 0 || c.Leader != "" || c.Order != nil ||
		r == nil || r.Phase != failover.Steady {
		return false
	}
	s := w.serverOf(r.Master)
	rep := c.Nodes[s.name]
	return rep.State == failover.StateOpen && rep.RunID == s.run && s.answers()
}

// mayStop tells whether an agent may stop alone: its server is not open and will not be by an order that is under way, or
// nobody has anything against it. Then nothing else happens until the agent is back.
func (w *world) mayStop(m *machine) bool {
	s := m.server
	if m.life == nil || m.life.paused() || m.life.driver.away {
		return false
	}
	if s == nil || !s.alive {
		return true
	}
	r := w.consul.state.Record
	if !s.open && s.ordered == 0 && (r == nil || r.Master != s.name) {
		return true
	}
	if w.calm() && r.Master == s.name {
		w.lone = m
	}
	return w.lone == m
}

// back notes that an agent which was away alone is back.
func (w *world) back(m *machine) {
	if w.lone == m {
		w.later(2*time.Second, func() {
			if w.lone == m {
				w.lone = nil
			}
		})
	}
}

func (w *world) stopAgent(m *machine) {
	if !w.mayStop(m) {
		return
	}
	back := func() {
		w.lasts(func() {
			w.only = ""
			m.start()
			w.back(m)
		})
	}
	if w.rnd.IntN(3) == 0 {
		w.note("FAULT", "agent %s leaves", m.name)
		m.leave(back)
		return
	}
	if w.calm() {
		w.only = "the end of agent " + m.name
	}
	w.note("FAULT", "agent %s crashes", m.name)
	m.crash()
	back()
}

func (w *world) pauseAgent(m *machine) {
	if !w.mayStop(m) {
		return
	}
	if w.calm() {
		w.only = "the pause of agent " + m.name
	}
	w.note("FAULT", "agent %s is stopped", m.name)
	l := m.life
	l.still = make(chan struct{})
	w.lasts(func() {
		w.note("MEND", "agent %s goes on", m.name)
		w.only = ""
		close(l.still)
		l.still, l.resumed = nil, w.now()
		w.back(m)
	})
}

func (w *world) loseDriver(m *machine) {
	if m.life == nil || m.life.driver.away || w.now() < m.life.began+time.Second {
		return
	}
	if w.calm() {
		w.only = "the loss of the driver of " + m.name
	}
	w.note("FAULT", "the driver of %s is away", m.name)
	d := m.life.driver
	d.away = true
	w.touched()
	w.lasts(func() {
		d.away, w.only = false, ""
		w.note("MEND", "the driver of %s is back", m.name)
		w.touched()
	})
}

func (w *world) crashMachine(m *machine) {
	if m.crashed || m.late || m.still != nil || m.server != nil && m.server.config != plugin.FrozenAddress {
		return
	}
	w.note("FAULT", "%s loses power", m.name)
	m.crashed = true
	if m.server != nil {
		m.server.kill(one(w.rnd, keepsSaved, keepsNoStory, keepsNothing))
	}
	m.crash()
	m.local.init(m)
	w.touched()
	w.lasts(func() { w.powerOn(m) })
}

func (w *world) powerOn(m *machine) {
	if !m.crashed {
		return
	}
	w.note("MEND", "%s has power again", m.name)
	m.crashed = false
	if m.server != nil {
		w.later(w.lasting()/4, m.server.boot)
	}
	w.later(w.lasting()/4, m.start)
}

func (w *world) pauseMachine(m *machine) {
	if m.crashed || m.still != nil {
		return
	}
	w.note("FAULT", "%s is paused", m.name)
	m.still = make(chan struct{})
	w.touched()
	w.lasts(func() {
		if m.still == nil {
			return
		}
		w.note("MEND", "%s goes on", m.name)
		close(m.still)
		m.still, m.resumed = nil, w.now()
		if m.server != nil {
			m.server.goOn()
		}
		w.touched()
	})
}

// hear changes whether a machine hears another.
func (m *machine) hear(from *machine, ok bool) {
	if m != from {
		m.deaf[from] = !ok
	}
}

func (w *world) isolate(m *machine) {
	w.note("FAULT", "%s is cut off", m.name)
	set := func(ok bool) {
		for _, o := range w.machines {
			m.hear(o, ok)
			o.hear(m, ok)
		}
		m.cutTo, m.cutFrom = !ok, !ok
		w.touched()
	}
	set(false)
	w.lasts(func() { w.note("MEND", "%s is not cut off any more", m.name); set(true) })
}

func (w *world) cutConsul(m *machine) {
	to, from := w.rnd.IntN(3) > 0, w.rnd.IntN(3) > 0
	w.note("FAULT", "%s and Consul are cut: to %v, from %v", m.name, to, from)
	m.cutTo, m.cutFrom = m.cutTo || to, m.cutFrom || from
	w.lasts(func() {
		w.note("MEND", "%s and Consul are not cut any more", m.name)
		m.cutTo, m.cutFrom = false, false
	})
}

func (w *world) cutLink(m *machine) {
	if m.server != nil && m.roll("refuses").IntN(4) == 0 {
		w.refuse(m)
		return
	}
	o := w.machines[w.rnd.IntN(len(w.machines))]
	if o == m {
		return
	}
	to, from := w.rnd.IntN(3) > 0, w.rnd.IntN(3) > 0
	w.note("FAULT", "%s and %s are cut: %v, %v", m.name, o.name, to, from)
	if to {
		o.hear(m, false)
	}
	if from {
		m.hear(o, false)
	}
	w.touched()
	w.lasts(func() {
		w.note("MEND", "%s and %s are not cut any more", m.name, o.name)
		o.hear(m, true)
		m.hear(o, true)
		w.touched()
	})
}

// refuse has a machine refuse what other servers and agents want of its server; its clients go on.
func (w *world) refuse(m *machine) {
	if m.refuses {
		return
	}
	w.note("FAULT", "%s refuses connections to its server", m.name)
	m.refuses = true
	w.touched()
	w.lasts(func() {
		w.note("MEND", "%s refuses no connections any more", m.name)
		m.refuses = false
		w.touched()
	})
}

// split parts the machines into two sides, one of which has Consul.
func (w *world) split(*machine) {
	side := map[*machine]bool{}
	var names []string
	for _, m := range w.machines {
		if side[m] = w.rnd.IntN(2) == 0; side[m] {
			names = append(names, m.name)
		}
	}
	w.note("FAULT", "%v are cut off from the others and Consul", names)
	set := func(ok bool) {
		for a := range side {
			for b := range side {
				if side[a] != side[b] {
					a.hear(b, ok)
				}
			}
			if side[a] {
				a.cutTo, a.cutFrom = !ok, !ok
			}
		}
		w.touched()
	}
	set(false)
	w.lasts(func() { w.note("MEND", "%v are not cut off any more", names); set(true) })
}

func (w *world) loseConsul(*machine) {
	if w.calm() && w.peersAnswer() {
		w.outage = w.serverOf(w.consul.state.Record.Master)
	}
	w.note("FAULT", "Consul is away; the master must stay open: %v", w.outage != nil)
	w.consul.away = true
	w.lasts(func() {
		w.note("MEND", "Consul is back")
		w.consul.away, w.outage = false, nil
	})
}

// peersAnswer tells whether all agents are there, and known, and answer each other in time.
func (w *world) peersAnswer() bool {
	for _, m := range w.machines {
		if m.cfg != nil && (m.life == nil || w.now() < m.life.began+3*time.Second || w.consul.state.Agents[m.name].Address == "") {
			return false
		}
	}
	return w.weather.peers.share == 0 && w.weather.orders.share == 0 && w.lone == nil
}

func (w *world) endSession(m *machine) {
	for _, s := range w.consul.sessions {
		if s.life.m == m {
			w.troubled = w.now()
			w.consul.endSession(s, "FAULT")
			return
		}
	}
}

func (w *world) order(m *machine) {
	c := w.consul
	if c.state.Record == nil {
		return
	}
	o := failover.Order{Kind: one(w.rnd, failover.OrderSwitchover, failover.OrderSwitchover, failover.OrderFailover)}
	o.AcceptLoss = o.Kind == failover.OrderFailover && w.rnd.IntN(4) == 0
	if m.server != nil && w.rnd.IntN(2) == 0 {
		o.Target = m.server.name
	}
	w.troubled = w.now()
	w.putOrder(o)
}

func (w *world) putOrder(o failover.Order) {
	c := w.consul
	o.ID, o.By = fmt.Sprint(c.index), "the operator"
	if r := c.state.Record; r != nil {
		o.Epoch = r.Epoch
	}
	w.note("FAULT", "the operator orders a %s to %q, accepting a loss: %v", o.Kind, o.Target, o.AcceptLoss)
	c.apply(func(s *failover.State) { s.Order, s.OrderIndex = &o, c.index })
}

// mend ends every fault.
func (w *world) mend() {
	w.note("MEND", "everything")
	w.weather.clear()
	pending := w.due
	w.due = nil
	for _, d := range pending {
		d.do()
	}
	for len(w.due) > 0 { // what mending has begun
		pending, w.due = w.due, nil
		for _, d := range pending {
			d.do()
		}
	}
	w.consul.away, w.lone, w.active, w.only, w.outage = false, nil, 0, "", nil
	for _, m := range w.machines {
		m.cutTo, m.cutFrom, m.refuses = false, false, false
		clear(m.deaf)
		if m.server != nil {
			m.server.busy = min(m.server.busy, w.now())
			if !m.late {
				m.server.boot()
			}
		}
		m.start()
	}
	w.touched()
}

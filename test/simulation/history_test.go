package simulation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// outcome is what came of a history.
type outcome struct {
	totals
	err error
	log timeline
}

// play plays the history of a seed, in the bubble that it is called in. Agents keep their files in dir.
func play(seed uint64, dir string) outcome {
	w := newWorld(seed, dir)
	defer w.close()
	err := w.history()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		err = w.broken
	}
	n := w.watchdog.seen
	n.Histories, n.Lasted = 1, w.now()
	return outcome{n, err, w.log}
}

func newWorld(seed uint64, dir string) *world {
	r := rand.New(rand.NewPCG(seed, 0))
	w := &world{seed: seed, dir: dir, began: time.Now(), rnd: r, settings: newSettings(r), weather: newWeather(r),
		byAddress: map[string]*server{}}
	w.consul = newConsul(w)
	w.watchdog.entered = map[string]time.Duration{}
	w.watchdog.masters, w.watchdog.saved, w.watchdog.told = map[uint64]string{}, map[int]bool{}, map[int]bool{}
	for i := range w.settings.nodes {
		m := w.newMachine(string(rune('a'+i)), fmt.Sprintf("10.0.0.%d:6379", i+1))
		m.cfg.Nodes[0].Priority = one(r, 0, 10, 100, 100, 100)
		m.cfg.Nodes[0].Zone = one(r, "", "east", "west")
	}
	w.machines[0].cfg.Nodes[0].Priority = 100
	w.machines[len(w.machines)-1].late = w.settings.joins
	for i := range w.settings.witnesses {
		w.newMachine(fmt.Sprintf("witness%d", i+1), "")
	}
	for _, m := range w.machines {
		m.rate = 1 + (2*r.Float64()-1)*w.weather.drift
	}
	for _, m := range w.machines {
		m.cfg.Agent.DrainOnLeave = w.settings.drains
	}
	outside := w.newMachine("outside", "") // where clients run that run beside no server
	outside.cfg = nil
	for i := range w.settings.clients {
		c := &client{w: w, m: w.machines[r.IntN(len(w.machines))], waits: i % 3, sticky: r.IntN(2) == 0,
			dice: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		w.clients = append(w.clients, c)
	}
	return w
}

// history starts an installation, lets faults happen, mends them, and waits until all is well.
func (w *world) history() error {
	w.first()
	if w.rnd.IntN(5) > 0 { // else the faults begin before the group is started
		weather := w.weather
		w.weather.clear()
		if err := w.until(time.Minute); err != nil {
			return err
		}
		w.weather = weather
		w.run(w.now() + 500*ms)
		w.watchdog.filled = true
	}
	w.faulty = true
	if dice := rand.New(rand.NewPCG(w.seed, 1<<32)); dice.IntN(20) == 0 { // of its own, so that the seeds stay what they were
		w.later(upTo(dice, 12*time.Second), w.removeName)
	}
	w.run(w.now() + 3*time.Second + upTo(w.rnd, 12*time.Second))
	w.faulty = false
	w.mu.Lock()
	w.mend()
	w.mu.Unlock()
	err := w.until(time.Minute)
	if err == nil && w.rnd.IntN(20) == 0 {
		err = w.restored()
	}
	w.mu.Lock()
	short := err != nil && w.broken == nil && w.short()
	if short {
		w.note("MEND", "too few are left of those who must have reported: the operator accepts a loss")
		w.putOrder(failover.Order{Kind: failover.OrderFailover, AcceptLoss: true})
	}
	w.mu.Unlock()
	if short {
		err = w.until(time.Minute)
	}
	if w.mu.Lock(); w.ruined() {
		err = nil
	}
	w.mu.Unlock()
	return err
}

// restored brings Consul back to what it was, when every agent has seen what came since. Nothing may be opened by that;
// then the operator rules.
func (w *world) restored() error {
	w.run(w.now() + 2*time.Second)
	w.mu.Lock()
	master := w.consul.state.Record.Master
	w.watchdog.restored = true
	past := slices.DeleteFunc(slices.Clone(w.consul.past), func(k kept) bool { return k.state.Record == nil })
	w.consul.restore(past[w.rnd.IntN(len(past))])
	w.mu.Unlock()
	w.run(w.now() + 3*time.Second)
	var err error
	for range 3 { // the order may come before the agents have reported what their servers are
		w.mu.Lock()
		if w.whole() != nil {
			w.putOrder(failover.Order{Kind: failover.OrderRecord, Target: master})
		}
		w.mu.Unlock()
		if err = w.until(20 * time.Second); err == nil {
			break
		}
	}
	return err
}

// first is how the installation is found: fresh servers, frozen or not, or a replication that works already.
func (w *world) first() {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := w.rnd.IntN(3)
	for i, s := range w.servers {
		switch {
		case found == 0:
			s.config = plugin.FrozenAddress
		case found == 1 && i > 0:
			s.config = w.servers[0].address
		}
		if s.m.late {
			s.config = plugin.FrozenAddress
			s.m.comes = w.now() + 2*time.Second + upTo(w.rnd, 20*time.Second)
			continue
		}
		s.boot()
		s.loading = 0
	}
	if found == 1 {
		for range 20 {
			w.writes++
			w.servers[0].add(w.writes)
		}
	}
	for _, m := range w.machines {
		if m.cfg != nil && !m.late {
			w.later(upTo(w.rnd, 200*ms), m.start)
		}
	}
}

// run lets time pass until then, or until something is broken.
func (w *world) run(until time.Duration) {
	for w.now() < until && w.tick() {
	}
}

// until lets time pass until the group is whole, at most so long.
func (w *world) until(limit time.Duration) error {
	err := errors.New("it is over")
	for end := w.now() + limit; w.now() < end && w.tick(); {
		w.mu.Lock()
		err = w.whole()
		for _, s := range w.servers { // a supervisor starts what an agent has ended
			if !s.alive && !s.m.late && w.rnd.IntN(10) == 0 {
				s.boot()
			}
		}
		w.mu.Unlock()
		if err == nil {
			return nil
		}
	}
	if err != nil {
		err = fmt.Errorf("not whole after %s: %w", limit, err)
	}
	return err
}

// tick lets one step pass of all that has no events of its own. It is false when the history is over.
func (w *world) tick() bool {
	time.Sleep(w.weather.tick + time.Duration(w.rnd.IntN(1000)))
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	for i := 0; i < len(w.due); {
		if d := w.due[i]; d.at <= now {
			w.due = slices.Delete(w.due, i, i+1)
			d.do()
			i = 0
		} else {
			i++
		}
	}
	for _, m := range w.machines {
		// Not before the group has been started, which would be without the data of one that is away.
		if m.late && now >= m.comes && w.consul.state.Record != nil {
			m.late = false
			m.server.boot()
			m.start()
		}
	}
	if w.faulty && now >= w.nextFault {
		w.nextFault = now + time.Duration(w.rnd.ExpFloat64()*float64(w.weather.every))
		w.fault()
	}
	for _, s := range w.servers {
		s.goOn()
	}
	w.replicate()
	for _, c := range w.clients {
		c.step()
	}
	if now >= w.nextPing {
		w.nextPing = now + time.Second
		w.pings()
	}
	w.consul.expire()
	for _, m := range w.machines {
		m.local.look()
	}
	w.watchdog.look(w)
	return w.broken == nil
}

// close ends all agents and waits until nothing of them is left.
func (w *world) close() {
	w.mu.Lock()
	for _, m := range w.machines {
		m.crash()
	}
	lives := w.lives
	w.mu.Unlock()
	for _, l := range lives {
		<-l.done
	}
}

package simulation

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/agent"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/peers"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// group is the name of the one group of a world.
const group = "redis"

// world is an installation: machines with agents and servers, Consul, clients, and the network between them. Its lock
// guards all of it; nobody holds it while time passes.
type world struct {
	seed     uint64
	dir      string // where agents keep what outlives them
	began    time.Time
	rnd      *rand.Rand // of the goroutine that plays the history, alone
	settings settings
	weather  weather

	mu        sync.Mutex
	machines  []*machine
	servers   []*server
	byAddress map[string]*server
	consul    *consul
	clients   []*client
	watchdog  watchdog
	log       timeline
	broken    error // what must never happen has happened

	runs, replids, pids, writes int
	lives                       []*life
	due                         []due         // what ends or heals by itself
	faulty                      bool          // faults happen
	active                      int           // faults that have not ended
	troubled                    time.Duration // when the last one began or ended
	lone                        *machine      // whose agent is away and has left its server open
	only                        string        // the one fault that there is, if it must not move the master
	outage                      *server       // the master that must stay open while Consul is away
	nextFault, nextPing         time.Duration
}

// due is something that happens by itself at a time.
type due struct {
	at time.Duration
	do func()
}

// machine is a host: an agent, a Consul agent, and at most one server.
type machine struct {
	w      *world
	name   string
	server *server
	life   *life // of the agent that runs; nil while none does
	lives  int
	cfg    *config.Config

	crashed bool
	still   chan struct{} // closed when the machine goes on; nil while it is not paused
	resumed time.Duration // when it last went on
	rate    float64       // of its clock
	// deaf are the machines whose messages do not reach this one; cut are the two directions to Consul.
	deaf           map[*machine]bool
	cutTo, cutFrom bool
	refuses        bool                     // the connections of others to its server
	leased         time.Duration            // when the read was sent that gave its server the newest lease
	handsOver      uint64                   // the attempt in which its server hands over
	promises       map[string]time.Duration // when the newest promise was asked for that an agent gave this one
	maintenance    string
	late           bool // it joins later, when it comes
	comes          time.Duration
	local          localConsul
	dice           map[string]*rand.Rand
}

// life is one run of an agent.
type life struct {
	m       *machine
	number  int
	began   time.Duration
	ctx     context.Context
	end     context.CancelFunc
	done    chan struct{}
	crashed bool
	still   chan struct{} // closed when the agent goes on; nil while it is not paused
	resumed time.Duration
	cfg     config.Config // its own: what is told to one life is not told to the next
	epoch   uint64        // the highest whose record the agent has read, at read
	read    time.Duration
	asked   int // for its session, since counted
	counted time.Duration
	client  *consulClient
	driver  *driver
	handler peers.Handler
}

func (l *life) name() string { return l.m.name }

// now is the time since the world began.
func (w *world) now() time.Duration { return time.Since(w.began) }

// roll returns the dice of a machine for a purpose. Each purpose has its own, so that what happens at the same moment
// in different goroutines does not change what comes later. The caller holds the lock.
func (m *machine) roll(purpose string) *rand.Rand {
	d := m.dice[purpose]
	if d == nil {
		h := fnv.New64a()
		h.Write([]byte(m.name))
		h.Write([]byte(purpose))
		d = rand.New(rand.NewPCG(m.w.seed, h.Sum64()))
		m.dice[purpose] = d
	}
	return d
}

// later has something happen by itself. The caller holds the lock.
func (w *world) later(after time.Duration, do func()) {
	w.due = append(w.due, due{w.now() + after, do})
}

// fail notes that something happened that must never happen. The caller holds the lock.
func (w *world) fail(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf(format, args...)
		w.note("VIOLATED", "%s", w.broken.Error())
	}
}

// hears tells whether messages of another machine reach this one.
func (m *machine) hears(from *machine) bool {
	return m == from || !m.crashed && !m.deaf[from]
}

// linked tells whether two machines hear each other.
func linked(a, b *machine) bool { return a.hears(b) && b.hears(a) }

// refuses tells whether a server's machine refuses the connections of another's server or agent, as a firewall does that leaves
// the clients alone.
func (s *server) refuses(other *machine) bool { return s.m.refuses && other != s.m }

// toConsul and fromConsul tell whether messages pass.
func (m *machine) toConsul() bool   { return !m.w.consul.away && !m.cutTo && !m.crashed }
func (m *machine) fromConsul() bool { return !m.w.consul.away && !m.cutFrom && !m.crashed }

// reachesConsul tells whether a request and its answer pass.
func (m *machine) reachesConsul() bool { return m.toConsul() && m.fromConsul() }

// wait returns when the agent may go on: at once, unless it or its machine is paused.
func (l *life) wait() {
	w := l.m.w
	for {
		w.mu.Lock()
		still := l.m.still
		if still == nil {
			still = l.still
		}
		w.mu.Unlock()
		if still == nil {
			return
		}
		select {
		case <-still:
		case <-l.ctx.Done():
			return
		}
	}
}

// paused tells whether the agent is stopped, alone or with its machine. The caller holds the lock.
func (l *life) paused() bool { return l.still != nil || l.m.still != nil }

// clock is the machine's boot clock as the agent reads it.
func (l *life) clock() time.Duration {
	l.wait()
	return time.Hour + time.Duration(float64(l.m.w.now())*l.m.rate)
}

// start starts the machine's agent, where there is one. The caller holds the lock.
func (m *machine) start() {
	if m.cfg == nil || m.life != nil || m.crashed || m.late {
		return
	}
	m.lives++
	l := &life{m: m, number: m.lives, began: m.w.now(), done: make(chan struct{})}
	l.ctx, l.end = context.WithCancel(context.Background())
	l.client = newConsulClient(l)
	l.driver = newDriver(l)
	l.cfg = *m.cfg
	m.life = l
	m.w.lives = append(m.w.lives, l)
	m.w.note(m.name, "agent starts")
	options := agent.Options{
		Config: &l.cfg, Logger: logger{hclog.NewNullLogger(), l}, Version: "1", Parts: l.parts,
	}
	go func() {
		defer close(l.done)
		if err := agent.Run(l.ctx, options); err != nil {
			m.w.mu.Lock()
			defer m.w.mu.Unlock()
			m.w.fail("agent %s ended: %v", m.name, err)
		}
	}()
}

func (l *life) parts(context.Context, *config.Config) (*agent.Parts, error) {
	return &agent.Parts{
		Consul: l.client, Drivers: map[string]plugin.Driver{"redis": l.driver}, Now: l.clock, Alarm: noAlarm{},
		Process: l.process, Peers: l.peers, Close: func(bool) { l.driver.close() },
	}, nil
}

// noAlarm never rings: no machine is suspended here.
type noAlarm struct{}

func (noAlarm) Set(time.Duration)      {}
func (noAlarm) Rings() <-chan struct{} { return nil }

// crash ends the machine's agent: nothing comes from it any more but what it had sent. The caller holds the lock.
func (m *machine) crash() {
	l := m.life
	if l == nil {
		return
	}
	l.crashed = true
	l.cfg.Agent.DrainOnLeave = false // its end by the context is no order to leave
	l.end()
	l.gone()
}

// leave ends the machine's agent in order, which may take a while if it hands its master over; then it calls done. The
// caller holds the lock.
func (m *machine) leave(done func()) {
	l := m.life
	l.end()
	go func() {
		<-l.done
		m.w.mu.Lock()
		defer m.w.mu.Unlock()
		if m.life == l {
			l.gone()
			done()
		}
	}()
}

// gone notes that nothing is left of a life.
func (l *life) gone() {
	l.m.life = nil
	l.driver.closed = true
}

// newMachine adds a machine; it has a server if address is not empty.
func (w *world) newMachine(name, address string) *machine {
	m := &machine{w: w, name: name, deaf: map[*machine]bool{}, promises: map[string]time.Duration{}, dice: map[string]*rand.Rand{}, rate: 1}
	m.local.init(m)
	s := w.settings
	c := config.Default()
	c.Agent.Name, c.Agent.DataDir = name, filepath.Join(w.dir, name)
	c.Agent.RescueDir = filepath.Join(c.Agent.DataDir, "rescue")
	c.Agent.Listen = name + ":8480"
	c.Groups = []config.Group{{
		Name: group, DownAfter: s.downAfter, BusyAfter: s.busyAfter, FenceAfter: s.fenceAfter,
		FailoverTimeout: s.failoverTimeout, Durability: s.durability, Cooldown: s.cooldown,
		ParallelSyncs: s.parallelSyncs, BootstrapExpect: s.expected(), OnStuck: "kill",
		Service: group, MasterService: group + "-master", ReplicaService: group + "-replica",
	}}
	if address != "" {
		m.server = &server{w: w, m: m, name: "redis-" + name, address: address}
		w.servers = append(w.servers, m.server)
		w.byAddress[address] = m.server
		c.Nodes = []config.Node{{
			Name: m.server.name, Group: group, Address: address, AnnounceAddress: address, Driver: "redis", Priority: 100,
		}}
	}
	m.cfg = c
	w.machines = append(w.machines, m)
	return m
}

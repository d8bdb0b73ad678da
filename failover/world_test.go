package failover

import (
	"fmt"
	"strings"
	"time"
)

// world is a small model of an installation under virtual time: servers, agents and Consul. The agents run Note and
// Decide; the world carries their actions out, one tick after the other. It is what the transcripts and the random
// histories are played in.
type world struct {
	now      time.Duration
	index    uint64
	replids  int
	runs     int
	sessions int
	consul   State
	down     bool // Consul answers nobody
	servers  map[string]*server
	inOrder  []*server
	agents   []*simAgent
	messages []message
	log      []string
	written  int
	broken   error // what must never happen has happened
	foreign  map[string]bool
	troubled time.Duration // when something was last stopped or cut off
	spares   bool          // agents may not kill
	acked    []int         // the writes that WAIT has acknowledged under the record's durability

	// What makes a world less than ideal: an agent that takes no step in a tick, or does not read Consul in it; how long
	// a message to or from Consul, or an order, travels; whether an answer of Consul is lost; how much of what is new a replica takes in a tick; how long
	// loading and a full resync take.
	skip, blind func(*simAgent) bool
	delay       func() time.Duration
	hangs       func() time.Duration
	loses       func() bool
	lags        func(int) int
	loads       func() time.Duration
}

const (
	tickLen  = 10 * time.Millisecond
	frozenAt = "127.0.0.1:1"
)

func newWorld(nodes ...string) *world {
	w := &world{servers: map[string]*server{}, now: time.Hour, consul: State{
		Votes: map[string]Vote{}, Nodes: map[string]Report{}, Agents: map[string]AgentInfo{},
	}}
	s := DefaultSettings()
	s.BootstrapExpect, s.DownAfter = len(nodes), Duration(time.Second)
	w.consul.Settings = &s
	for _, n := range nodes {
		w.join(n)
	}
	return w
}

// join adds a node with its server and its agent.
func (w *world) join(node string) {
	w.servers[node] = &server{name: node}
	w.inOrder = append(w.inOrder, w.servers[node])
	w.boot(node)
	w.agent("agent-"+node, node)
}

func (w *world) agent(name, node string) *simAgent {
	a := &simAgent{name: name, node: node, prio: 100}
	w.agents = append(w.agents, a)
	w.startAgent(a)
	info := AgentInfo{Agent: name, Address: name}
	if node != "" {
		info.Nodes = []string{node}
	}
	w.index++
	w.consul.Agents = with(w.consul.Agents, name, info)
	return a
}

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

// apart tells whether the machines of two nodes do not reach each other.
func (w *world) apart(a, b string) bool { return w.apart2(w.agentOf(a), b) }

func (w *world) apart2(a *simAgent, node string) bool {
	return a.node != node && (a.cut || w.agentOf(node).cut)
}

// tick lets one step of time pass everywhere.
func (w *world) tick() {
	w.now += tickLen
	w.deliver()
	w.replicate()
	for _, a := range w.agents {
		if a.alive && (w.skip == nil || !w.skip(a)) {
			w.step(a)
		}
		if !a.cut {
			a.cutSince = 0
		} else if a.cutSince == 0 {
			a.cutSince = w.now
		}
	}
}

// whole tells whether the record is steady, its master open, and every living server follows it.
func (w *world) whole() error {
	r := w.consul.Record
	if r == nil || r.Phase != Steady {
		return fmt.Errorf("record %+v", r)
	}
	for _, s := range w.inOrder {
		switch {
		case !s.alive:
		case s.name == r.Master && !s.open:
			return fmt.Errorf("%s is master and not open", s.name)
		case s.name != r.Master && (s.master != r.Master || !s.linkUp):
			return fmt.Errorf("%s follows %q, link up %v", s.name, s.master, s.linkUp)
		case s.name != r.Master && r.Eligible[s.name].RunID != s.run:
			return fmt.Errorf("%s is not counted", s.name)
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

package simulation

import (
	"math/rand/v2"
	"time"
)

// settings are what an installation was configured with.
type settings struct {
	nodes, witnesses                                  int
	downAfter, busyAfter, fenceAfter, failoverTimeout time.Duration
	parallelSyncs                                     int
	clients                                           int
	durability                                        string
	cooldown                                          time.Duration
	joins, drains                                     bool // the last node joins later; agents that leave hand over first
}

// weather is what is less than ideal all the time, each history in a way of its own.
type weather struct {
	// consul and orders are how long a message to or from Consul, and an order to a server, take.
	consul, orders delay
	// peers is the same between agents.
	peers delay
	// lost is the share of messages to or from Consul that do not arrive, late that of writes which arrive after their
	// sender gave up, stale that of watches which are answered with what was.
	lost, late, stale float64
	// lag is the share of what is new that a replica takes in at a time, at least; 1 is all of it.
	lag float64
	// load is how long loading a data set or a full resync may take.
	load time.Duration
	// backlog is how many bytes a master keeps for partial resyncs.
	backlog int64
	// drift is by how much a clock may be wrong.
	drift float64
	// sessions end so long after their agent was last heard, at most.
	patience time.Duration
	// every is how long the history goes on between two faults, on average.
	every time.Duration
	// tick is the step of what has no events of its own: replication and clients.
	tick time.Duration
}

// delay draws how long something takes: mostly up to usual, sometimes up to rare.
type delay struct {
	usual, rare time.Duration
	share       float64
}

func (d delay) draw(r *rand.Rand) time.Duration {
	limit := d.usual
	if d.share > 0 && r.Float64() < d.share {
		limit = d.rare
	}
	return 10*time.Microsecond + upTo(r, limit)
}

// upTo draws a duration below a limit, to the nanosecond, so that hardly two things happen at the same moment.
func upTo(r *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(max(limit, 1))))
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

const ms = time.Millisecond

func newSettings(r *rand.Rand) settings {
	s := settings{
		nodes: one(r, 1, 2, 2, 3, 3, 3, 3, 3, 4, 5), downAfter: one(r, 100*ms, 300*ms, 1000*ms), busyAfter: 2 * time.Second,
		fenceAfter: one(r, 500*ms, 1000*ms, 3000*ms), failoverTimeout: time.Duration(1+r.IntN(9)) * time.Second,
		parallelSyncs: 1 + r.IntN(2), clients: 3,
	}
	s.durability, s.cooldown = one(r, "none", "wait:1", "wait:1", "wait:2"), one(r, time.Millisecond, time.Second)
	s.joins, s.drains = s.nodes > 1 && r.IntN(5) == 0, r.IntN(3) == 0
	if s.nodes <= 2 {
		s.witnesses = 3 - s.nodes
	} else {
		s.witnesses = r.IntN(3) / 2
	}
	return s
}

func newWeather(r *rand.Rand) weather {
	w := weather{
		consul: one(r, delay{usual: 2 * ms}, delay{usual: 2 * ms}, delay{usual: 30 * ms}, delay{usual: 150 * ms},
			delay{usual: 10 * ms, rare: 1500 * ms, share: 0.05}),
		orders: one(r, delay{usual: ms}, delay{usual: ms}, delay{usual: ms, rare: 400 * ms, share: 0.05}),
		peers:  one(r, delay{usual: 2 * ms}, delay{usual: 5 * ms, rare: 500 * ms, share: 0.1}),
		lost:   one(r, 0, 0, 0.02, 0.1), late: one(r, 0, 0.01, 0.05), stale: one(r, 0, 0, 0.2),
		lag: one(r, 1, 1, 0.5, 0), load: one(r, 10*ms, 300*ms, 2000*ms), backlog: one[int64](r, 1<<40, 1<<40, 100),
		drift: one(r, 0, 0.001, 0.045), patience: one(r, 500*ms, 2*time.Second, 8*time.Second),
		every: one(r, 200*ms, 500*ms, 1500*ms, 4000*ms), tick: one(r, 4*ms, 8*ms, 16*ms),
	}
	return w
}

// clear is the weather in which everything is mended.
func (w *weather) clear() {
	w.consul, w.orders, w.peers = delay{usual: 2 * ms}, delay{usual: ms}, delay{usual: 2 * ms}
	w.lost, w.late, w.stale, w.lag, w.load = 0, 0, 0, 1, min(w.load, 100*ms)
}

// expected is how many nodes must report before the group is started.
func (s settings) expected() int {
	if s.joins {
		return s.nodes - 1
	}
	return s.nodes
}

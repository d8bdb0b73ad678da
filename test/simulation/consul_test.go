package simulation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// consul is a model of Consul's servers: a log of writes, each of which takes effect at one moment. All of it is called
// under the world's lock.
type consul struct {
	w     *world
	away  bool // has no leader, or answers nobody
	index uint64
	kept
	sessions map[string]*session
	names    int // of sessions
	// past are the states that were, the last of them the present one.
	past    []kept
	changed chan struct{} // closed with the next change
}

// kept is what a snapshot holds.
type kept struct {
	state   failover.State
	holders map[string]string // which session holds which key
	entry   catalog.MasterEntry
}

// session is a session of an agent.
type session struct {
	id      string
	life    *life
	ended   bool
	lost    chan struct{}
	unheard time.Duration // since when its agent has not been heard; 0 while it is
	until   time.Duration // when it ends of that
}

// remembered is how many past states are kept for stale reads and snapshots.
const remembered = 24

const lockKey = "leader"

func voteKey(agent string) string { return "votes/" + agent }

func newConsul(w *world) *consul {
	return &consul{w: w, sessions: map[string]*session{}, changed: make(chan struct{}), kept: kept{
		holders: map[string]string{},
		state: failover.State{
			Votes: map[string]failover.Vote{}, Nodes: map[string]failover.Report{}, Agents: map[string]failover.AgentInfo{},
		},
	}}
}

// apply makes a change and tells those who watch.
func (c *consul) apply(change func(s *failover.State)) uint64 {
	c.index++
	change(&c.state)
	c.state.Index = c.index
	c.w.watchdog.records(c.state.Record, c.w.now())
	if len(c.past) == remembered {
		c.past = append(c.past[:0], c.past[1:]...)
	}
	c.past = append(c.past, c.kept)
	close(c.changed)
	c.changed = make(chan struct{})
	return c.index
}

// with and without return changed copies: states are shared.
func with[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	m = maps.Clone(m)
	m[key] = value
	return m
}

func without[K comparable, V any](m map[K]V, key K) map[K]V {
	if _, ok := m[key]; !ok {
		return m
	}
	m = maps.Clone(m)
	delete(m, key)
	return m
}

func (c *consul) alive(id string) bool {
	return id != "" && c.sessions[id] != nil && !c.sessions[id].ended
}

// acquire gives a key to a session, unless another has it.
func (c *consul) acquire(key, id string) bool {
	if !c.alive(id) || c.holders[key] != "" && c.holders[key] != id {
		return false
	}
	c.holders = with(c.holders, key, id)
	return true
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: %s", catalog.ErrConflict, fmt.Sprintf(format, args...))
}

// put writes a record over the one of an index, with the entry of the master if there is one.
func (c *consul) put(who, what string, r *failover.Record, index uint64, entry *catalog.MasterEntry, more func(*failover.State)) (uint64, error) {
	if index != c.state.RecordIndex || (index == 0) != (c.state.Record == nil) {
		return 0, conflict("the record is of index %d, not %d", c.state.RecordIndex, index)
	}
	r, err := failover.ParseRecord(r.Encode())
	if err != nil {
		c.w.fail("%s writes a record that nobody can read: %v", who, err)
		return 0, err
	}
	before := c.kept
	if entry != nil {
		c.entry = *entry
	}
	at := c.apply(func(s *failover.State) {
		s.Record, s.RecordIndex = r, c.index
		if more != nil {
			more(s)
		}
	})
	c.w.note("consul", "%d: %s %s: epoch %d %s, master %s run %s", at, who, what, r.Epoch, r.Phase, r.Master, r.RunID)
	c.w.watchdog.recordMoves(c.w, before, c.kept)
	return at, nil
}

// lead is put by the holder of the lock, which is checked or taken.
func (c *consul) lead(l *life, id, what string, take bool, r *failover.Record, index uint64, entry catalog.MasterEntry, more func(*failover.State)) (uint64, error) {
	held := c.alive(id) && c.holders[lockKey] == id
	if !held && (!take || c.holders[lockKey] != "" || !c.alive(id)) {
		return 0, conflict("session %s does not hold the lock", id)
	}
	return c.put(l.name(), what, r, index, &entry, func(s *failover.State) {
		c.holders = with(c.holders, lockKey, id)
		s.Leader, s.LeaderSession = l.name(), id
		if more != nil {
			more(s)
		}
	})
}

func (c *consul) elect(l *life, id string, r *failover.Record, index uint64, on catalog.Grounds, entry catalog.MasterEntry) (uint64, error) {
	for agent, at := range on.Votes {
		if c.state.Votes[agent].Index != at {
			return 0, conflict("the vote of %s has changed", agent)
		}
	}
	return c.takeUp(l, id, "elects ("+string(r.Election.Kind)+": "+r.Election.Cause+")", true, r, index, on.Order, entry)
}

// takeUp is lead with the operator's order of an index, if that is not 0: it is deleted.
func (c *consul) takeUp(l *life, id, what string, take bool, r *failover.Record, index, order uint64, entry catalog.MasterEntry) (uint64, error) {
	if order != 0 && (c.state.Order == nil || c.state.OrderIndex != order) {
		return 0, conflict("the order has changed")
	}
	return c.lead(l, id, what, take, r, index, entry, func(s *failover.State) {
		if order != 0 {
			s.Order = nil
		}
	})
}

// open begins a session for an agent; those of its earlier runs end.
func (c *consul) open(l *life) *session {
	for _, s := range c.sessions {
		if s.life.m == l.m {
			c.endSession(s, "another run of its agent")
		}
	}
	c.names++
	s := &session{id: fmt.Sprintf("%s/%d", l.name(), c.names), life: l, lost: make(chan struct{})}
	c.sessions[s.id] = s
	return s
}

// endSession ends a session: its lock and its vote are gone.
func (c *consul) endSession(s *session, why string) {
	if s.ended {
		return
	}
	s.ended = true
	close(s.lost)
	delete(c.sessions, s.id)
	c.w.note("consul", "session %s ends: %s", s.id, why)
	for _, key := range slices.Sorted(maps.Keys(c.holders)) {
		if c.holders[key] != s.id {
			continue
		}
		c.holders = without(c.holders, key)
		c.apply(func(state *failover.State) {
			if key == lockKey {
				state.Leader, state.LeaderSession = "", ""
			} else {
				state.Votes = without(state.Votes, s.life.name())
			}
		})
	}
}

// expire ends the sessions of agents that have not been heard for long enough: early or late, as the checks and the
// gossip have it.
func (c *consul) expire() {
	now := c.w.now()
	for _, m := range c.w.machines {
		for _, s := range c.sessions {
			if s.life.m != m {
				continue
			}
			l := s.life
			heard := m.life == l && !l.paused() && m.reachesConsul()
			switch {
			case heard:
				s.unheard = 0
			case s.unheard == 0:
				s.unheard, s.until = now, now+1500*ms+upTo(m.roll("session"), c.w.weather.patience)
			case now >= s.until && !c.away:
				c.endSession(s, "its agent was not heard")
			}
		}
	}
}

// restore brings back what a snapshot holds. Sessions of that time do not come back; indexes go on from where they are.
func (c *consul) restore(k kept) {
	for _, s := range c.sessions {
		c.endSession(s, "a snapshot is restored")
	}
	c.kept = k
	c.holders = map[string]string{}
	c.state.Leader, c.state.LeaderSession, c.state.Votes = "", "", map[string]failover.Vote{}
	close(c.changed)
	c.changed = make(chan struct{})
	r := c.state.Record
	c.w.note("consul", "restored from index %d: epoch %d %s, master %s", c.state.Index, r.Epoch, r.Phase, r.Master)
}

package simulation

import (
	"context"
	"fmt"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/agent"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// consulClient is what one run of an agent has of Consul.
type consulClient struct {
	l       *life
	session *session
}

var _ agent.Consul = (*consulClient)(nil)

func newConsulClient(l *life) *consulClient { return &consulClient{l: l} }

func (c *consulClient) consul() *consul { return c.l.m.w.consul }

// Session implements agent.Consul.
func (c *consulClient) Session() string {
	w := c.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchdog.asks(c.l)
	if c.session == nil {
		return ""
	}
	return c.session.id
}

// Run implements agent.Consul: it has a session, and another one when that is lost.
func (c *consulClient) Run(ctx context.Context, spec catalog.AgentSpec) {
	for ctx.Err() == nil {
		s, err := ask(ctx, c.l, "create session", true, func() (*session, error) {
			if c.l.m.life != c.l {
				return nil, fmt.Errorf("the agent is gone")
			}
			return c.consul().open(c.l), nil
		})
		if err != nil {
			sleep(ctx, 100*ms)
			continue
		}
		c.set(s, spec)
		select {
		case <-s.lost:
		case <-ctx.Done():
			c.leave(s)
			return
		}
		for ctx.Err() == nil { // until it hears of that
			if _, err := ask(ctx, c.l, "look for session", false, func() (int, error) { return 0, nil }); err == nil {
				break
			}
			sleep(ctx, 200*ms)
		}
		c.set(nil, spec)
	}
}

func (c *consulClient) set(s *session, spec catalog.AgentSpec) {
	w := c.l.m.w
	w.mu.Lock()
	c.session = s
	w.mu.Unlock()
	if spec.OnSession != nil {
		spec.OnSession(c.Session())
	}
}

// leave gives the session back, unless the agent has crashed.
func (c *consulClient) leave(s *session) {
	w := c.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.l.crashed && c.l.m.reachesConsul() {
		w.consul.endSession(s, "its agent leaves")
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// WatchGroups implements agent.Consul; there is one group. Each change is told after a while, several at once as one; now
// and then the answer is an old one.
func (c *consulClient) WatchGroups(ctx context.Context, groups []string, each func(string, failover.State)) {
	m, w := c.l.m, c.l.m.w
	var last uint64
	first := true
	for ctx.Err() == nil {
		c.l.wait()
		w.mu.Lock()
		dice, changed := m.roll("watch"), w.consul.changed
		news := first || w.consul.state.Index != last
		reaches := m.reachesConsul()
		took := w.weather.consul.draw(dice)
		if !reaches { // the query fails or hangs
			took = 100*ms + upTo(dice, time.Second)
		}
		w.mu.Unlock()
		if reaches && !news {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		sleep(ctx, took)
		w.mu.Lock()
		s := w.consul.state
		if past := w.consul.past; dice.Float64() < w.weather.stale && len(past) > 0 {
			s = past[dice.IntN(len(past))].state
		}
		reaches = reaches && m.reachesConsul()
		w.mu.Unlock()
		if !reaches || ctx.Err() != nil {
			continue
		}
		c.l.wait()
		c.leased(s.Record, s.RecordIndex, 0)
		first, last = false, s.Index
		each(groups[0], s)
	}
}

// ReadGroup implements agent.Consul.
func (c *consulClient) ReadGroup(ctx context.Context, _ string, consistent bool) (failover.State, error) {
	if !consistent {
		panic("the agent reads what may be stale")
	}
	s, err := ask(ctx, c.l, "read group", false, func() (failover.State, error) { return c.consul().state, nil })
	if err == nil {
		c.leased(s.Record, s.RecordIndex, 0)
	}
	return s, err
}

// ReadRecords implements agent.Consul.
func (c *consulClient) ReadRecords(ctx context.Context, groups []string) (map[string]catalog.VersionedRecord, error) {
	sent := c.l.m.w.now()
	v, err := ask(ctx, c.l, "read records", false, func() (catalog.VersionedRecord, error) {
		s := c.consul().state
		return catalog.VersionedRecord{Record: s.Record, Index: s.RecordIndex}, nil
	})
	if err != nil {
		return nil, err
	}
	c.leased(v.Record, v.Index, sent)
	return map[string]catalog.VersionedRecord{groups[0]: v}, nil
}

// leased notes from when the machine's server has a lease, if it has one by a record that its agent has read. A master
// that hands over in a planned change has as long again from when its agent learns of that, and from each read that shows the same
// attempt: nobody else is opened before it says that it is frozen. It notes besides which epoch the agent knows.
func (c *consulClient) leased(r *failover.Record, index uint64, sent time.Duration) {
	m := c.l.m
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if r != nil && r.Epoch > c.l.epoch {
		c.l.epoch, c.l.read = r.Epoch, m.w.now()
	}
	s := m.server
	switch {
	case s == nil || r == nil || r.Master != s.name || r.RunID != s.run:
	case r.Phase == failover.Steady:
		m.leased = max(m.leased, sent)
	case r.Election.Kind != failover.ForFailure && m.handsOver != index:
		m.handsOver, m.leased = index, m.w.now()
	case r.Election.Kind != failover.ForFailure:
		m.leased = max(m.leased, sent)
	}
}

// write is a write whose answer is the index of the record.
func (c *consulClient) write(ctx context.Context, what string, do func(id string) (uint64, error)) (uint64, error) {
	id := c.Session()
	return ask(ctx, c.l, what, true, func() (uint64, error) { return do(id) })
}

// Create implements agent.Consul.
func (c *consulClient) Create(ctx context.Context, _ string, r *failover.Record, index, order uint64, m catalog.MasterEntry) (uint64, error) {
	return c.write(ctx, "record", func(id string) (uint64, error) {
		return c.consul().takeUp(c.l, id, "makes the record", false, r, index, order, m)
	})
}

// Elect implements agent.Consul.
func (c *consulClient) Elect(ctx context.Context, _ string, r *failover.Record, index uint64, on catalog.Grounds, m catalog.MasterEntry) (uint64, error) {
	return c.write(ctx, "record", func(id string) (uint64, error) { return c.consul().elect(c.l, id, r, index, on, m) })
}

// Commit implements agent.Consul.
func (c *consulClient) Commit(ctx context.Context, _ string, r *failover.Record, index uint64, m catalog.MasterEntry) (uint64, error) {
	sent := c.l.m.w.now()
	at, err := c.write(ctx, "record", func(id string) (uint64, error) {
		return c.consul().lead(c.l, id, "commits", false, r, index, m, nil)
	})
	if err == nil {
		c.leased(r, at, sent)
	}
	return at, err
}

// Amend implements agent.Consul.
func (c *consulClient) Amend(ctx context.Context, _ string, r *failover.Record, index uint64) (uint64, error) {
	return c.write(ctx, "record", func(string) (uint64, error) {
		return c.consul().put(c.l.name(), "amends", r, index, nil, nil)
	})
}

// KeepEntry implements agent.Consul.
func (c *consulClient) KeepEntry(ctx context.Context, _ string, index uint64, m catalog.MasterEntry) (bool, error) {
	return ask(ctx, c.l, "entry", true, func() (bool, error) {
		k := c.consul()
		switch {
		case k.entry.Service != "":
			return false, nil
		case k.state.RecordIndex != index:
			return false, conflict("the record is of index %d, not %d", k.state.RecordIndex, index)
		}
		k.w.note("consul", "%s puts the name of the master back", c.l.name())
		k.entry = m
		return true, nil
	})
}

// AcquireLock implements agent.Consul.
func (c *consulClient) AcquireLock(ctx context.Context, _ string) (bool, error) {
	id := c.Session()
	return ask(ctx, c.l, "lock", true, func() (bool, error) {
		k := c.consul()
		if !k.acquire(lockKey, id) {
			return false, nil
		}
		k.apply(func(s *failover.State) { s.Leader, s.LeaderSession = c.l.name(), id })
		return true, nil
	})
}

// ReleaseLock implements agent.Consul.
func (c *consulClient) ReleaseLock(ctx context.Context, _ string) error {
	return c.do(ctx, "lock", func(id string, k *consul) error {
		if k.holders[lockKey] == id {
			k.holders = without(k.holders, lockKey)
			k.apply(func(s *failover.State) { s.Leader, s.LeaderSession = "", "" })
		}
		return nil
	})
}

// do is a write that answers nothing.
func (c *consulClient) do(ctx context.Context, what string, serve func(id string, k *consul) error) error {
	id := c.Session()
	_, err := ask(ctx, c.l, what, true, func() (int, error) { return 0, serve(id, c.consul()) })
	return err
}

// put is a write that answers the index of what it wrote.
func (c *consulClient) put(ctx context.Context, what string, serve func(id string, k *consul) error) (uint64, error) {
	id := c.Session()
	return ask(ctx, c.l, what, true, func() (uint64, error) {
		k := c.consul()
		err := serve(id, k)
		return k.index, err
	})
}

// PutVote implements agent.Consul.
func (c *consulClient) PutVote(ctx context.Context, _ string, v failover.Vote) (uint64, error) {
	return c.put(ctx, "vote", func(id string, k *consul) error {
		if !k.acquire(voteKey(c.l.name()), id) {
			return conflict("session %s cannot hold the vote", id)
		}
		k.apply(func(s *failover.State) {
			v.Index = k.index
			s.Votes = with(s.Votes, c.l.name(), v)
		})
		return nil
	})
}

// DeleteVote implements agent.Consul.
func (c *consulClient) DeleteVote(ctx context.Context, _ string) error {
	return c.do(ctx, "vote", func(_ string, k *consul) error {
		k.holders = without(k.holders, voteKey(c.l.name()))
		k.apply(func(s *failover.State) { s.Votes = without(s.Votes, c.l.name()) })
		return nil
	})
}

// PutReport implements agent.Consul.
func (c *consulClient) PutReport(ctx context.Context, _ string, r failover.Report) (uint64, error) {
	return c.put(ctx, "report", func(_ string, k *consul) error {
		k.apply(func(s *failover.State) { s.Nodes = with(s.Nodes, r.Node, r) })
		return nil
	})
}

// AnswerOrder implements agent.Consul.
func (c *consulClient) AnswerOrder(ctx context.Context, _ string, o failover.Order, index uint64) error {
	return c.do(ctx, "order", func(_ string, k *consul) error {
		if k.state.Order == nil || k.state.OrderIndex != index {
			return conflict("the order has changed")
		}
		k.apply(func(s *failover.State) { s.Order, s.OrderIndex = &o, k.index })
		return nil
	})
}

// PutHistory implements agent.Consul.
func (c *consulClient) PutHistory(ctx context.Context, _ string, h failover.History) error {
	return c.do(ctx, "history", func(_ string, k *consul) error {
		k.apply(func(*failover.State) {})
		return nil
	})
}

// PutRescued implements agent.Consul.
func (c *consulClient) PutRescued(ctx context.Context, _ string, _ uint64, r failover.Rescued) error {
	return c.do(ctx, "rescued", func(_ string, k *consul) error {
		k.apply(func(*failover.State) {})
		return nil
	})
}

// PutSettings implements agent.Consul.
func (c *consulClient) PutSettings(ctx context.Context, _ string, set failover.Settings, index uint64) error {
	return c.do(ctx, "settings", func(_ string, k *consul) error {
		if k.state.SettingsIndex != index {
			return conflict("the settings have changed")
		}
		k.apply(func(s *failover.State) { s.Settings, s.SettingsIndex = &set, k.index })
		return nil
	})
}

// PutAgent implements agent.Consul.
func (c *consulClient) PutAgent(ctx context.Context, _ string, a failover.AgentInfo) error {
	return c.do(ctx, "agent", func(_ string, k *consul) error {
		k.apply(func(s *failover.State) { s.Agents = with(s.Agents, a.Agent, a) })
		return nil
	})
}

package simulation

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// localConsul is a model of a machine's own Consul agent: what is registered there, and what of that the servers know.
// Changes go to the servers by themselves, when they can be reached.
type localConsul struct {
	m        *machine
	services map[string]*registration
	// known is what the servers have; serf tells that they take the machine for alive.
	known map[string]registration
	serf  bool
	// superseded are the services that a claim made critical in the catalog, which this agent does not know of.
	superseded map[string]bool
	// stuck is an update that was sent while the machine was cut off: it arrives some time after the network is back, at the latest when
	// it has been so for as long as it was not, as TCP has it, and no other is sent before.
	stuck   map[string]registration
	arrives time.Duration
	// full is when all is compared with the catalog; compare tells that it is due.
	full    time.Duration
	compare bool
	unheard time.Duration
	until   time.Duration
	away    time.Duration // when the servers last took it for dead, or an update hung
	syncing bool
	behind  bool // the servers could not be told
}

type registration struct {
	name   string
	epoch  uint64
	tags   []string
	checks map[string]string
	// by is who refreshes the checks, tended when that was last so. After ttl one of them has expired.
	by          *life
	tended, ttl time.Duration
	expired     bool
}

func (r registration) critical() bool {
	if r.expired {
		return true
	}
	for _, status := range r.checks {
		if status == "critical" {
			return true
		}
	}
	return false
}

func (c *localConsul) init(m *machine) {
	*c = localConsul{m: m, services: map[string]*registration{}, known: map[string]registration{}, superseded: map[string]bool{}, serf: true}
}

// sync brings what has changed to the servers, in a while. The caller holds the lock.
func (c *localConsul) sync() {
	if c.syncing || c.stuck != nil {
		return
	}
	c.syncing = true
	w := c.m.w
	time.AfterFunc(w.weather.consul.draw(c.m.roll("sync")), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		c.syncing = false
		said := map[string]registration{}
		for id, s := range c.services {
			r := *s
			r.checks = maps.Clone(s.checks)
			said[id] = r
		}
		switch {
		case c.m.still != nil, c.m.w.consul.away:
			c.behind = true // until it is back; see look
		case !c.m.reachesConsul():
			c.behind, c.stuck = true, said
		default:
			if c.compare {
				clear(c.superseded)
			}
			c.behind, c.compare = false, false
			c.arrive(said)
		}
	})
}

func (c *localConsul) arrive(said map[string]registration) {
	c.known = said
	c.m.w.watchdog.lookAtTags(c.m.w)
}

// look is what goes on by itself: checks expire, and the servers notice that a machine is away, and that it is back.
func (c *localConsul) look() {
	w, m := c.m.w, c.m
	now := w.now()
	c.expire(now)
	heard := m.reachesConsul() && m.still == nil
	switch {
	case heard && c.unheard == 0:
		if c.stuck != nil && now >= c.arrives {
			c.arrive(c.stuck)
			c.stuck = nil
		}
		if now >= c.full {
			r := m.roll("full") // also as soon as a server of Consul is back
			c.compare, c.full = c.full != 0, now+one(r, upTo(r, 10*time.Second), time.Minute+upTo(r, time.Minute))
		}
		if c.behind || c.compare {
			c.sync()
		}
	case heard:
		c.arrives = now + upTo(m.roll("retransmission"), now-c.unheard)
		c.unheard = 0
		w.later(upTo(m.roll("serf"), time.Second), func() {
			if c.unheard == 0 && !c.serf {
				c.serf = true
				w.watchdog.lookAtTags(w)
			}
		})
		c.sync()
	case c.unheard == 0:
		c.unheard, c.until = now, now+time.Second+upTo(m.roll("serf"), w.weather.patience)
	case now >= c.until && !w.consul.away && c.serf:
		c.serf = false
		if one(m.roll("autopilot"), true, false) { // which removes a server of Consul that has failed, and all on its machine with it
			clear(c.superseded)
			c.known = map[string]registration{}
		}
	}
	if !c.serf || c.stuck != nil {
		c.away = now
	}
}

// expire makes the services critical that nobody refreshes any more. A Consul agent that stands still comes to it when it goes on.
func (c *localConsul) expire(now time.Duration) {
	if c.m.still != nil {
		return
	}
	for _, r := range c.services {
		if r.by == c.m.life && r.by.still == nil {
			r.tended = now
		}
		if expired := now >= r.tended+r.ttl; expired != r.expired {
			r.expired = expired
			c.sync()
		}
	}
}

// holders are the services of a name that pass and have a tag.
func (w *world) holders(name, tag string) (ids []string) {
	for _, m := range w.machines {
		for id, r := range m.local.known {
			if r.name == name && m.local.serf && !m.local.superseded[id] && !r.critical() && slices.Contains(r.tags, tag) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// locally runs a request to the machine's own Consul agent.
func (c *consulClient) locally(f func(*localConsul)) {
	c.l.wait()
	w := c.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.l.m.life == c.l {
		f(&c.l.m.local)
	}
}

// Owned implements agent.Consul.
func (c *consulClient) Owned(context.Context) (ids []string, err error) {
	c.locally(func(k *localConsul) {
		for id := range k.services {
			ids = append(ids, id)
		}
	})
	slices.Sort(ids)
	return ids, nil
}

// Register implements agent.Consul.
func (c *consulClient) Register(_ context.Context, s catalog.Service) error {
	c.locally(func(k *localConsul) {
		epoch, _ := strconv.ParseUint(s.Meta[catalog.MetaEpoch], 10, 64)
		r := &registration{name: s.Name, epoch: epoch, tags: s.Tags, checks: map[string]string{}, by: c.l, tended: k.m.w.now(), ttl: math.MaxInt64}
		for _, check := range s.Checks {
			r.ttl = min(r.ttl, cmp.Or(check.TTL, catalog.DefaultTTL))
			r.checks[check.ID] = "critical"
			if old := k.services[s.ID]; old != nil && !old.expired && old.checks[check.ID] != "" {
				r.checks[check.ID] = old.checks[check.ID]
			}
		}
		k.services[s.ID] = r
		k.sync()
	})
	return nil
}

// Deregister implements agent.Consul.
func (c *consulClient) Deregister(_ context.Context, id string) error {
	c.locally(func(k *localConsul) {
		delete(k.services, id)
		k.sync()
	})
	return nil
}

// SetCheck implements agent.Consul.
func (c *consulClient) SetCheck(_ context.Context, id, status, _ string) {
	c.locally(func(k *localConsul) {
		for _, r := range k.services {
			if was, ok := r.checks[id]; ok && was != status {
				r.checks = with(r.checks, id, status)
				k.sync()
			}
		}
	})
}

// SetAgentCheck implements agent.Consul.
func (c *consulClient) SetAgentCheck(string, string) {}

// WatchMaintenance implements agent.Consul.
func (c *consulClient) WatchMaintenance(ctx context.Context, each func(map[string]string)) {
	var known map[string]string
	for ctx.Err() == nil {
		var found map[string]string
		c.locally(func(k *localConsul) {
			if why := k.m.maintenance; why != "" {
				found = map[string]string{"": why}
			}
		})
		if !maps.Equal(found, known) {
			each(found)
			known = found
		}
		sleep(ctx, time.Second)
	}
}

// PeerKey implements agent.Consul.
func (c *consulClient) PeerKey(context.Context) ([]byte, error) { return make([]byte, 32), nil }

// ClaimTag implements agent.Consul.
func (c *consulClient) ClaimTag(ctx context.Context, t catalog.TagClaim) (waitFor []string, older bool, err error) {
	type found struct {
		waitFor []string
		older   bool
	}
	f, err := ask(ctx, c.l, "tag", false, func() (f found, err error) {
		w := c.l.m.w
		var own *machine
		holders := w.holders(t.Service, t.Tag)
		granted := false
		for _, m := range w.machines {
			r, ok := m.local.known[t.Own]
			granted = granted || ok && r.epoch == t.Epoch && slices.Contains(r.tags, t.Tag)
		}
		for id, of := range t.Before {
			here := slices.ContainsFunc(w.machines, func(m *machine) bool { _, ok := m.local.known[id]; return ok })
			if id != t.Own && of > 0 && of+2 >= t.Epoch && !here && !granted && !t.Gone {
				f.waitFor, f.older = append(f.waitFor, id), true
			}
		}
		for _, m := range w.machines {
			for id, r := range m.local.known {
				old := r.epoch < t.Epoch
				suspect := old && r.epoch <= t.Before[id]
				counts := suspect || slices.Contains(holders, id)
				switch superseded := m.local.superseded[id]; {
				case r.name != t.Service:
				case superseded && !old && !slices.Contains(r.tags, t.Tag):
					delete(m.local.superseded, id)
				case id == t.Own:
					own = m
				case superseded, old && (!m.local.serf || (t.Overdue || granted) && counts):
					m.local.superseded[id], f.older = true, true
					if m.local.serf && !t.Expired && !granted && (suspect || slices.Contains(r.tags, t.Tag)) {
						f.waitFor = append(f.waitFor, id)
					}
				default:
					f.older = f.older || old
					if counts {
						f.waitFor = append(f.waitFor, id)
					}
				}
			}
		}
		if own != nil && len(f.waitFor) == 0 {
			delete(own.local.superseded, t.Own)
		}
		slices.Sort(f.waitFor)
		w.watchdog.lookAtTags(w)
		return f, nil
	})
	return f.waitFor, f.older, err
}

package simulation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// localConsul is a model of a machine's own Consul agent: what is registered there, and what of that the servers know.
// Changes go to the servers by themselves, when they can be reached.
type localConsul struct {
	m        *machine
	services map[string]*registration
	// known is what the servers have; serf tells that they take the machine for alive.
	known   map[string]registration
	serf    bool
	unheard time.Duration
	until   time.Duration
	syncing bool
	behind  bool // the servers could not be told
}

type registration struct {
	name   string
	tags   []string
	checks map[string]string
}

func (r registration) critical() bool {
	for _, status := range r.checks {
		if status == "critical" {
			return true
		}
	}
	return false
}

func (c *localConsul) init(m *machine) {
	*c = localConsul{m: m, services: map[string]*registration{}, known: map[string]registration{}, serf: true}
}

// sync brings what has changed to the servers, in a while. The caller holds the lock.
func (c *localConsul) sync() {
	if c.syncing {
		return
	}
	c.syncing = true
	w := c.m.w
	time.AfterFunc(w.weather.consul.draw(c.m.roll("sync")), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		c.syncing = false
		if c.behind = !c.m.reachesConsul() || c.m.still != nil; c.behind {
			return // when it is back; see look
		}
		known := map[string]registration{}
		for id, s := range c.services {
			known[id] = registration{s.name, s.tags, maps.Clone(s.checks)}
		}
		c.known = known
		w.watchdog.lookAtTags(w)
	})
}

// look is what goes on by itself: the servers notice that a machine is away, and that it is back.
func (c *localConsul) look() {
	w, m := c.m.w, c.m
	now := w.now()
	heard := m.reachesConsul() && m.still == nil
	switch {
	case heard && c.unheard == 0:
		if c.behind {
			c.sync()
		}
	case heard:
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
	case now >= c.until && !w.consul.away:
		c.serf = false
	}
}

// holders are the services of a name that pass and have a tag.
func (w *world) holders(name, tag string) (ids []string) {
	for _, m := range w.machines {
		for id, r := range m.local.known {
			if r.name == name && m.local.serf && !r.critical() && slices.Contains(r.tags, tag) {
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
		r := &registration{s.Name, s.Tags, map[string]string{}}
		for _, check := range s.Checks {
			r.checks[check.ID] = "critical"
			if old := k.services[s.ID]; old != nil && old.checks[check.ID] != "" {
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

// Maintenance implements agent.Consul.
func (c *consulClient) Maintenance(context.Context) (found map[string]string, err error) {
	c.locally(func(k *localConsul) {
		if why := k.m.maintenance; why != "" {
			found = map[string]string{"": why}
		}
	})
	return found, nil
}

// PeerKey implements agent.Consul.
func (c *consulClient) PeerKey(context.Context) ([]byte, error) { return make([]byte, 32), nil }

// ClaimTag implements agent.Consul.
func (c *consulClient) ClaimTag(ctx context.Context, service, tag, own string, take bool) ([]string, error) {
	return ask(ctx, c.l, "tag", false, func() (holders []string, err error) {
		for _, m := range c.l.m.w.machines {
			for id, r := range m.local.known {
				switch has := slices.Contains(r.tags, tag); {
				case m.local.serf || id == own || r.name != service || !has:
				case !take:
					holders = append(holders, id)
				default:
					r.tags = slices.DeleteFunc(slices.Clone(r.tags), func(t string) bool { return t == tag })
					m.local.known[id] = r
				}
			}
		}
		holders = append(holders, c.l.m.w.holders(service, tag)...)
		return slices.DeleteFunc(holders, func(id string) bool { return id == own }), nil
	})
}

package catalog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/beat"
)

const (
	// readBack is how often the registrations are compared with what should be there. A restart of the
	// Consul agent is usually noticed earlier, by a heartbeat that fails.
	readBack = 3 * time.Second
	// outputEvery is how often a mere change of a check's output is pushed, so that numbers that change with
	// every look do not keep Consul busy.
	outputEvery = time.Second
	// refreshes is how many times a status is refreshed within the TTL of its check. What fails is tried again within a second.
	refreshes = 2
	// atOnce is how many registrations and checks are brought to Consul at the same time: a machine may have 200
	// connections to its Consul agent (limits.http_max_conns_per_client), and a hundred groups change at once when it
	// starts.
	atOnce = 8
)

// registry is what should be registered on the local Consul agent.
type registry struct {
	mu       sync.Mutex
	services map[string]*registered
	checks   map[string]*checkState
	wake     chan struct{}
	places   places // atOnce of them
}

// registered is one service that should be there.
type registered struct {
	// op is held while Consul is told about the service, so that the newest wish is told last.
	op sync.Mutex
	// swept tells that checks were removed which an earlier version left; op guards it.
	swept bool

	// The rest is guarded by the registry's mutex.
	want  Service
	ttl   time.Duration // the shortest of its checks
	right bool          // seen to be as wanted, in this run of the Consul agent
}

// checkState is what a check should say and what Consul was last told.
type checkState struct {
	service *registered
	ttl     time.Duration
	say     spoken
	told    spoken
	toldAt  time.Time
}

func newRegistry() *registry {
	return &registry{services: map[string]*registered{}, checks: map[string]*checkState{}, wake: make(chan struct{}, 1),
		places: make(places, atOnce)}
}

// Register makes a service be on the local Consul agent as s says, now and for as long as Run runs: also after a
// restart of the Consul agent, with its data or without. Registered again with other tags, its checks keep their
// status. An error means that it is not right yet; Run goes on trying.
func (c *Catalog) Register(ctx context.Context, s Service) error {
	if err := c.self.wait(ctx); err != nil {
		return fmt.Errorf("register service %s: %w", s.ID, err)
	}
	return c.bring(ctx, c.registry.want(s))
}

// Deregister removes a service and its checks. It is no error if it is not there; after an error the caller
// must try again.
func (c *Catalog) Deregister(ctx context.Context, id string) error {
	if r := c.registry.drop(id); r != nil {
		r.op.Lock()
		defer r.op.Unlock()
	}
	return c.deregister(ctx, id)
}

// SetCheck sets what a check says. Consul is told before SetCheck returns if it is another status, within a second
// of another output, and otherwise often enough that the check does not expire; Run goes on trying after an
// error, and while the servers do not answer (see pulse). Nothing is said of a service that is not seen to be registered as wanted;
// checks of services that nobody registered are ignored.
func (c *Catalog) SetCheck(ctx context.Context, id, status, output string) {
	g := c.registry
	g.mu.Lock()
	k := g.checks[id]
	if k == nil {
		g.mu.Unlock()
		return
	}
	changed := k.say.status != status
	k.say = spoken{status, output}
	g.mu.Unlock()
	if changed {
		c.tell(ctx, id)
	}
}

// want notes that a service should be there as s says.
func (g *registry) want(s Service) *registered {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.services[s.ID]
	if r == nil {
		r = &registered{}
		g.services[s.ID] = r
	}
	keep := map[string]bool{}
	r.ttl = math.MaxInt64
	for _, k := range s.Checks {
		keep[k.ID], r.ttl = true, min(r.ttl, k.ttl())
		if g.checks[k.ID] == nil {
			g.checks[k.ID] = &checkState{service: r}
		}
		g.checks[k.ID].ttl = k.ttl()
	}
	for _, k := range r.want.Checks {
		if !keep[k.ID] {
			delete(g.checks, k.ID)
		}
	}
	r.want, r.right = s, false
	return r
}

func (g *registry) drop(id string) *registered {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.services[id]
	if r == nil {
		return nil
	}
	for _, k := range r.want.Checks {
		delete(g.checks, k.ID)
	}
	delete(g.services, id)
	return r
}

// doubtAll has every registration looked at again before one of its checks is updated.
func (g *registry) doubtAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.services {
		r.right = false
	}
	poke(g.wake)
}

// bring registers a service as it is wanted now, and reads it back.
func (c *Catalog) bring(ctx context.Context, r *registered) error {
	g := c.registry
	r.op.Lock()
	defer r.op.Unlock()
	g.mu.Lock()
	want := r.want
	done := r.right || g.services[want.ID] != r // somebody else was faster
	g.mu.Unlock()
	if done {
		return nil
	}
	err := c.inTurn(ctx, "register service "+want.ID, func(ctx context.Context, a *api.Agent) error {
		// replace-existing-checks would end maintenance, which is a check as well.
		if err := a.ServiceRegisterOpts(c.registration(want), api.ServiceRegisterOpts{}.WithContext(ctx)); err != nil {
			return err
		}
		if !r.swept {
			if err := sweep(ctx, a, want); err != nil {
				return err
			}
			r.swept = true
		}
		there, _, err := a.Service(want.ID, queryOptions(ctx, false))
		if err == nil && !c.same(want, there) {
			err = fmt.Errorf("consul has it otherwise: %+v", there)
		}
		return err
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range want.Checks {
		if state := g.checks[k.ID]; state != nil {
			state.toldAt = time.Time{} // tell all of them again
		}
	}
	r.right = true
	poke(g.wake)
	return nil
}

// inTurn calls the Consul agent of this machine when one of the places is free.
func (c *Catalog) inTurn(ctx context.Context, what string, call func(context.Context, *api.Agent) error) error {
	leave, _, err := c.registry.places.enter(ctx, what)
	if err != nil {
		return err
	}
	defer leave()
	return c.local(ctx, what, callTimeout, call)
}

// sweep removes the checks of a service that it should not have, but for the one that is its maintenance.
func sweep(ctx context.Context, a *api.Agent, s Service) error {
	there, err := a.ChecksWithFilterOpts(fmt.Sprintf("ServiceID == %q", s.ID), queryOptions(ctx, false))
	if err != nil {
		return err
	}
	for id := range there {
		wanted := slices.ContainsFunc(s.Checks, func(k Check) bool { return k.ID == id })
		if wanted || strings.HasPrefix(id, api.ServiceMaintPrefix) {
			continue
		}
		if err := a.CheckDeregisterOpts(id, queryOptions(ctx, false)); err != nil {
			return err
		}
	}
	return nil
}

// keepServices keeps Consul told until ctx ends.
func (c *Catalog) keepServices(ctx context.Context) {
	refresh := time.NewTimer(0)
	defer refresh.Stop()
	compared := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-refresh.C:
			refresh.Reset(beat.Until(outputEvery / 2))
		case <-c.registry.wake:
		}
		if time.Since(compared) > readBack {
			compared = time.Now()
			c.compare(ctx)
		}
		c.bringAll(ctx)
		c.tellChecks(ctx)
	}
}

// compare looks whether the registrations are still there as wanted.
func (c *Catalog) compare(ctx context.Context) {
	there, err := c.ownServices(ctx)
	if err != nil {
		return // the heartbeat sees it too, and says so
	}
	g := c.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, r := range g.services {
		if r.right && !c.same(r.want, there[id]) {
			c.log.Warn("a registration has changed in Consul and is restored", "service", id)
			r.right = false
		}
	}
}

// bringAll registers what is not known to be right.
func (c *Catalog) bringAll(ctx context.Context) {
	g := c.registry
	g.mu.Lock()
	var wrong []*registered
	for _, r := range g.services {
		if !r.right {
			wrong = append(wrong, r)
		}
	}
	slices.SortFunc(wrong, func(a, b *registered) int { return cmp.Compare(a.ttl, b.ttl) }) // what expires first
	g.mu.Unlock()
	for _, r := range wrong {
		if err := c.bring(ctx, r); err != nil {
			c.log.Debug("registration failed", "error", err)
			return // the others would fail as well
		}
	}
}

// tellChecks updates the checks that are due.
func (c *Catalog) tellChecks(ctx context.Context) {
	g := c.registry
	g.mu.Lock()
	all := maps.Clone(g.checks)
	g.mu.Unlock()
	for id, k := range all {
		if _, due := c.due(k); !due {
			continue // without waiting for what its service is about
		}
		if !c.tell(ctx, id) {
			return // the others would fail as well
		}
	}
}

// tell updates a check if it is due and its service was seen to be right. It is false if Consul did not answer.
func (c *Catalog) tell(ctx context.Context, id string) bool {
	g := c.registry
	g.mu.Lock()
	k := g.checks[id]
	g.mu.Unlock()
	if k == nil {
		return true
	}
	k.service.op.Lock()
	defer k.service.op.Unlock()
	say, due := c.due(k)
	if !due {
		return true
	}
	err := c.inTurn(ctx, "update check "+id, func(ctx context.Context, a *api.Agent) error {
		return a.UpdateTTLOpts(id, say.output, say.status, queryOptions(ctx, false))
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		c.log.Debug("check not updated", "error", err)
		k.service.right = false // whatever the reason, it may be another run of the Consul agent
		return unknown(err)
	}
	k.told, k.toldAt = say, time.Now()
	return true
}

// due is what Consul has to be told of a check, if anything.
func (c *Catalog) due(k *checkState) (say spoken, due bool) {
	c.registry.mu.Lock()
	defer c.registry.mu.Unlock()
	if say = k.say; c.pulse.silent() {
		say = k.told
	}
	return say, k.service.right && k.due(time.Now(), say)
}

func (k *checkState) due(now time.Time, say spoken) bool {
	age := now.Sub(k.toldAt)
	switch {
	case say.status == "":
		return false // nothing is known yet: critical, as registered
	case say.status != k.told.status:
		return true
	case say.output != k.told.output:
		return age >= outputEvery
	}
	return age >= k.ttl/refreshes
}

package catalog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/beat"
)

const (
	// AgentService is the Consul service that every agent registers itself as.
	AgentService = "redis-sentinel"

	// agentTTL is how long a dead agent's session, with its votes and its lock, outlives it.
	agentTTL = 2 * time.Second
	// heartbeat leaves room for three to be lost or late before agentTTL is over.
	heartbeat = agentTTL / 4
	// heartbeatTimeout: an answer that takes longer is of no use before the next heartbeat but one.
	heartbeatTimeout = agentTTL / 2
	// returnPoll is how often a Consul agent that is away is tried, to be there before it tells others what
	// it has read from its disk.
	returnPoll = 50 * time.Millisecond
)

// AgentSpec is who runs.
type AgentSpec struct {
	Name, Version string
	// OnSession, when set, is called with the id of each new session, and with "" when one is lost. Calls
	// come one after the other.
	OnSession func(id string)
}

// self is what the agent is in Consul.
type self struct {
	started chan struct{} // closed by Run
	spec    AgentSpec     // set before started is closed
	suspect chan struct{} // the session may be gone

	mu      sync.Mutex
	session string
	say     spoken
	told    spoken // with the last heartbeat
}

// spoken is what a check was made to say.
type spoken struct{ status, output string }

func newSelf() *self {
	return &self{
		started: make(chan struct{}), suspect: make(chan struct{}, 1),
		say: spoken{api.HealthPassing, "running"},
	}
}

// name is the agent's name, empty before Run.
func (s *self) name() string {
	select {
	case <-s.started:
		return s.spec.Name
	default:
		return ""
	}
}

// wait waits until Run has said who runs.
func (s *self) wait(ctx context.Context) error {
	select {
	case <-s.started:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the agent to start: %w", ctx.Err())
	}
}

func (s *self) serviceID() string { return AgentService + "-" + s.spec.Name }
func (s *self) checkID() string   { return s.serviceID() + ":agent" }
func (s *self) doubtSession()     { poke(s.suspect) }
func (s *self) setSession(id string) {
	s.mu.Lock()
	s.session = id
	s.mu.Unlock()
	if s.spec.OnSession != nil {
		s.spec.OnSession(id)
	}
}

// Run keeps the agent present in Consul until ctx ends: its service with a check that proves every half second
// that the agent lives, its session, and what Register has asked for. When ctx ends it leaves: the session, with
// lock and votes, and the agent's own service go at once; the services of nodes stay. It may be called once.
func (c *Catalog) Run(ctx context.Context, spec AgentSpec) {
	c.self.spec = spec
	close(c.self.started)
	var parts sync.WaitGroup
	parts.Go(func() { c.keepAlive(ctx) })
	parts.Go(func() { c.keepSession(ctx) })
	parts.Go(func() { c.keepServices(ctx) })
	parts.Go(func() { c.goHome(ctx) })
	parts.Wait()
	c.leave(context.WithoutCancel(ctx))
}

// SetAgentCheck sets status and output of the agent's own check, with the next heartbeat: in a change of master, where they
// change with every step, each write would stand in the way of those that others wait for. Status is "passing" or
// "warning"; the session would not survive "critical", which therefore counts as a warning.
func (c *Catalog) SetAgentCheck(status, output string) {
	if status != api.HealthPassing {
		status = api.HealthWarning
	}
	s := c.self
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say = spoken{status, output}
}

// keepAlive sends the heartbeats.
func (c *Catalog) keepAlive(ctx context.Context) {
	registered, troubled := false, false
	for ctx.Err() == nil {
		var err error
		if !registered {
			err = c.registerSelf(ctx)
		}
		if err == nil {
			err = c.heartbeat(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		pause := beat.Until(heartbeat)
		if err != nil {
			if !troubled {
				c.log.Warn("the local Consul agent does not take the heartbeat", "error", err)
			}
			// Another run of the Consul agent may answer next, with what it has on its disk.
			c.registry.doubtAll()
			if registered {
				c.self.doubtSession()
			}
			pause = returnPoll
		} else if !registered {
			c.log.Info("agent registered with Consul", "service", c.self.serviceID())
			poke(c.registry.wake)
		}
		registered, troubled = err == nil, err != nil
		sleep(ctx, pause)
	}
}

func (c *Catalog) registerSelf(ctx context.Context) error {
	s := c.self
	reg := c.registration(Service{ID: s.serviceID(), Name: AgentService, Meta: map[string]string{"version": s.spec.Version}})
	reg.Checks = api.AgentServiceChecks{{
		CheckID: s.checkID(), Name: "agent", TTL: agentTTL.String(), Status: api.HealthCritical,
	}}
	return c.local(ctx, "register agent", heartbeatTimeout, func(ctx context.Context, a *api.Agent) error {
		return a.ServiceRegisterOpts(reg, api.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx))
	})
}

func (c *Catalog) heartbeat(ctx context.Context) error {
	s := c.self
	silent := c.pulse.silent()
	s.mu.Lock()
	if !silent || s.told.status == "" {
		s.told = s.say
	}
	told := s.told
	s.mu.Unlock()
	return c.local(ctx, "heartbeat", heartbeatTimeout, func(ctx context.Context, a *api.Agent) error {
		return a.UpdateTTLOpts(s.checkID(), told.output, told.status, queryOptions(ctx, false))
	})
}

// leave undoes what keepAlive and keepSession have done.
func (c *Catalog) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var destroy error
	if session := c.Session(); session != "" {
		_, destroy = c.endpoints.local().Session().Destroy(session, writeOptions(ctx))
		c.self.setSession("")
	}
	deregister := c.deregister(ctx, c.self.serviceID())
	for _, err := range []error{destroy, deregister} {
		if err != nil {
			c.log.Warn("could not leave Consul in order; the session ends with its check", "error", err)
		}
	}
}

// local calls the Consul agent of this machine.
func (c *Catalog) local(ctx context.Context, what string, limit time.Duration, call func(context.Context, *api.Agent) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := call(ctx, c.endpoints.local().Agent()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// poke wakes whoever reads the channel; twice is once.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

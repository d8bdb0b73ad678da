package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// lockDelay is as short as consul/api can say: it drops a zero, and the server then uses 15 s. Safety
	// rests on compare-and-set, not on the delay.
	lockDelay = time.Millisecond
	// sessionRetryFirst is short because the first attempt usually comes some milliseconds before the check
	// that the session is bound to has reached the catalog.
	sessionRetryFirst, sessionRetryLast = 10 * time.Millisecond, 500 * time.Millisecond
	// sessionPatience is how long a session that cannot be created is nothing to worry people with.
	sessionPatience = 5 * time.Second
)

// Session is the id of the agent's session, empty while it has none.
func (c *Catalog) Session() string {
	c.self.mu.Lock()
	defer c.self.mu.Unlock()
	return c.self.session
}

// keepSession creates a session, waits until it is lost, and creates another.
func (c *Catalog) keepSession(ctx context.Context) {
	for ctx.Err() == nil {
		id := c.newSession(ctx)
		if id == "" {
			return // ctx has ended
		}
		c.log.Info("session created", "session", id)
		c.self.setSession(id)
		if !c.waitLost(ctx, id) {
			return // leave destroys it
		}
		c.log.Warn("session lost: votes and locks are gone with it", "session", id)
		c.self.setSession("")
	}
}

// newSession tries until it has a session or ctx ends.
func (c *Catalog) newSession(ctx context.Context) string {
	begun := time.Now()
	warned := false
	for retry := sessionRetryFirst; ctx.Err() == nil; retry = min(2*retry, sessionRetryLast) {
		id, err := c.createSession(ctx)
		if err == nil {
			return id
		}
		if !warned && time.Since(begun) > sessionPatience && ctx.Err() == nil {
			c.log.Warn("cannot create a session; this agent can neither vote nor lead", "error", err)
			warned = true
		}
		sleep(ctx, retry)
	}
	return ""
}

func (c *Catalog) createSession(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client := c.endpoints.local()
	if err := c.destroyPredecessors(ctx, client); err != nil {
		return "", err
	}
	id, _, err := client.Session().Create(&api.SessionEntry{
		Name:          c.self.serviceID(),
		LockDelay:     lockDelay,
		Behavior:      api.SessionBehaviorDelete,
		NodeChecks:    []string{"serfHealth"},
		ServiceChecks: []api.ServiceCheck{{ID: c.self.checkID(), Namespace: c.namespace}},
	}, writeOptions(ctx))
	if err != nil {
		return "", fmt.Errorf("create session: %w", err)
	}
	return id, nil
}

// destroyPredecessors ends the sessions of earlier runs of this agent. They are bound to the check that this
// run keeps alive, so they would never end, nor would the votes and locks under them.
func (c *Catalog) destroyPredecessors(ctx context.Context, client *api.Client) error {
	node, err := c.nodeName(ctx, client)
	if err != nil {
		return err
	}
	sessions, _, err := client.Session().Node(node, queryOptions(ctx, true))
	if err != nil {
		return fmt.Errorf("list sessions of node %s: %w", node, err)
	}
	for _, s := range sessions {
		if s.Name != c.self.serviceID() {
			continue
		}
		if _, err := client.Session().Destroy(s.ID, writeOptions(ctx)); err != nil {
			return fmt.Errorf("destroy session of an earlier run: %w", err)
		}
	}
	return nil
}

// nodeName is the name of the Consul agent of this machine.
func (c *Catalog) nodeName(ctx context.Context, client *api.Client) (string, error) {
	var about struct{ Config struct{ NodeName string } }
	if _, err := client.Raw().Query("/v1/agent/self", &about, queryOptions(ctx, false)); err != nil {
		return "", fmt.Errorf("ask the local Consul agent for its name: %w", err)
	}
	return about.Config.NodeName, nil
}

// waitLost waits until the session is gone, and returns false if ctx has ended before.
func (c *Catalog) waitLost(ctx context.Context, id string) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan struct{}, 1)
	go c.watch(ctx, func(client *api.Client, q *api.QueryOptions) (uint64, func(), error) {
		s, meta, err := client.Session().Info(id, q)
		if err != nil {
			return 0, nil, err
		}
		return meta.LastIndex, func() {
			if s == nil {
				poke(lost)
			}
		}, nil
	})
	for {
		select {
		case <-ctx.Done():
			return false
		case <-lost:
			return true
		case <-c.self.suspect:
			if c.sessionGone(ctx, id) {
				return true
			}
		}
	}
}

// sessionGone asks Consul whether the session is known to be gone.
func (c *Catalog) sessionGone(ctx context.Context, id string) bool {
	var s *api.SessionEntry
	err := c.readAtOnce(ctx, "look for session", func(ctx context.Context, client *api.Client) (err error) {
		s, _, err = client.Session().Info(id, queryOptions(ctx, true))
		return err
	})
	return err == nil && s == nil
}

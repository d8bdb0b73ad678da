package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// AcquireLock tries to become the leader of a group; false means that another agent is. The lock ends with the
// agent's session.
func (c *Catalog) AcquireLock(ctx context.Context, group string) (bool, error) {
	what := "acquire lock of group " + group
	session, err := c.held(what)
	if err != nil {
		return false, err
	}
	ok := false
	err = c.write(ctx, what, func(ctx context.Context, client *api.Client) (err error) {
		p := &api.KVPair{Key: c.keys(group).leader(), Value: c.holder(), Session: session}
		ok, _, err = client.KV().Acquire(p, writeOptions(ctx))
		return err
	})
	c.doubt(err)
	return ok && err == nil, err
}

// held is the agent's session, which what is written rests on.
func (c *Catalog) held(what string) (session string, err error) {
	if session = c.Session(); session == "" {
		err = fmt.Errorf("%s: %w", what, ErrNoSession)
	}
	return session, err
}

// holder is the value of the lock while this agent holds it.
func (c *Catalog) holder() []byte {
	b, err := json.Marshal(holder{c.self.name()})
	if err != nil {
		panic(err) // a struct of one string
	}
	return b
}

// ReleaseLock gives the lock up. It is no error if the agent does not hold it.
func (c *Catalog) ReleaseLock(ctx context.Context, group string) error {
	session := c.Session()
	if session == "" {
		return nil
	}
	return c.write(ctx, "release lock of group "+group, func(ctx context.Context, client *api.Client) error {
		_, _, err := client.KV().Release(&api.KVPair{Key: c.keys(group).leader(), Session: session}, writeOptions(ctx))
		return err
	})
}

// PutVote writes the agent's vote, which is gone with the agent's session. It returns the vote's index.
func (c *Catalog) PutVote(ctx context.Context, group string, v failover.Vote) (uint64, error) {
	what, key := "vote in group "+group, c.keys(group).vote(c.self.name())
	value, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	session, err := c.held(what)
	if err != nil {
		return 0, err
	}
	index, err := c.commit(ctx, what, key, api.TxnOps{c.kvOp(api.KVTxnOp{Verb: api.KVLock, Key: key, Value: value, Session: session})})
	c.doubt(err)
	return index, err
}

// DeleteVote takes the agent's vote back.
func (c *Catalog) DeleteVote(ctx context.Context, group string) error {
	return c.delete(ctx, "take back vote in group "+group, c.keys(group).vote(c.self.name()))
}

// doubt looks after the session when what rests on it has failed: it may be gone, and asking costs nothing.
func (c *Catalog) doubt(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		c.self.doubtSession()
	}
}

package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/beat"
)

// homeAfter is how long a fallback is used before the configured address is tried again: long enough that a
// dead one does not cost its time-out on every call, short enough that nobody has to intervene.
const homeAfter = 10 * time.Second

// homePoll is how often it is looked whether the configured address answers again, while it does not.
const homePoll = time.Second

// errMoved is a watch that ended only because the configured address is used again.
var errMoved = errors.New("another address is used now")

// endpoints are the Consul addresses: the configured one, which is the Consul agent of this machine, and those
// to fall back on.
type endpoints struct {
	clients []*api.Client
	mu      sync.Mutex
	current int
	until   time.Time     // when the configured address is tried again
	moved   chan struct{} // closed when current changes
}

func newEndpoints(clients []*api.Client) *endpoints {
	return &endpoints{clients: clients, moved: make(chan struct{})}
}

// local is the Consul agent of this machine.
func (e *endpoints) local() *api.Client { return e.clients[0] }

// pick returns the address to use now, and a channel that is closed when another is to be used.
func (e *endpoints) pick() (int, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current, e.moved
}

// try is pick for a call that ends soon: every homeAfter one of them tries the configured address again. A watch
// must not, it would wait for minutes at an address that is silent.
func (e *endpoints) try() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != 0 && time.Now().After(e.until) {
		e.until = time.Now().Add(homeAfter)
		return 0
	}
	return e.current
}

// answered notes that an address answers.
func (e *endpoints) answered(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i == 0 && e.current != 0 {
		e.move(0)
	}
}

// away tells whether another address than the configured one is used.
func (e *endpoints) away() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current != 0
}

func (e *endpoints) move(to int) {
	e.current = to
	close(e.moved)
	e.moved = make(chan struct{})
}

// avoid goes on to the address after i, unless somebody already has.
func (e *endpoints) avoid(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.clients) == 1 || e.current != i {
		return
	}
	e.until = time.Now().Add(homeAfter)
	e.move((i + 1) % len(e.clients))
}

// goHome has the configured address used again as soon as it answers for the whole of Consul, so that no call pays for trying
// it, and so that the next fault does not meet this agent at an address of another machine. It feels the pulse likewise.
func (c *Catalog) goHome(ctx context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, beat.Until(homePoll))
		if !c.endpoints.away() && !c.pulse.silent() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, homePoll)
		err := c.at(ctx, 0, func(ctx context.Context, client *api.Client) error {
			_, _, err := client.KV().Get(c.prefix, queryOptions(ctx, true))
			return err
		})
		if err == nil {
			c.endpoints.answered(0)
		}
		cancel()
	}
}

// at makes a call to the servers at one of the addresses. Of the configured one it feels the pulse.
func (c *Catalog) at(ctx context.Context, i int, call func(context.Context, *api.Client) error) error {
	if i != 0 {
		return call(ctx, c.endpoints.clients[i])
	}
	silent, answered := c.pulse.silent(), c.pulse.ask()
	err := call(ctx, c.endpoints.local())
	if answered(err); silent && err == nil {
		poke(c.registry.wake)
	}
	return err
}

// places bounds how many calls are made at the same time.
type places chan struct{}

// enter waits for a place; leave gives it back. A call that waited has spent some of its time, so that no address is to blame
// when it fails.
func (p places) enter(ctx context.Context, what string) (leave func(), waited bool, err error) {
	leave = func() { <-p }
	select {
	case p <- struct{}{}:
		return leave, false, nil
	default:
	}
	select {
	case p <- struct{}{}:
		return leave, true, nil
	case <-ctx.Done():
		return nil, true, fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// read makes a call that changes nothing, at one address after the other until one answers.
func (c *Catalog) read(ctx context.Context, what string, call func(context.Context, *api.Client) error) error {
	leave, waited, err := c.places.enter(ctx, what)
	if err != nil {
		return err
	}
	defer leave()
	return c.inOrder(ctx, what, !waited, call)
}

// readAtOnce is read for a call that waits for no other.
func (c *Catalog) readAtOnce(ctx context.Context, what string, call func(context.Context, *api.Client) error) error {
	return c.inOrder(ctx, what, true, call)
}

// inOrder asks one address after the other. An address that does not answer is avoided by the next, if it is to blame.
func (c *Catalog) inOrder(ctx context.Context, what string, blame bool, call func(context.Context, *api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := len(c.endpoints.clients)
	first := c.endpoints.try()
	var err error
	for tried := range n {
		i := (first + tried) % n
		if err = attempt(ctx, n-tried, func(ctx context.Context) error { return c.at(ctx, i, call) }); err == nil {
			c.endpoints.answered(i)
			return nil
		}
		if refused(err) || ctx.Err() != nil {
			break
		}
		if blame {
			c.endpoints.avoid(i)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// attempt gives one of several attempts its share of the time that is left.
func attempt(ctx context.Context, left int, call func(context.Context) error) error {
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
	defer cancel()
	return call(ctx)
}

// write makes a call that changes something. Another address is asked only if the first cannot have had the
// request: a compare-and-set that is sent twice would report its own success as a conflict.
func (c *Catalog) write(ctx context.Context, what string, call func(context.Context, *api.Client) error) error {
	leave, waited, err := c.places.enter(ctx, what)
	if err != nil {
		return err // it was not sent
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := len(c.endpoints.clients)
	first := c.endpoints.try()
	for tried := range n {
		i := (first + tried) % n
		if err = call(ctx, c.endpoints.clients[i]); err == nil {
			c.endpoints.answered(i)
			return nil
		}
		if !refused(err) && !waited {
			c.endpoints.avoid(i)
		}
		if !unsent(err) || ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("%s: %w", what, outcome(err))
}

// queryOptions are those of a read; consistent asks Consul's leader to confirm that it leads before it answers.
func queryOptions(ctx context.Context, consistent bool) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: consistent}).WithContext(ctx)
}

func writeOptions(ctx context.Context) *api.WriteOptions {
	return (&api.WriteOptions{}).WithContext(ctx)
}

package peers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Client asks other agents. It keeps connections open: a promise is asked for again and again, and must not wait.
type Client struct {
	conf   Config
	secure *tls.Config
	mu     sync.Mutex
	idle   map[string][]*conn // by address
	// mail is what waits to be told to those to whom something is on its way.
	mail   map[recipient][]letter
	closed bool
}

// conn is one conversation.
type conn struct {
	net.Conn
	r         *bufio.Reader
	challenge []byte
	seq       uint64
}

// idlePerAgent is how many connections are kept open to one agent.
const idlePerAgent = 4

// NewClient makes a client; nothing is connected yet.
func NewClient(c Config) (*Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	secure, err := c.tls()
	if err != nil {
		return nil, err
	}
	return &Client{conf: c, secure: secure, idle: map[string][]*conn{}, mail: map[recipient][]letter{}}, nil
}

// Close ends the connections that are not in use.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conns := range c.idle {
		for _, k := range conns {
			_ = k.Close()
		}
	}
	c.idle = nil
}

// Promise asks the agent at the address for a promise.
func (c *Client) Promise(ctx context.Context, address, agent string, r PromiseRequest) (a PromiseAnswer, err error) {
	err = c.ask(ctx, address, agent, kindPromise, r, &a)
	return a, err
}

// Frozen tells the agent that a master froze.
func (c *Client) Frozen(ctx context.Context, address, agent string, n FrozenNotice) error {
	var ok bool
	return c.ask(ctx, address, agent, kindFrozen, n, &ok)
}

// View asks what the agent makes of a group.
func (c *Client) View(ctx context.Context, address, agent, group string) (b json.RawMessage, err error) {
	err = c.ask(ctx, address, agent, kindView, group, &b)
	return b, err
}

// Identity asks who answers, without expecting somebody.
func (c *Client) Identity(ctx context.Context, address, agent string) (i Identity, err error) {
	err = c.ask(ctx, address, agent, kindIdentity, nil, &i)
	return i, err
}

// ask asks over a connection that is open, if there is one. That may have ended meanwhile, so it is asked again, once, over
// a new one: no question does harm when it is asked twice.
func (c *Client) ask(ctx context.Context, address, agent, kind string, q, into any) error {
	what := fmt.Sprintf("ask agent %s at %s (%s)", agent, address, kind)
	if k := c.take(address); k != nil {
		done, err := c.over(ctx, k, address, agent, kind, q, into)
		if done {
			return wrap(what, err)
		}
	}
	k, err := c.dial(ctx, address)
	if err != nil {
		return wrap(what, err)
	}
	_, err = c.over(ctx, k, address, agent, kind, q, into)
	return wrap(what, err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// over asks over one connection; done is false when the connection, not the agent, was to blame.
func (c *Client) over(ctx context.Context, k *conn, address, agent, kind string, body, into any) (done bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	k.seq++
	q := message{Seq: k.seq, From: c.conf.Agent, To: agent, Kind: kind, Nonce: make([]byte, 16), Body: encode(body)}
	_, _ = rand.Read(q.Nonce) // never fails
	q.sign(c.conf.Key, question, k.challenge)
	var a message
	if err = writeFrame(k, q); err == nil {
		err = readFrame(k.r, &a)
	}
	if err != nil {
		_ = k.Close()
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		return false, err
	}
	if !a.signed(c.conf.Key, answer, k.challenge) || a.Seq != q.Seq || a.Kind != kind || a.To != c.conf.Agent || !bytes.Equal(a.Nonce, q.Nonce) {
		_ = k.Close()
		return true, ErrAuth
	}
	if stop() {
		c.give(address, k)
	} else {
		_ = k.Close() // its deadline is set, or is being set
	}
	switch {
	case a.From != agent:
		return true, fmt.Errorf("%w: %s", ErrOtherAgent, a.From)
	case a.Error != "":
		return true, errors.New(a.Error)
	}
	return true, json.Unmarshal(a.Body, into)
}

func (c *Client) dial(ctx context.Context, address string) (*conn, error) {
	var d net.Dialer
	n, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if c.secure != nil {
		conf := c.secure.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(address)
		t := tls.Client(n, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = n.Close()
			return nil, err
		}
		n = t
	}
	k := &conn{Conn: n, r: bufio.NewReader(n)}
	stop := context.AfterFunc(ctx, func() { _ = n.SetDeadline(time.Unix(1, 0)) })
	var h hello
	err = readFrame(k.r, &h)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = n.Close()
		return nil, fmt.Errorf("read the challenge: %w", err)
	}
	k.challenge = h.Challenge
	return k, nil
}

func (c *Client) take(address string) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conns := c.idle[address]
	if len(conns) == 0 {
		return nil
	}
	k := conns[len(conns)-1]
	c.idle[address] = conns[:len(conns)-1]
	return k
}

func (c *Client) give(address string, k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle[address]) >= idlePerAgent {
		_ = k.Close()
		return
	}
	c.idle[address] = append(c.idle[address], k)
}

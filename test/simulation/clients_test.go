package simulation

import (
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// client writes to whoever it takes for the master, and remembers what was acknowledged.
type client struct {
	w       *world
	m       *machine // where it runs
	dice    *rand.Rand
	waits   int  // for how many replicas its WAIT waits; 0 sends none
	sticky  bool // stays with a master until that refuses
	target  *server
	conn    *conn
	pending *op
	rests   time.Duration // until when
}

// op is one write.
type op struct {
	id     int
	by     *client
	server *server
	run    string
	at     int64 // the offset after it, once it was carried out
	sent   time.Duration
	acks   int // how many replicas WAIT counted
	waited bool
	acked  time.Duration // when it was acknowledged; 0 while it is not
}

// patience is how long a client waits for an answer.
const patience = time.Second

func (c *client) step() {
	now := c.w.now()
	if o := c.pending; o != nil {
		if now > o.sent+patience || o.at == 0 && c.conn.ended {
			c.drop()
		} else if o.at > 0 {
			c.wait(o)
		}
		return
	}
	if now < c.rests {
		return
	}
	c.rests = now + upTo(c.dice, 100*ms)
	if c.target == nil || c.conn.ended || !c.sticky && c.dice.IntN(4) == 0 {
		c.resolve()
	}
	if c.target != nil && c.target.m.hears(c.m) {
		c.send()
	} else {
		c.drop()
	}
}

// resolve asks Consul who is master, or stays with what it knew.
func (c *client) resolve() {
	if c.m.reachesConsul() {
		e := &c.w.consul.entry
		if e.Status != "passing" {
			c.target = nil
			return
		}
		c.target = c.w.byAddress[net.JoinHostPort(e.Address, strconv.Itoa(e.Port))]
	}
	c.conn = &conn{}
}

func (c *client) drop() {
	if c.conn != nil {
		c.conn.ended = c.conn.ended || c.dice.IntN(2) == 0 // else what it sent stays in the server's buffers
	}
	c.pending, c.target, c.conn = nil, nil, nil
}

func (c *client) send() {
	c.w.writes++
	o := &op{id: c.w.writes, by: c, server: c.target, sent: c.w.now()}
	c.pending = o
	r := request{c: c.conn}
	r.fail = func(error) { c.failed(o) }
	r.do = func() { o.server.write(r, o) }
	o.server.take(r)
}

func (c *client) failed(o *op) {
	if c.pending == o {
		c.drop()
	}
}

// write carries a write out.
func (s *server) write(r request, o *op) {
	switch {
	case s.isLoading() || !s.open:
		o.by.failed(o) // READONLY or LOADING
	case s.w.now() < s.paused:
		s.held = append(s.held, r)
	default:
		s.add(o.id)
		o.run, o.at = s.run, s.offset()
		s.w.watchdog.writes(s)
		if o.by.waits == 0 {
			s.w.watchdog.acknowledges(o)
			o.by.answered(o)
		}
	}
}

func (c *client) answered(o *op) {
	if c.pending != o {
		return
	}
	if !linked(c.m, o.server.m) {
		c.drop()
		return
	}
	c.pending = nil
}

// wait looks whether enough replicas have the write.
func (c *client) wait(o *op) {
	s := o.server
	if c.conn.ended || s.run != o.run || !s.alive || !s.open {
		c.drop()
		return
	}
	if !s.answers() {
		return
	}
	n := 0
	for _, r := range c.w.servers {
		if u := r.up; u.of(s) && u.up && u.acked >= o.at && linked(r.m, s.m) {
			n++
		}
	}
	if n >= c.waits {
		o.acks, o.waited = n, true
		c.w.watchdog.acknowledges(o)
		c.answered(o)
	}
}

// pings adds a ping to what every master has, as Redis does by itself.
func (w *world) pings() {
	for _, s := range w.servers {
		if s.open && s.answers() && !s.isLoading() && len(s.log) > 0 {
			s.add(0)
		}
	}
}

package redis

import (
	"context"
	"strings"
	"time"
)

// infoSections are those that Info is read from. A server before 7.0 takes only one section at a time, and gets a
// plain INFO.
var (
	infoSections = command{"INFO", "server", "clients", "memory", "persistence", "stats", "replication", "keyspace"}
	infoPlain    = command{"INFO"}
	readOnly     = command{"CONFIG", "GET", "replica-read-only"}
)

const (
	// readOnlyEvery is how often replica-read-only is looked at, which only a hand at the server changes.
	readOnlyEvery = 10 * time.Second
	// repeatEvery is how often an observation is pushed that says nothing new.
	repeatEvery = 900 * time.Millisecond
)

// asked is what the next reply on a wire is to.
type asked int

const (
	askedAuth asked = iota
	askedPing
	askedInfo
	askedReadOnly
)

// wire is one connection of a watcher: what was asked on it, in order, and what was answered. Only its conn is
// used from another goroutine, which reads.
type wire struct {
	conn *conn
	w    *watcher

	heard   bool // any reply
	pending []asked
	since   time.Time // when the oldest of what is pending was asked, or came to be the oldest

	infoOutstanding, infoAgain bool
	infoSent, readOnlySent     time.Time
	replicaReadOnly            string
	infoCommand                command
	infoOrders                 int64 // server.orders when INFO was asked

	authFailed, pingFailed, infoFailed string
}

// newWire sends what a new connection begins with.
func newWire(made *conn, w *watcher) *wire {
	c := &wire{conn: made, w: w, infoCommand: infoSections}
	if auth := w.dialer.auth(); auth != nil {
		c.send([]asked{askedAuth}, auth...)
	}
	c.ping()
	if !w.settings.Remote {
		c.askInfo()
	}
	return c
}

// read passes replies on to the watcher until the connection ends.
func (c *wire) read(ctx context.Context, events chan<- event) {
	for {
		r, err := readReply(c.conn.r, 0)
		select {
		case events <- event{wire: c, reply: r, err: err, at: time.Now()}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// send asks something. An error needs no care: the reader sees the end of the connection as well. A server that
// reads nothing would make the write wait for ever, hence the deadline.
func (c *wire) send(what []asked, commands ...command) {
	if len(c.pending) == 0 {
		c.since = time.Now()
	}
	c.pending = append(c.pending, what...)
	_ = c.conn.SetWriteDeadline(time.Now().Add(dialTimeout))
	if err := c.conn.send(commands...); err != nil {
		_ = c.conn.Close()
	}
}

// troubled tells that the server answered something else than what was asked.
func (c *wire) troubled() bool {
	return c.pingFailed != "" || c.infoFailed != "" || c.w.info == nil || c.w.info.Loading
}

func (c *wire) ping() {
	if strings.HasPrefix(c.pingFailed, "NOAUTH") {
		if auth := c.w.dialer.auth(); auth != nil { // it may be right by now
			c.send([]asked{askedAuth}, auth...)
		}
	}
	c.send([]asked{askedPing}, command{"PING"})
}

// askInfo reads INFO. When that is under way already it is read once more afterwards if an order came between.
func (c *wire) askInfo() {
	if c.infoOutstanding {
		c.infoAgain = true
		return
	}
	now := time.Now()
	c.infoOutstanding, c.infoOrders, c.infoSent = true, c.w.orders(), now
	if now.Sub(c.readOnlySent) < readOnlyEvery {
		c.send([]asked{askedInfo}, c.infoCommand)
		return
	}
	c.readOnlySent = now
	c.send([]asked{askedReadOnly, askedInfo}, readOnly, c.infoCommand)
}

// take takes a reply and says whether something is to be pushed.
func (c *wire) take(w *watcher, e event) bool {
	if len(c.pending) == 0 {
		// Nothing was asked: the server's last words before it closes, such as "max number of clients reached".
		c.pingFailed = e.reply.failed
		return true
	}
	what, since := c.pending[0], c.since
	c.pending, c.since = c.pending[1:], e.at
	switch what {
	case askedAuth:
		c.authFailed = w.dialer.withoutSecrets(e.reply.failed)
		return false
	case askedPing:
		said := c.pingFailed != e.reply.failed || e.at.Sub(w.pushed) >= repeatEvery
		c.pingFailed = e.reply.failed
		w.latency = e.at.Sub(since)
		return said
	case askedReadOnly:
		c.replicaReadOnly = e.reply.pairs()["replica-read-only"]
		return false
	}
	c.infoOutstanding = false
	w.latency = e.at.Sub(c.infoSent)
	said := c.takeInfo(w, e.reply)
	if w.joins() {
		w.joining.Reset(joiningInfoEvery)
	}
	return said
}

// takeInfo takes a reply to INFO.
func (c *wire) takeInfo(w *watcher, info reply) bool {
	again := c.infoAgain
	c.infoAgain = false
	failed := info.failed
	switch {
	case strings.HasPrefix(failed, "ERR") && len(c.infoCommand) > 1:
		c.infoCommand = infoPlain
		c.askInfo()
		return false
	case failed != "":
		c.infoFailed = failed
		if !strings.HasPrefix(failed, "BUSY") { // a script that runs changes nothing that Info tells
			w.info = nil
		}
		return true
	case c.infoOrders != w.orders():
		// Asked before an order ended: it may tell of the role before.
		c.askInfo()
		return false
	}
	if again {
		c.askInfo()
	}
	c.infoFailed = ""
	w.info = parseFields(info.text).info(c.replicaReadOnly)
	return true
}

// cause is what the server complains about: PING first, then what INFO and AUTH were answered.
func (c *wire) cause() string {
	switch {
	case c.pingFailed != "" && c.authFailed != "":
		return c.pingFailed + " (AUTH was answered: " + c.authFailed + ")"
	case c.pingFailed != "":
		return c.pingFailed
	case c.infoFailed != "":
		return "INFO: " + c.infoFailed
	}
	return c.authFailed
}

package redis

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/beat"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

const (
	// Used where the settings of a server say nothing.
	defaultPingEvery   = time.Second
	defaultSilentAfter = 5 * time.Second
	defaultInfoEvery   = time.Second

	// joiningInfoEvery is how often INFO is read while a replica's link to its master is not up, or a data set
	// is being loaded: somebody waits for the end of it.
	joiningInfoEvery = 100 * time.Millisecond

	// A server that is gone or silent is dialled again every half PingEvery, within these limits. The first
	// attempts after an end come faster, from firstRedial on, until one is refused: a process that is being torn
	// down may end a connection that it took.
	minRedial, maxRedial = 50 * time.Millisecond, time.Second
	firstRedial          = time.Millisecond

	// quiet is how long after the end of a connection nothing is said while the server is dialled: one whose
	// clients were ended, by a freeze for example, is back before, and was never away.
	quiet = 20 * time.Millisecond

	// secondWindow is how long a second connection beside a silent one may stay without a reply before
	// another takes its place. A stopped server keeps them all in its queue.
	secondWindow = 5 * time.Second

	// suspended is by how much a timer may be late before this process is taken to have been stopped itself,
	// in which time it could not have heard a reply.
	suspended = 50 * time.Millisecond
)

// watcher observes one server over a connection that is held open. All its state belongs to run.
type watcher struct {
	settings  plugin.Server
	dialer    *dialer
	logger    hclog.Logger
	orders    func() int64 // see server.orders
	push      func(plugin.Observation)
	connected func() // told when a connection was made and answered
	poke      chan struct{}
	events    chan event

	link      plugin.Link
	cause     string
	latency   time.Duration
	info      *plugin.Info
	lastReply time.Time
	endedAt   time.Time // when the connection ended, while there is none
	pushed    time.Time // when something was last

	// current is the connection in use. While it is silent, second is tried beside it: after a cut, the
	// first may take minutes to be retransmitted.
	current, second *wire
	dialling        bool
	lastDial        time.Time
	redials         int         // since the last reply
	joining         *time.Timer // when INFO is read between two pings
}

// event is what other goroutines tell run: of a connection, or of an attempt to make one.
type event struct {
	dialled bool
	conn    *conn
	wire    *wire
	reply   reply
	err     error
	at      time.Time
}

func newWatcher(settings plugin.Server, d *dialer, logger hclog.Logger, orders func() int64, push func(plugin.Observation)) *watcher {
	if settings.SilentAfter <= 0 {
		settings.SilentAfter = defaultSilentAfter
	}
	if settings.PingEvery <= 0 {
		settings.PingEvery = defaultPingEvery
	}
	// Silence counts only where something was asked.
	settings.PingEvery = max(min(settings.PingEvery, settings.SilentAfter/2), time.Millisecond)
	if settings.InfoEvery <= 0 {
		settings.InfoEvery = defaultInfoEvery
	}
	return &watcher{
		settings: settings, dialer: d, logger: logger, orders: orders, push: push, connected: func() {},
		poke: make(chan struct{}, 1), events: make(chan event), link: plugin.LinkUnknown,
	}
}

// readInfoNow asks for INFO to be read at once.
func (w *watcher) readInfoNow() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// run observes until ctx ends.
func (w *watcher) run(ctx context.Context) {
	defer func() {
		w.drop(&w.current)
		w.drop(&w.second)
	}()
	w.lastReply, w.endedAt = time.Now(), time.Now()
	w.joining = time.NewTimer(joiningInfoEvery)
	w.observed()
	w.dial(ctx)
	ping := time.NewTimer(beat.Until(w.settings.PingEvery))
	defer ping.Stop()
	deadline := time.NewTimer(w.settings.SilentAfter) // for silence
	defer deadline.Stop()
	redial := time.NewTimer(minRedial) // set by the loop, for everything that is due while not all is well
	defer redial.Stop()
	defer w.joining.Stop()
	for set := false; ; {
		switch {
		case w.calm():
			redial.Stop()
			set = false
		case !set:
			redial.Reset(w.untilRedial())
			set = true
		}
		deadline.Reset(time.Until(w.lastReply.Add(w.settings.SilentAfter)))
		if w.link == plugin.LinkSilent || w.link == plugin.LinkGone || w.resting() {
			deadline.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case e := <-w.events:
			if e.dialled {
				w.dialled(ctx, e)
			} else if e.err != nil {
				w.ended(ctx, e)
			} else {
				w.answered(e)
			}
			set = false
		case now := <-ping.C:
			ping.Reset(beat.Until(w.settings.PingEvery))
			w.pingDue(now)
		case <-deadline.C:
			w.silenceDue()
		case <-redial.C:
			w.redialDue(ctx)
			set = false
		case <-w.joining.C:
			w.askInfo()
		case <-w.poke:
			w.askInfo()
		}
	}
}

// observed pushes what is known now.
func (w *watcher) observed() {
	o := plugin.Observation{
		Server: w.settings.Name, Link: w.link, Cause: w.cause, Latency: w.latency, Info: w.info,
		SilentFor: time.Since(w.lastReply),
	}
	w.pushed = time.Now()
	w.push(o)
}

// become changes the link and says so.
func (w *watcher) become(link plugin.Link, cause string) {
	if w.link != link {
		w.logger.Debug("server is "+string(link), "cause", cause)
	}
	w.link, w.cause = link, cause
	w.observed()
}

// silentOr is silent after SilentAfter, and link before.
func (w *watcher) silentOr(link plugin.Link) plugin.Link {
	if time.Since(w.lastReply) >= w.settings.SilentAfter {
		return plugin.LinkSilent
	}
	return link
}

func (w *watcher) pingDue(now time.Time) {
	if w.current == nil {
		if w.link != plugin.LinkUnknown {
			w.observed()
		}
		return
	}
	if c := w.current; len(c.pending) == 0 {
		switch due := now.Sub(c.infoSent) >= w.settings.InfoEvery-w.settings.PingEvery/2; {
		case due && !w.settings.Remote:
			w.wakes()
			c.askInfo()
			if c.troubled() { // else INFO does for a PING
				c.ping()
			}
		case !w.resting():
			c.ping()
		}
		return
	}
	// What was asked at the tick before is as old as a tick, or a little less.
	if late := now.Sub(w.current.since); late >= w.settings.PingEvery/2 && w.link != plugin.LinkSilent {
		w.become(w.silentOr(plugin.LinkWaiting), "no reply to PING yet")
	} else if w.link == plugin.LinkSilent {
		w.observed()
	}
}

// resting tells that nothing is asked for now: of a server that is not open nobody needs to hear more often than it says
// what it is.
func (w *watcher) resting() bool {
	return !w.settings.Remote && w.info != nil && !w.info.Open && w.current != nil && len(w.current.pending) == 0
}

// wakes begins to count its silence anew, when a resting server is asked.
func (w *watcher) wakes() {
	if w.resting() && w.link == plugin.LinkUp {
		w.lastReply = time.Now()
	}
}

func (w *watcher) silenceDue() {
	if late := time.Since(w.lastReply) - w.settings.SilentAfter; late > suspended {
		w.lastReply = time.Now().Add(w.settings.PingEvery - w.settings.SilentAfter)
		if w.current != nil && len(w.current.pending) == 0 {
			w.current.ping()
		}
		return
	}
	cause := "no reply for " + w.settings.SilentAfter.String()
	if w.current == nil && w.cause != "" {
		cause += ": " + w.cause
	}
	w.become(plugin.LinkSilent, cause)
}

// calm tells that redialDue has nothing to do.
func (w *watcher) calm() bool {
	return w.link == plugin.LinkUp && w.current != nil && w.current.heard && w.second == nil
}

// untilRedial is when redialDue has something to do.
func (w *watcher) untilRedial() time.Duration {
	every := min(max(w.settings.PingEvery/2, minRedial), maxRedial)
	if w.current == nil && w.redials < 10 && w.link != plugin.LinkGone {
		every = min(every, firstRedial<<w.redials)
	}
	if left := time.Until(w.endedAt.Add(quiet)); left > 0 {
		every = min(every, left)
	}
	return every
}

func (w *watcher) redialDue(ctx context.Context) {
	switch over := time.Since(w.endedAt) >= quiet; {
	case w.current == nil && w.link == plugin.LinkUp && over && w.lastReply.Before(w.endedAt):
		w.become(w.silentOr(plugin.LinkWaiting), w.lostCause())
	case w.current != nil && w.link == plugin.LinkGone && time.Since(w.current.since) >= quiet:
		w.become(w.silentOr(plugin.LinkWaiting), "connected, but no reply to PING yet")
	}
	if w.second != nil && time.Since(w.lastDial) > secondWindow {
		w.drop(&w.second)
	}
	if w.current == nil || w.link == plugin.LinkSilent && w.second == nil {
		w.dial(ctx)
	}
}

func (w *watcher) lostCause() string {
	if w.cause == "" {
		return "the connection ended, connecting again"
	}
	return w.cause
}

// dial begins to make a connection, unless that is going on.
func (w *watcher) dial(ctx context.Context) {
	if w.dialling {
		return
	}
	w.dialling, w.lastDial = true, time.Now()
	w.redials++
	go func() {
		c, err := w.dialer.dial(ctx)
		select {
		case w.events <- event{dialled: true, conn: c, err: err, at: time.Now()}:
		case <-ctx.Done():
			if c != nil {
				_ = c.Close()
			}
		}
	}()
}

// dialled takes what came of dial.
func (w *watcher) dialled(ctx context.Context, e event) {
	w.dialling = false
	switch {
	case e.err == nil:
		l := newWire(e.conn, w)
		go l.read(ctx, w.events)
		if w.current == nil {
			w.current = l
		} else {
			w.drop(&w.second)
			w.second = l
		}
	case w.current != nil:
		// The connection in use has not ended, so a second that is refused proves nothing.
	case errors.Is(e.err, syscall.ECONNREFUSED):
		w.become(plugin.LinkGone, e.err.Error())
	case answered(e.err):
		w.lastReply = e.at
		w.become(plugin.LinkUp, e.err.Error())
	default:
		w.become(w.silentOr(plugin.LinkWaiting), e.err.Error())
	}
}

// ended takes the end of a connection.
func (w *watcher) ended(ctx context.Context, e event) {
	switch e.wire {
	case w.second:
		w.drop(&w.second)
		return
	case w.current:
	default:
		return
	}
	heard := w.current.heard
	w.drop(&w.current)
	w.info, w.endedAt = nil, e.at
	if w.second != nil {
		w.current, w.second = w.second, nil
		return
	}
	if w.cause == "" || heard {
		w.cause = "the connection ended: " + e.err.Error()
	}
	switch {
	case heard:
		w.redials = 0
		w.dial(ctx)
	case answered(e.err):
		// It refused this side after the handshake: over TLS 1.3 one without a client certificate.
		w.lastReply = e.at
		w.become(plugin.LinkUp, w.cause)
	}
}

// answered takes a reply.
func (w *watcher) answered(e event) {
	l := e.wire
	switch l {
	case w.current:
	case w.second: // the new way works
		w.drop(&w.current)
		w.current, w.second = l, nil
		w.info = nil
	default:
		return
	}
	first := !l.heard
	l.heard, w.lastReply, w.redials = true, e.at, 0
	if w.second != nil {
		w.drop(&w.second)
	}
	if first {
		w.connected()
	}
	before := w.link
	said := l.take(w, e)
	if before != plugin.LinkUp {
		said = true
	}
	if said {
		w.become(plugin.LinkUp, l.cause())
	}
}

func (w *watcher) drop(l **wire) {
	if *l != nil {
		_ = (*l).conn.Close()
		*l = nil
	}
}

// askInfo reads INFO if there is a connection to read it on and no reading is under way that began late enough.
func (w *watcher) askInfo() {
	if w.current != nil && !w.settings.Remote {
		w.wakes()
		w.current.askInfo()
	}
}

// joins tells whether somebody waits for what INFO says next: the server loads, or its link to its master is not up.
func (w *watcher) joins() bool {
	i := w.info
	return i != nil && (i.Loading || !i.Open && !i.Frozen && !i.LinkUp)
}

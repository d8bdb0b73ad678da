package simulation

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// watch observes one server for one driver. It looks when something has changed, and now and then.
type watch struct {
	d        *driver
	settings plugin.Server
	target   *server
	timer    *time.Timer
	link     plugin.Link
	heard    time.Duration // the last reply
	said     time.Duration // when something was last pushed
	info     *plugin.Info
}

const (
	// lookEvery is how often a watch looks, as the agent has it for INFO; joining is for a replica whose link is not up.
	lookEvery = time.Second
	joining   = 100 * ms
)

func (d *driver) newWatch(s plugin.Server) *watch {
	w := d.l.m.w
	v := &watch{d: d, settings: s, target: w.byAddress[s.Address], link: plugin.LinkUnknown, heard: w.now()}
	v.timer = time.AfterFunc(w.weather.orders.draw(d.l.m.roll("watch")), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		v.look()
	})
	return v
}

// readInfoNow looks at the agent's own server at once, as the driver does after an order.
func (d *driver) readInfoNow() {
	w := d.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range d.inOrder() {
		if !v.settings.Remote {
			v.look()
		}
	}
}

// inOrder are the watches in an order that is the same each time.
func (d *driver) inOrder() []*watch {
	return slices.SortedFunc(maps.Values(d.watches), func(a, b *watch) int { return strings.Compare(a.settings.Name, b.settings.Name) })
}

// touched makes every watch look soon: something has changed that connections show at once.
func (w *world) touched() {
	for _, m := range w.machines {
		if m.life != nil {
			for _, v := range m.life.driver.inOrder() {
				v.notice()
			}
		}
	}
}

// notice has the watch see a change: what is lost is lost from now on, what is back is seen when it is dialled.
func (v *watch) notice() {
	w := v.d.l.m.w
	dice := v.d.l.m.roll("watch")
	if v.link == plugin.LinkUp && !v.replies() && v.heard < w.now() {
		v.heard = w.now() - upTo(dice, min(v.settings.PingEvery, w.now()-v.heard))
	}
	v.timer.Reset(200*time.Microsecond + upTo(dice, 3*ms))
}

// replies tells whether the server answers this watch now.
func (v *watch) replies() bool {
	s := v.target
	return s.answers() && linked(s.m, v.d.l.m) && !s.refuses(v.d.l.m)
}

// look observes. The caller holds the lock.
func (v *watch) look() {
	w, s := v.d.l.m.w, v.target
	if v.d.closed {
		return
	}
	now := w.now()
	o := plugin.Observation{Server: v.settings.Name, Latency: ms}
	next := lookEvery
	switch silent := now - v.heard; {
	case v.d.away:
		o.Link, o.Cause, v.info = plugin.LinkUnknown, "the driver is away", nil
		v.heard = now
	case v.replies():
		o.Link, v.heard, silent = plugin.LinkUp, now, 0
		if !v.settings.Remote {
			v.info = s.info()
			if i := v.info; i.Loading || !i.Open && !i.Frozen && !i.LinkUp {
				next = joining
			}
		}
	case (!s.alive || s.refuses(v.d.l.m)) && !s.m.crashed && s.m.still == nil && linked(s.m, v.d.l.m):
		o.Link, o.Cause, v.info = plugin.LinkGone, "connection refused", nil
		if v.link != plugin.LinkGone {
			v.heard = now
		}
	case silent >= v.settings.SilentAfter:
		o.Link, o.Cause, o.SilentFor = plugin.LinkSilent, "no reply", silent
	case silent >= v.settings.PingEvery:
		o.Link, o.Cause, o.SilentFor = plugin.LinkWaiting, "no reply to PING yet", silent
		next = v.settings.SilentAfter - silent
	default:
		o.Link, o.SilentFor = v.link, silent
		next = v.settings.PingEvery - silent
	}
	o.Info = v.info
	v.link, v.said = o.Link, now
	v.d.hub.Push(o)
	v.timer.Reset(max(next, ms))
}

// info is what a server says of itself.
func (s *server) info() *plugin.Info {
	i := &plugin.Info{
		RunID: s.run, Version: "7.0.15", ProcessID: s.pid, Open: s.open, Frozen: s.frozen(), Position: s.position(),
		ReplicaReadOnly: true, Loading: s.isLoading(), Keys: s.keys(), RDBLastSaveOK: true,
		StartedAgo: (s.w.now() - s.booted).Truncate(time.Second),
	}
	if !s.open {
		i.MasterAddress = s.master
	}
	if u := s.up; u != nil {
		i.LinkUp, i.SyncInProgress = u.up, u.syncing
	}
	for _, r := range s.w.servers {
		if u := r.up; u.of(s) && u.up {
			i.Replicas = append(i.Replicas, plugin.Replica{Address: r.address, State: "online", Offset: u.acked})
		}
	}
	return i
}

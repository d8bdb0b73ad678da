package failover

import (
	"fmt"
	"slices"
	"time"
)

// server is a model of Redis: what it holds is a list of writes, and its offset is their count.
type server struct {
	name           string
	alive, stopped bool
	run            string
	open           bool
	master         string // the address it replicates from; frozenAt is the closed port
	linkUp         bool
	dataset
	// disk is what the server starts with when it is started again; nil is nothing.
	disk      *dataset
	loading   time.Duration // until when it loads its data
	persisted bool
	readOnly  bool // cannot write its configuration file
	paused    bool
	fullSyncs int
	syncing   time.Duration // when the full resync in progress ends; 0 while there is none
	half      bool          // a full resync was begun and not finished: what it holds is no history's
	stubborn  bool          // does not open
	rescued   string        // the run whose data set was saved to a file
	wasOpen   bool          // was a master when it ended
	fresh     bool          // has not been attached since it was started
	// queue are orders that wait in its buffers.
	queue []order
}

// order is carried out by a server, or fails with it.
type order struct{ do, fail func() }

// dataset is what a server holds, and which history it is of.
type dataset struct {
	replid, replid2 string
	offset2         int64
	data            []int
}

func (d dataset) copy() *dataset {
	d.data = slices.Clone(d.data)
	return &d
}

func (s *server) offset() int64 { return int64(len(s.data)) }

func (s *server) position() Position { return Position{s.replid, s.offset(), s.replid2, s.offset2} }

// takesOrders tells whether an order that reaches the server is carried out.
func (s *server) takesOrders() bool { return s.alive && !s.stopped && s.loading == 0 }

// boot starts a server, which starts frozen, with what is on its disk. A replication id is kept there, the one before
// it is not.
func (w *world) boot(name string) {
	s := w.servers[name]
	wasOpen := s.wasOpen
	w.runs++
	*s = server{name: name, alive: true, fresh: true, run: fmt.Sprintf("run%d", w.runs), master: frozenAt, disk: s.disk,
		persisted: s.persisted, fullSyncs: s.fullSyncs, stubborn: s.stubborn, readOnly: s.readOnly}
	if s.disk == nil {
		s.replid = w.newReplID()
		return
	}
	if !Kept(StartFrozen) && wasOpen {
		defer w.openUp(s)
	}
	s.dataset = *s.disk.copy()
	s.replid2, s.offset2 = "", 0
	if w.loads != nil {
		s.loading = w.now + w.loads()
	}
}

func (w *world) newReplID() string { w.replids++; return fmt.Sprintf("r%d", w.replids) }

// kill ends a server. Its data are on its disk if they are to be kept; else only what was saved before, if anything was.
func (w *world) kill(name string, keep bool) {
	s := w.servers[name]
	if s.alive && keep && !s.half {
		s.disk = s.dataset.copy()
	}
	for _, o := range s.queue {
		o.fail()
	}
	s.wasOpen = s.alive && s.open
	s.alive, s.stopped, s.open, s.linkUp, s.data, s.queue = false, false, false, false, nil, nil
}

// close freezes a server.
func (s *server) close() {
	if s.syncing != 0 {
		s.syncing, s.half = 0, true
	}
	s.open, s.master, s.linkUp, s.paused = false, frozenAt, false, false
}

// openUp makes a server take writes. Every opening is a new history that goes on from the one before.
func (w *world) openUp(s *server) {
	if s.half {
		w.broken = fmt.Errorf("G6: %s was opened with half of a full resync", s.name)
	}
	s.replid2, s.offset2, s.replid = s.replid, s.offset(), w.newReplID()
	s.open, s.master, s.linkUp, s.fresh = true, "", false, false
	for _, id := range w.acked {
		if _, there := slices.BinarySearch(s.data, id); !there {
			w.broken = fmt.Errorf("G3: %s was opened without write %d, which WAIT had acknowledged", s.name, id)
		}
	}
	for _, r := range w.inOrder {
		if r.master == s.name {
			r.linkUp = false // and it connects again, to the new history
		}
	}
}

// replicate moves data from masters to the replicas that follow them, each as much as its lag allows.
func (w *world) replicate() {
	for _, s := range w.inOrder {
		if s.loading != 0 && w.now >= s.loading {
			s.loading = 0
		}
		for len(s.queue) > 0 && s.takesOrders() {
			s.queue[0].do()
			s.queue = s.queue[1:]
		}
		if !s.takesOrders() || s.open {
			continue
		}
		m := w.servers[s.master]
		if m == nil || !m.takesOrders() || !m.open || w.apart(s.name, m.name) {
			s.linkUp = false
			if s.syncing != 0 {
				s.syncing, s.half = 0, true
			}
			continue
		}
		w.attach(s, m)
	}
}

func (w *world) attach(s, m *server) {
	partial := s.replid == m.replid && s.offset() <= m.offset() || s.replid == m.replid2 && s.offset() <= m.offset2
	switch {
	case s.linkUp:
	case s.syncing == 0 && partial && !s.half:
		if s.replid != m.replid { // as Redis does on a partial resync into a new history
			s.replid2, s.offset2, s.replid = s.replid, s.offset(), m.replid
		}
		s.linkUp, s.fresh = true, false
	case s.syncing == 0:
		w.judgeDiscard(s, m)
		s.fullSyncs++
		s.syncing = w.now + w.syncTime()
		fallthrough
	default:
		if w.now < s.syncing {
			return
		}
		s.dataset, s.syncing, s.half, s.linkUp = *m.dataset.copy(), 0, false, true
		s.fresh = false
		return
	}
	if !slices.Equal(s.data, m.data[:min(len(s.data), len(m.data))]) || len(s.data) > len(m.data) {
		w.broken = fmt.Errorf("%s at %v goes on from %s at %v, and has other data", s.name, s.position(), m.name, m.position())
		return
	}
	n := len(m.data) - len(s.data)
	if w.lags != nil {
		n = w.lags(n)
	}
	s.data = append(s.data, m.data[len(s.data):len(s.data)+n]...)
}

func (w *world) syncTime() time.Duration {
	if w.loads == nil {
		return 0
	}
	return w.loads()
}

// write lets a client write to every server that takes writes.
func (w *world) write() {
	for _, s := range w.inOrder {
		if s.takesOrders() && s.open && !s.paused {
			w.written++
			s.data = append(s.data, w.written)
		}
	}
}

// wait acknowledges to clients what WAIT may: what so many replicas have as the record's durability says.
func (w *world) wait() {
	r := w.consul.Record
	if r == nil {
		return
	}
	k, _ := ParseDurability(r.Durability)
	for _, m := range w.inOrder {
		if !m.open || !m.takesOrders() || k == 0 || len(m.data) == 0 {
			continue
		}
		last := m.data[len(m.data)-1]
		have := 0
		for _, s := range w.inOrder {
			if s.master == m.name && s.linkUp && s.takesOrders() && !w.apart(s.name, m.name) && slices.Equal(s.data, m.data) {
				have++
			}
		}
		if n := len(w.acked); have >= k && (n == 0 || w.acked[n-1] < last) {
			w.acked = append(w.acked, last)
		}
	}
}

// allHave tells whether there are replicas, and all that are attached have what their master has.
func (w *world) allHave(m *server) bool {
	n := 0
	for _, s := range w.inOrder {
		if s.master == m.name && s.linkUp {
			if n++; len(s.data) < len(m.data) {
				return false
			}
		}
	}
	return n > 0
}

// judgeDiscard looks at what a full resync is about to discard. What is lost with a run that ended, and what a run has
// that was never master in its life, are not kept.
func (w *world) judgeDiscard(s, m *server) {
	if r := w.consul.Record; r == nil || s.fresh && r.Eligible[s.name].Deposed == 0 && !r.knows(s.position()) {
		return // a replica that was restarted: what it is of is not known, and it was not master
	}
	for _, id := range s.data {
		if _, there := slices.BinarySearch(m.data, id); !there && s.rescued != s.run && !s.half {
			w.broken = fmt.Errorf("G7: a full resync of %s from %s discards write %d, and no file has it", s.name, m.name, id)
			return
		}
	}
}

// openServers are those that take writes now, or will when they go on.
func (w *world) openServers() (names []string) {
	for _, s := range w.inOrder {
		if s.alive && s.open {
			names = append(names, s.name)
		}
	}
	return names
}

package simulation

import "time"

// upstream is a replica's connection to its master.
type upstream struct {
	from    *server
	run     string
	gen     int
	up      bool
	syncing bool
	ends    time.Duration // when the full resync does
	image   dataset       // what it brings
	// streams is when new writes begin to come: after a full resync with the replica's first acknowledgement.
	streams time.Duration
	acked   int64         // what the master knows that the replica has
	silent  time.Duration // since when nothing passes; 0 while it does
	timeout time.Duration
}

// of tells whether it is a link to that server, as that is now.
func (u *upstream) of(s *server) bool {
	return u != nil && u.from == s && u.run == s.run && u.gen == s.gen
}

// dropUpstream ends the connection to the master.
func (s *server) dropUpstream() {
	if s.up == nil {
		return
	}
	s.cold = s.cold || s.up.syncing
	s.up = nil
}

// replicate lets a step of replication pass.
func (w *world) replicate() {
	for _, s := range w.servers {
		if s.alive && s.answers() && !s.isLoading() && !s.open && s.master != "" {
			w.follow(s)
		}
	}
}

func (w *world) follow(s *server) {
	m := w.byAddress[s.master]
	if m == nil {
		return // nothing listens
	}
	now, passes := w.now(), linked(s.m, m.m) && m.m.still == nil
	u := s.up
	switch {
	case m.refuses(s.m):
		if u != nil {
			s.dropUpstream()
		}
	case u == nil:
		if passes && m.answers() && !m.isLoading() && now >= s.retry {
			w.attach(s, m)
		}
	case !passes:
		if u.silent == 0 {
			u.silent = now
		} else if now > u.silent+u.timeout {
			s.dropUpstream()
			w.touched()
		}
	case !m.alive || m.run != u.run || m.gen != u.gen:
		// What was on its way may arrive before the end does, and nothing of another history.
		if u.up && now >= u.streams && m.run == u.run && m.replid == s.replid && s.m.roll("drain").IntN(2) == 0 {
			w.flow(s, m)
		}
		s.dropUpstream()
		s.retry = now + upTo(s.m.roll("retry"), 50*ms)
		w.touched()
	case !m.answers():
		u.silent = 0
	case u.syncing && now >= u.ends:
		w.synced(s, m)
	case u.up && now >= u.streams:
		u.silent, u.acked = 0, s.offset()
		w.flow(s, m)
	}
}

// attach connects a replica to its master, which may refuse.
func (w *world) attach(s, m *server) {
	now, dice := w.now(), s.m.roll("attach")
	if !m.open && (m.up == nil || !m.up.up) {
		s.retry = now + upTo(dice, time.Second) // NOMASTERLINK
		return
	}
	u := &upstream{from: m, run: m.run, gen: m.gen, timeout: 5*time.Second + upTo(dice, time.Minute)}
	same := s.replid == m.replid && s.offset() <= m.offset()
	before := s.replid == m.replid2 && s.offset() <= m.offset2
	s.up = u
	if (same || before) && !s.cold && m.offset()-s.offset() <= w.weather.backlog {
		if s.replid != m.replid { // the next history
			s.replid2, s.offset2, s.replid = s.replid, s.offset(), m.replid
			s.gen++
		}
		u.up, u.acked = true, s.offset()
		s.note("follows %s from %d on", m.name, s.offset())
	} else {
		u.syncing, u.image, u.ends = true, m.copy(), now+upTo(dice, w.weather.load)
		s.syncs++
		s.note("%s at %d begins a full resync from %s, %s at %d", s.replid, s.offset(), m.name, m.replid, m.offset())
	}
	w.touched()
}

// synced ends a full resync.
func (w *world) synced(s, m *server) {
	u := s.up
	w.watchdog.resyncs(s, m)
	s.dataset = u.image
	s.replid2, s.offset2 = "", 0
	s.cold, s.gen = false, s.gen+1
	u.syncing, u.up, u.acked, u.image = false, true, s.offset(), dataset{}
	u.streams = w.now() + upTo(s.m.roll("stream"), time.Second)
	s.note("has the full resync up to %d", s.offset())
	w.touched()
}

// flow moves writes from a master to its replica, as much as the weather allows.
func (w *world) flow(s, m *server) {
	at := s.offset()
	n := m.offset() - at
	if n > 0 && w.weather.lag < 1 {
		dice := s.m.roll("flow")
		n = int64(float64(n) * (w.weather.lag + (1-w.weather.lag)*dice.Float64()))
	}
	if n < 0 || at > m.start && at > s.start && m.sum(at) != s.sum(at) {
		w.fail("%s, %s at %d, goes on from %s, %s at %d, and has other data", s.name, s.replid, at, m.name, m.replid, m.offset())
		return
	}
	i := at - m.start
	s.log = append(s.log, m.log[i:i+n]...)
}

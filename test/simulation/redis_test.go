package simulation

import (
	"errors"
	"fmt"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// server is a model of Redis. All of it is called under the world's lock.
type server struct {
	w             *world
	m             *machine
	name, address string

	alive, stopped bool
	busy           time.Duration // until when a command keeps it
	pid            int
	booted         time.Duration
	run            string
	config         string // what its configuration file says it replicates from; empty is a master
	open           bool
	master         string // the address it replicates from
	dataset
	disk    *dataset // what it starts with; nil is nothing
	loading time.Duration
	paused  time.Duration // until when writes are held back
	cold    bool          // a full resync was begun and not finished: it keeps its data, and cannot go on by a partial one
	up      *upstream
	retry   time.Duration // when it connects to its master again
	syncs   int           // full resyncs
	gen     int           // grows whenever its replicas are disconnected
	ordered int           // how many orders that open it are under way

	conns map[*conn]bool
	queue []request // what waits in its buffers
	held  []request // writes that a pause holds back
}

// conn is a connection to a server, of a client or of a driver.
type conn struct{ ended bool }

// request is a command on its way through a server.
type request struct {
	c    *conn
	do   func()
	fail func(error)
}

// dataset is what a server holds, and which history it is of.
type dataset struct {
	replid, replid2 string
	offset2         int64
	start           int64 // the offset before the first entry
	log             []entry
}

// entry is a write, or a ping when id is 0. sum stands for all the data up to it.
type entry struct {
	id  int
	sum uint64
}

func (d dataset) offset() int64 { return d.start + int64(len(d.log)) }

func (d dataset) copy() dataset {
	d.log = d.log[:len(d.log):len(d.log)]
	return d
}

// sum stands for all that the data set held at an offset.
func (d dataset) sum(offset int64) uint64 {
	if i := offset - d.start; i > 0 {
		return d.log[i-1].sum
	}
	return 0
}

func (d *dataset) add(id int) {
	sum := d.sum(d.offset())*0x9E3779B97F4A7C15 + uint64(id) + 1
	d.log = append(d.log, entry{id, sum ^ sum>>29})
}

// keys is how many writes there are, without the pings.
func (d dataset) keys() (n int64) {
	for _, e := range d.log {
		if e.id != 0 {
			n++
		}
	}
	return n
}

// holds tells whether a data set begins with all that another holds.
func (d dataset) holds(o dataset) bool {
	return d.offset() >= o.offset() && (len(o.log) == 0 || o.offset() > d.start && d.sum(o.offset()) == o.sum(o.offset()))
}

func (s *server) position() plugin.Position {
	return plugin.Position{ReplID: s.replid, Offset: s.offset(), ReplID2: s.replid2, Offset2: s.offset2}
}

func (s *server) note(format string, args ...any) { s.w.note(s.name, format, args...) }

func (s *server) frozen() bool { return !s.open && s.master == plugin.FrozenAddress }

// answers tells whether a command that reaches the server is carried out now.
func (s *server) answers() bool {
	return s.alive && !s.stopped && s.m.still == nil && s.w.now() >= s.busy
}

func (s *server) isLoading() bool { return s.w.now() < s.loading }

var (
	errRefused = errors.New("connection refused")
	errEnded   = errors.New("the connection ended")
	errLoading = errors.New("LOADING Redis is loading the dataset in memory")
)

// take lets a command arrive: it is carried out, waits in the server's buffers, or fails.
func (s *server) take(r request) {
	switch {
	case r.c.ended:
		r.fail(errEnded)
	case !s.alive:
		r.fail(errRefused)
	case !s.answers():
		s.conns[r.c] = true
		s.queue = append(s.queue, r)
	default:
		s.conns[r.c] = true
		r.do()
	}
}

// goOn carries out what waited in the buffers.
func (s *server) goOn() {
	for len(s.queue) > 0 && s.answers() {
		r := s.queue[0]
		s.queue = s.queue[1:]
		if r.c.ended {
			r.fail(errEnded)
		} else {
			r.do()
		}
	}
	if s.w.now() >= s.paused && len(s.held) > 0 && s.answers() {
		held := s.held
		s.held = nil
		for _, r := range held {
			s.take(r)
		}
	}
}

// boot starts a server with what is on its disk, in the role that its configuration file says.
func (s *server) boot() {
	w := s.w
	if s.alive || s.m.crashed {
		return
	}
	w.runs++
	w.pids++
	*s = server{w: w, m: s.m, name: s.name, address: s.address, alive: true, pid: w.pids, booted: w.now(), run: fmt.Sprintf("run%d", w.runs),
		config: s.config, master: s.config, open: s.config == "", disk: s.disk, syncs: s.syncs, gen: s.gen + 1, ordered: s.ordered,
		conns: map[*conn]bool{}}
	if s.disk == nil {
		s.replid = w.newReplID()
	} else {
		s.dataset = s.disk.copy()
		if s.replid == "" {
			s.replid = w.newReplID()
		}
		s.loading = w.now() + upTo(s.m.roll("load"), w.weather.load)
	}
	s.note("starts as %s with %d writes, %s at %d", s.run, s.keys(), s.replid, s.offset())
	w.touched()
}

func (w *world) newReplID() string { w.replids++; return fmt.Sprintf("r%d", w.replids) }

// keeps is what of its data a server that ends has on its disk.
type keeps int

const (
	keepsSaved   keeps = iota // what was saved before, if anything
	keepsAll                  // all, and which history it is of
	keepsNoStory              // all, but not which history it is of: so it is with an append-only file
	keepsNothing
)

// kill ends the server's process.
func (s *server) kill(k keeps) {
	if !s.alive {
		return
	}
	switch {
	case k == keepsNothing:
		s.disk = nil
	case s.isLoading():
	case k == keepsAll:
		d := s.copy()
		d.replid2, d.offset2 = "", 0
		s.disk = &d
	case k == keepsNoStory:
		d := s.copy()
		d.replid, d.replid2, d.offset2, d.start = "", "", 0, -int64(len(d.log))
		s.disk = &d
	}
	s.note("%s ends with %d writes at %d; keeps %v", s.run, s.keys(), s.offset(), s.disk != nil)
	s.alive, s.stopped, s.open, s.up = false, false, false, nil
	s.w.watchdog.ends(s.w)
	for _, r := range append(s.queue, s.held...) {
		r.fail(errEnded)
	}
	s.endClients(nil)
	s.queue, s.held = nil, nil
	s.w.touched()
}

// endClients ends every connection but one.
func (s *server) endClients(but *conn) {
	for c := range s.conns {
		if c != but {
			c.ended = true
			delete(s.conns, c)
		}
	}
}

// close freezes the server and ends its clients.
func (s *server) close(by *conn) plugin.Frozen {
	f := plugin.Frozen{RunID: s.run, SyncCutOff: s.up != nil && s.up.syncing}
	if s.open {
		s.note("closes at %d", s.offset())
		s.w.watchdog.closes(s)
	}
	s.paused = 0
	s.replicateFrom(plugin.FrozenAddress)
	f.Position, f.Keys = s.position(), s.keys()
	f.ClientsEnded = len(s.conns)
	s.endClients(by)
	return f
}

// replicateFrom is REPLICAOF with an address. The replicas are disconnected by it.
func (s *server) replicateFrom(address string) {
	s.dropUpstream()
	s.open, s.master, s.retry = false, address, 0
	s.gen++
	s.w.touched()
}

// openUp is REPLICAOF NO ONE. It begins a new history, which goes on from the one before.
func (s *server) openUp() {
	s.dropUpstream()
	if s.open {
		return
	}
	s.replid2, s.offset2, s.replid = s.replid, s.offset(), s.w.newReplID()
	s.open, s.master = true, ""
	s.gen++
	s.note("opens: %s from %d on, after %s", s.replid, s.offset(), s.replid2)
	s.w.watchdog.opens(s)
	s.w.touched()
}

// persist makes the configuration file say frozen, and leaves the role as it is.
func (s *server) persist() {
	was, master := s.open, s.master
	s.replicateFrom(plugin.FrozenAddress)
	s.config = plugin.FrozenAddress
	if was {
		s.openUp()
	} else {
		s.replicateFrom(master)
	}
}

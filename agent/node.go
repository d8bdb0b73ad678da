package agent

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// node is one of the agent's own nodes: its configuration, what its driver last saw, and what was done to it.
// It belongs to the goroutine of its group.
type node struct {
	name   string
	group  string
	server plugin.Server
	// connected is what its driver was last told.
	connected plugin.Server
	address   string // where others reach it
	priority  int
	zone      string
	driver    string
	killable  bool
	service   nodeServices

	drv  plugin.Driver
	seen plugin.Observation
	at   time.Duration // when seen was received
	// info is the last that was known of the run, kept when the connection ends.
	info plugin.Info
	// learned is when info last changed, or an order was answered.
	learned time.Duration
	proc    Process // nil while it is not known
	// forbidden is why the agent's user may not end the process; nil when it may.
	forbidden error
	// started is when the run was, since the machine's boot.
	started time.Duration
	find    func(pid int, ranFor time.Duration) Process
	dead    bool
	// lostAt is when the driver ceased to know what the server says of itself.
	lostAt time.Duration
	// cpuAtSilence is the processor time of the process when it was first missed.
	cpuAtSilence time.Duration

	maybeOpen        bool
	halfSynced       bool
	lookedAt         time.Duration
	persistedRun     string // the run whose configuration is known to say frozen
	persistFailed    string
	persistFailedRun string // the run for which persistFailed holds
	frozen           *failover.FrozenFor
	paused           *failover.PausedFor
	// maintenance and leaving say why it should not be master; empty when it may.
	maintenance, leaving string
	// drained tells that its service is in maintenance, whatever is with the machine and its other services.
	drained bool
	// rescuedRun is the run whose data set was saved; rescueFailed is why the last try came to nothing, and rescueAfter when
	// the next is due.
	rescuedRun, rescueFailed string
	rescueAfter              time.Duration
	// rescued is the file that was saved last, and rescuedAt when.
	rescued   string
	rescuedAt time.Duration
	// busySince is since when it has answered nothing but that a script keeps it; 0 while it answers otherwise.
	busySince time.Duration
	// attachedRun is the run that was seen open, or following with its link up.
	attachedRun string
	// minReplicas is the min-replicas-to-write that the configuration wants, 0 for the server's own; boundRun is the run
	// that has it.
	minReplicas int
	boundRun    string
	// opened is when the last order to open was given, or answered.
	opened time.Duration
	// inherited is the run for which was taken over what an agent before this one knew.
	inherited string
}

// observe takes in what the driver saw.
func (n *node) observe(o plugin.Observation, s *servers, now time.Duration) {
	// An observation repeats what was last read of the server, which may be older than the answer to an order.
	if o.Info != nil && (n.seen.Info == nil || !reflect.DeepEqual(*o.Info, *n.seen.Info)) {
		n.learn(*o.Info, s, now)
	}
	if n.seen.Link == plugin.LinkUp && o.Link != plugin.LinkUp {
		_, n.cpuAtSilence, _ = n.stat()
	}
	if n.seen.Info != nil && o.Info == nil {
		n.lostAt = now
	}
	n.seen, n.at = o, now
	switch busy := o.Link == plugin.LinkUp && strings.HasPrefix(o.Cause, "BUSY"); {
	case !busy:
		n.busySince = 0
	case n.busySince == 0:
		n.busySince = now
	}
	switch o.Link {
	case plugin.LinkGone:
		n.dead = n.ended()
	case plugin.LinkUp:
		n.dead = false
	}
}

// missed tells whether the driver asked the server and has no reply. Of a server that the driver does not know, as after the driver's own
// end, nothing can be said.
func (n *node) missed() bool {
	switch n.seen.Link {
	case plugin.LinkWaiting, plugin.LinkSilent, plugin.LinkGone:
		return true
	}
	return false
}

// lost tells whether the driver ceased a moment ago to know the server, as when the driver itself has ended: it is started again, and has
// reached its servers, before that is worth telling.
func (n *node) lost(now time.Duration) bool {
	return n.seen.Info == nil && n.info.RunID != "" && !n.dead && n.seen.Link != plugin.LinkSilent && n.seen.Link != plugin.LinkGone &&
		now < n.lostAt+lostFor
}

// silentFor is how long ago a server that is missed answered last.
func (n *node) silentFor(now time.Duration) time.Duration { return n.seen.SilentFor + now - n.at }

// ended tells whether a server that refuses connections has ended: one whose process is not known has.
func (n *node) ended() bool { return n.proc == nil || n.proc.Ended() }

func (n *node) stat() (state byte, cpu time.Duration, known bool) {
	if n.proc == nil {
		return 0, 0, false
	}
	return n.proc.Stat()
}

// learn takes in what the server says of itself.
func (n *node) learn(info plugin.Info, s *servers, now time.Duration) {
	if info.RunID != n.info.RunID {
		// Another run: nothing that was done to the one before holds for it.
		n.started = now - info.StartedAgo
		if kept := s.get(n.name); kept.RunID == info.RunID {
			n.started = kept.Started // Redis reckons by a clock that may have been set meanwhile
		}
		n.locate(info.ProcessID, now-n.started)
		n.maybeOpen, n.frozen, n.paused, n.halfSynced = false, nil, nil, false
	}
	n.stands(info.Position, info.SyncInProgress)
	n.info, n.learned = info, now
	if info.Open || info.LinkUp {
		n.attachedRun, n.rescuedRun = info.RunID, ""
	}
	switch {
	case info.Open:
		n.maybeOpen, n.halfSynced = true, false
	case info.SyncInProgress:
		n.halfSynced = true
	case info.LinkUp:
		n.halfSynced = false
	}
}

// stands takes in where the server stands. With another history, what was saved of this run is not what it has now; and a
// full resync, if none is in progress, was finished.
func (n *node) stands(at plugin.Position, syncing bool) {
	if at.ReplID != n.info.Position.ReplID {
		n.rescuedRun = ""
		n.halfSynced = n.halfSynced && syncing
	}
	n.info.Position = at
}

// local is the node as the decision sees it. known is what Consul last held of it: it names the run of a
// server that was dead before this agent started.
func (n *node) local(known failover.Report) failover.Local {
	l := failover.Local{
		Name: n.name, Address: n.address, Priority: n.priority, Zone: n.zone, Driver: n.driver,
		Version: n.info.Version, TLS: n.server.TLS != nil,
		Known: (n.seen.Link == plugin.LinkUp || n.seen.Link == plugin.LinkWaiting) && n.seen.Info != nil,
		Dead:  n.dead, Ended: n.dead && n.proc != nil, RunID: n.info.RunID, State: n.state(), Master: n.info.MasterAddress,
		Position: failover.Position(n.info.Position), Keys: n.info.Keys, LookedAt: n.lookedAt, HalfSynced: n.halfSynced,
		Persisted: n.persistedRun == n.info.RunID && n.info.RunID != "",
		MaybeOpen: n.maybeOpen, Killable: n.killable && n.proc != nil && n.permitted() == nil,
		Frozen: n.frozen, Paused: n.paused, Ineligible: cmp.Or(n.maintenance, n.leaving),
		Attached:   n.attachedRun != "" && n.attachedRun == n.info.RunID,
		RescuedRun: n.rescuedRun, RescueFailed: n.rescueFailed,
	}
	if n.persistFailedRun == n.info.RunID {
		l.PersistFailed = n.persistFailed
	}
	if l.RunID == "" {
		l.RunID = known.RunID // this agent never saw it
	}
	if l.State == failover.StateFrozen {
		l.Master = ""
	}
	return l
}

// inherit takes over what an agent before this one reported of the same run.
func (n *node) inherit(known failover.Report) {
	if n.info.RunID == "" || n.inherited == n.info.RunID {
		return
	}
	n.inherited = n.info.RunID
	if attached := []failover.NodeState{failover.StateOpen, failover.StatePaused, failover.StateFollowing}; known.RunID == n.info.RunID && slices.Contains(attached, known.State) {
		n.attachedRun = known.RunID
	}
	if known.RunID == n.info.RunID && known.Position.ReplID == n.info.Position.ReplID && !n.info.LinkUp && !n.info.Open {
		n.halfSynced = n.halfSynced || known.HalfSynced
	}
}

// recall is what can be known of a server that has not answered since this agent started: its process, and whether it may be
// open, by what an agent before this one kept on the disk and, once Consul was read, reported. It returns the run that was last seen.
func (n *node) recall(s *servers, known failover.Report, now time.Duration) (runID string) {
	kept := s.get(n.name)
	if n.proc == nil && kept.RunID != "" && (known.RunID == "" || known.RunID == kept.RunID) {
		n.locate(kept.PID, now-kept.Started)
		_, n.cpuAtSilence, _ = n.stat()
	}
	n.maybeOpen = n.maybeOpen || kept.Open && n.proc != nil
	switch known.State {
	case failover.StateOpen, failover.StatePaused, failover.StateBusy:
		n.maybeOpen = true
	case failover.StateUnknown:
		n.maybeOpen = n.maybeOpen || known.MaybeOpen
	}
	return cmp.Or(known.RunID, kept.RunID)
}

// keep is what an agent after this one needs to end the server.
func (n *node) keep() keptServer {
	return keptServer{RunID: n.info.RunID, PID: n.info.ProcessID, Started: n.started, Open: n.maybeOpen, Group: n.group, Address: n.server.Address}
}

func (n *node) state() failover.NodeState {
	switch i := n.info; {
	case i.RunID == "":
		return failover.StateUnknown
	case i.Loading:
		return failover.StateLoading
	case i.Open:
		return failover.StateOpen
	case i.Frozen:
		return failover.StateFrozen
	case i.LinkUp:
		return failover.StateFollowing
	default:
		return failover.StateSyncing
	}
}

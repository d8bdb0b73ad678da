package failover

import "time"

// View is all that one agent knows of one group at one moment. Decide looks at nothing else.
//
// Times are durations on the machine's boot clock, which runs through suspend; those of two machines are
// never compared. Wall is only written down, never compared.
type View struct {
	Now  time.Duration
	Wall time.Time
	// Agent is the name of the agent that decides.
	Agent string
	// Session tells whether the agent holds a living Consul session.
	Session bool
	// State is the newest that Consul KV answered; Read is false until it answered once.
	State State
	Read  bool
	// StateBegun is when the read that returned State was begun.
	StateBegun time.Duration
	// Lease is the newest consistent read of the record.
	Lease Lease
	// Highest is the highest epoch that this agent has ever seen, in this process or an earlier one.
	Highest uint64
	// Local are this agent's own nodes.
	Local []Local
	// Judgement is this agent's view of the master of State.Record.
	Judgement Judgement
	// Memory is what the agent remembers between two views.
	Memory Memory
	// Promise is until when this agent has promised that none of its nodes opens, 0 if never. Started is when this process
	// started, if an earlier one may have promised so; else 0.
	Promise, Started time.Duration
	// Crowd is how many other groups of the agent are in a change of master, or about to be.
	Crowd int
	// MayElect is true from before this agent sends the commit of an election until its outcome is known.
	MayElect bool
	// ElectOver is the index of the record that it replaces: once there is a newer one, it has, or never will.
	ElectOver uint64
	// Heard is what agents told directly, while Consul need not have it.
	Heard Heard
	// Proposed are the members of every set that this agent, for the master, may have written in Epoch.
	Proposed Proposed
}

// Lease is what a consistent read of the record gave. The right of a server to be open rests on it and on
// nothing else.
type Lease struct {
	// Begun is when the read was sent, which is when the lease starts to count.
	Begun  time.Duration
	Record *Record
	Index  uint64
	// Extended is when those promises were asked for that prolong it while Consul is away, and ExtendedFor for how long.
	Extended, ExtendedFor time.Duration
}

// Until returns when the right of this run of a node to be open ends; 0 when it has none.
func (l Lease) Until(node, runID string, highest uint64, fenceAfter time.Duration) time.Duration {
	r := l.Record
	if r == nil || r.Phase != Steady || r.Master != node || r.RunID != runID && Kept(MastersRun) || r.Epoch < highest {
		return 0
	}
	return l.end(fenceAfter)
}

// end is when it ends: promises hold for as long as they were given for, and no longer than a lease does now.
func (l Lease) end(fenceAfter time.Duration) time.Duration {
	return max(l.Begun+fenceAfter, l.Extended+min(l.ExtendedFor, fenceAfter))
}

// Judgement is what this agent makes of the master: the verdict it would vote for.
type Judgement struct {
	Epoch    uint64
	Master   string
	Verdict  Verdict // empty: nothing against it
	Evidence Evidence
	Cause    string
}

// Local is one of the agent's own nodes as its driver last saw it.
type Local struct {
	Name     string
	Address  string
	Priority int
	Zone     string
	Driver   string
	Version  string
	TLS      bool

	// Known is false while the driver or the server does not answer: the rest is then the last that was
	// known.
	Known bool
	// Dead is true when RunID is known to have ended, Ended when that is known from its process. A process that is not known has
	// ended when its port refuses connections.
	Dead  bool
	Ended bool
	RunID string
	// State is StateOpen, StateFrozen, StateFollowing, StateSyncing, StateLoading or StateUnknown.
	State NodeState
	// Master is the address it replicates from.
	Master   string
	Position Position
	Keys     int64
	// LookedAt is when the last Look that was answered was sent.
	LookedAt time.Duration
	// Busy: it has answered for busy_after that a script keeps it.
	Busy bool
	// HalfSynced: a full resync was begun and not finished.
	HalfSynced bool
	// Attached: this run was seen open, or with its link to a master up.
	Attached bool
	// Persisted: its configuration file says frozen, so it may be restarted at any moment.
	Persisted bool
	// PersistFailed says why the configuration could not be written; it is not tried again in this run.
	PersistFailed string
	// MaybeOpen is true from before an order to open is sent, or when it was seen open, until it is known
	// not to be.
	MaybeOpen bool
	// Killable is true when its agent may end the process: on_stuck = "kill", and the process is known.
	Killable bool
	// Frozen is the answer to the freeze that was ordered for an attempt.
	Frozen *FrozenFor
	// Paused is when and where writes were paused for an attempt.
	Paused *PausedFor
	// Ineligible says why an operator does not want it to be master (maintenance).
	Ineligible string
	// RescuedRun is the run whose data set was saved; RescueFailed says why the last try came to nothing.
	RescuedRun, RescueFailed string
}

// FrozenFor says that a server confirmed that it is frozen, for an attempt (0: for want of a lease).
type FrozenFor struct {
	Attempt  uint64
	RunID    string
	Position Position
	Keys     int64
}

// PausedFor says that writes were paused for an attempt, since when, and what the server had then.
type PausedFor struct {
	Attempt  uint64
	RunID    string
	Since    time.Duration
	Position Position
	// CaughtUp tells that every replica that was connected has acknowledged all that was written.
	CaughtUp bool
}

// Memory is what an agent keeps of what it saw. Note updates it; it starts empty in a new process.
type Memory struct {
	// Index and Seen are the record's index and when this agent first saw it, by any read or as the
	// outcome of its own commit.
	Index uint64
	Seen  time.Duration
	// EpochSeen is when the record was first seen in this epoch and phase.
	Epoch     uint64
	Phase     Phase
	EpochSeen time.Duration
	// MasterSeen is when it was first seen in this epoch.
	MasterSeen time.Duration
	// Lost is since when the record is gone or went back; 0 while it is neither.
	Lost time.Duration
	// QuorumSeen is when the quorum was first seen for this epoch; 0 when it is not there.
	QuorumSeen time.Duration
	// PlannedSeen is when a planned change of master was first wanted; 0 while none is.
	PlannedSeen time.Duration
	// MasterDied is since when the master, if it is an own node, is known to have ended; 0 while it runs.
	MasterDied time.Duration
	// LockSeen is when this agent was first seen to hold the lock; 0 when it does not.
	LockSeen time.Duration
	// FencedSeen is when the old master was first seen fenced in this attempt; 0 while it is not.
	FencedSeen time.Duration
	// FreezeWanted is since when each own node may be open without a lease.
	FreezeWanted map[string]time.Duration
	// LeaseEnds is when the last lease ends, or ended, of each own node that may be open.
	LeaseEnds map[string]time.Duration
	// Told is what this agent told others directly.
	Told Told
	// Turns are the turns for full resyncs that were handed out.
	Turns map[string]Turn
	// Reach is, for each member that is not counted, the run and the master's offset it has to reach.
	Reach map[string]Reach
}

// Reach is an offset that a run of a replica must reach before it is counted.
type Reach struct {
	RunID string
	// Counted is the run that was counted when the offset was noted. When that is taken back, what was written since counts too.
	Counted string
	// Offset is -1 until the master was looked at after Since.
	Offset int64
	// Since is when the member's report was first seen.
	Since time.Duration
}

// Turn is a turn for a full resync that a member was given.
type Turn struct {
	RunID string
	// Since is when it was given, or when the member was last seen at it; Begun when it was given.
	Since, Begun time.Duration
	// Missed is when it was taken back because nothing came of it; 0 if it was not.
	Missed time.Duration
}

// local returns the agent's own node of that name.
func (v *View) local(name string) *Local {
	for i := range v.Local {
		if v.Local[i].Name == name {
			return &v.Local[i]
		}
	}
	return nil
}

// Settings returns the shared settings, or defaults until somebody wrote them.
func (v *View) Settings() Settings {
	if v.State.Settings != nil {
		return *v.State.Settings
	}
	return DefaultSettings()
}

// Fence is how long a lease of this agent's lasts.
func (v *View) Fence() time.Duration {
	fence := time.Duration(v.Settings().FenceAfter)
	for _, r := range []*Record{v.Lease.Record, v.State.Record} { // of which one may be newer than the other
		if r != nil && r.FenceAfter > 0 {
			fence = min(fence, time.Duration(r.FenceAfter))
		}
	}
	if r := v.Lease.Record; r != nil && v.Proposed.Epoch == r.Epoch {
		for length, index := range v.Proposed.Leases {
			if index >= v.Lease.Index {
				fence = min(fence, time.Duration(length)) // it may be in the record by now
			}
		}
	}
	return fence
}

// lease is how long a lease of the master's may last at most.
func (r *Record) lease(s Settings) time.Duration {
	if r.FenceAfter > 0 {
		return time.Duration(r.FenceAfter)
	}
	return time.Duration(s.FenceAfter)
}

// DefaultSettings are the settings of a group that says nothing.
func DefaultSettings() Settings {
	return Settings{
		DownAfter:       Duration(5 * time.Second),
		BusyAfter:       Duration(15 * time.Second),
		FenceAfter:      Duration(3 * time.Second),
		FailoverTimeout: Duration(30 * time.Second),
		ParallelSyncs:   1,
		Durability:      DurabilityNone,
		Cooldown:        Duration(10 * time.Second),
	}
}

// leads tells whether this agent holds the lock, by the newest state.
func (v *View) leads() bool {
	return v.Session && v.State.Leader == v.Agent
}

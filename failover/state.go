package failover

import "time"

// State is everything that Consul KV holds of one group, below its prefix, as one read returned it.
type State struct {
	// Index is the X-Consul-Index of the read. An answer with a lower index than one seen is dropped.
	Index uint64
	// Record is nil until the group has been started; RecordIndex is its ModifyIndex. While the record is
	// electing, RecordIndex names the attempt.
	Record      *Record
	RecordIndex uint64
	// Settings is nil until an agent has written them from its configuration.
	Settings      *Settings
	SettingsIndex uint64
	// Leader is the agent that holds the lock, empty when nobody does.
	Leader string
	// LeaderSession is the session under which the lock is held.
	LeaderSession string
	// Votes by agent. One that no living session holds has no verdict.
	Votes map[string]Vote
	// Nodes by name: what each node's own agent last said of it.
	Nodes map[string]Report
	// Agents by name: every agent ever known to the group and not forgotten.
	Agents map[string]AgentInfo
	// Order is what an operator asked for and no leader has taken up yet.
	Order      *Order
	OrderIndex uint64
}

// Verdict is an agent's judgement of a master.
type Verdict string

const (
	// Down asks for another master.
	Down Verdict = "down"
	// Busy is the veto of the master's own agent: the server runs, but a long command keeps it.
	Busy Verdict = "busy"
)

// Evidence is what a verdict rests on.
type Evidence string

const (
	// Gone: the connection ended and a new one was refused.
	Gone Evidence = "gone"
	// Silent: no reply at all for down_after.
	Silent Evidence = "silent"
	// NotServing: it answers, but it is not open though the record names it.
	NotServing Evidence = "not serving"
)

// Vote is an agent's verdict on the master of one epoch. It is bound to the agent's session and gone with it.
type Vote struct {
	Epoch    uint64   `json:"epoch"`
	Master   string   `json:"master"`
	Verdict  Verdict  `json:"verdict"`
	Evidence Evidence `json:"evidence,omitempty"`
	// Ended is the run of the master's server that its own agent knows to have ended. It fences the master: no run begins anew.
	Ended string `json:"ended,omitempty"`
	// Cause is one line for people.
	Cause string    `json:"cause"`
	Since time.Time `json:"since"`
	// Index is the ModifyIndex of its entry in Consul; 0 while it was only told.
	Index uint64 `json:"-"`
}

// NodeState is what a node's server is, in the words of its own agent.
type NodeState string

const (
	// StateOpen: takes writes.
	StateOpen NodeState = "open"
	// StateFrozen: replicates from a closed port and takes no writes.
	StateFrozen NodeState = "frozen"
	// StateBusy: open, but a script has kept it for busy_after and does not end.
	StateBusy NodeState = "busy"
	// StatePaused: open, but writes of clients are held back until a replica has everything.
	StatePaused NodeState = "paused"
	// StateFollowing: replicates from the master, link up.
	StateFollowing NodeState = "following"
	// StateSyncing: replicates from the master, link not up: connecting or in a full resync.
	StateSyncing NodeState = "syncing"
	// StateStray: follows a server that is not the master of the record, or is open without being named.
	StateStray NodeState = "stray"
	// StateLoading: loads its data set from disk.
	StateLoading NodeState = "loading"
	// StateDead: the run that it names has ended: its process is gone or was killed by its agent.
	StateDead NodeState = "dead"
	// StateUnknown: its agent cannot tell, because the driver or the server does not answer.
	StateUnknown NodeState = "unknown"
)

// Report is what a node's agent says of it in nodes/<node>: who it is, and what it was last seen or made to be.
type Report struct {
	Node     string `json:"node"`
	Agent    string `json:"agent"`
	Address  string `json:"address"`
	Priority int    `json:"priority"`
	Zone     string `json:"zone,omitempty"`
	Driver   string `json:"driver"`
	Version  string `json:"version,omitempty"`
	// TLS: the address is one of TLS.
	TLS bool `json:"tls,omitempty"`

	RunID string    `json:"run_id,omitempty"`
	State NodeState `json:"state"`
	// Epoch and Attempt are what the agent had seen when it reported. Reports of another attempt than the
	// one in progress count for nothing.
	Epoch   uint64 `json:"epoch,omitempty"`
	Attempt uint64 `json:"attempt,omitempty"`
	// MaybeOpen is set of a server that does not answer, if it may be open.
	MaybeOpen bool `json:"maybe_open,omitempty"`
	// Master is the address the server replicates from, when it does.
	Master   string   `json:"master,omitempty"`
	Position Position `json:"position,omitzero"`
	// Keys is the number of keys in all databases: 0 means that the server holds no data.
	Keys int64 `json:"keys"`
	// HalfSynced means that a full resync was begun and not finished: the data set is no history's.
	HalfSynced bool `json:"half_synced,omitempty"`
	// Ineligible says why the node should not be master, in words; empty when it may. It is chosen if it alone has
	// the last bytes, and gives its place on.
	Ineligible string `json:"ineligible,omitempty"`
	// Hold says why the node must not begin a full resync now; empty when it may.
	Hold string `json:"hold,omitempty"`
	// Highest is the highest epoch its agent has seen, set while the record is lower or gone.
	Highest uint64    `json:"highest,omitempty"`
	At      time.Time `json:"at"`
}

// Position is how far a server's data set reaches: Offset bytes into the history ReplID. When ReplID2 is
// set, the bytes up to Offset2 belong to the history ReplID2 as well (INFO replication: master_replid,
// master_repl_offset, master_replid2, second_repl_offset - 1).
type Position struct {
	ReplID  string `json:"replid,omitempty"`
	Offset  int64  `json:"offset,omitempty"`
	ReplID2 string `json:"replid2,omitempty"`
	Offset2 int64  `json:"offset2,omitempty"`
}

// AgentInfo says that an agent takes part in a group: its vote counts for the default quorum until it is
// forgotten.
type AgentInfo struct {
	Agent   string `json:"agent"`
	Version string `json:"version"`
	// Address is where other agents reach this one ("host:port"), empty when it does not listen.
	Address string    `json:"address,omitempty"`
	Nodes   []string  `json:"nodes,omitempty"`
	Since   time.Time `json:"since"`
}

// Settings are what all agents of a group share. Operators change them in Consul; the first agent writes
// them from its configuration.
type Settings struct {
	// Quorum is how many votes make the master objectively down; 0 means a majority of the agents known.
	Quorum int `json:"quorum"`
	// DownAfter is how long a master may be silent.
	DownAfter Duration `json:"down_after"`
	// BusyAfter is how long the master's own agent vetoes while the server runs but does not answer.
	BusyAfter Duration `json:"busy_after"`
	// FenceAfter is the length of the lease.
	FenceAfter Duration `json:"fence_after"`
	// FailoverTimeout is the deadline of one attempt.
	FailoverTimeout Duration `json:"failover_timeout"`
	// ParallelSyncs is how many replicas may be in a full resync at a time.
	ParallelSyncs int `json:"parallel_syncs"`
	// BootstrapExpect is how many nodes must have reported before the group is started.
	BootstrapExpect int `json:"bootstrap_expect"`
	// Durability is DurabilityNone or "wait:k".
	Durability string `json:"durability,omitempty"`
	// Cooldown is how long after a change of master another one for the same kind of evidence waits, unless the
	// server is gone; it doubles with each repetition.
	Cooldown Duration `json:"cooldown,omitempty"`
	// Paused stops everything automatic; everything is still shown.
	Paused bool `json:"paused,omitempty"`
}

// OrderKind is what an operator asks for.
type OrderKind string

const (
	// OrderFailover: change masters without waiting for the present one.
	OrderFailover OrderKind = "failover"
	// OrderSwitchover: change masters, the present one handing over.
	OrderSwitchover OrderKind = "switchover"
	// OrderRecord: make a new record, with Target as master, after the record was lost or went back.
	OrderRecord OrderKind = "record"
	// OrderBootstrap: start a group whose nodes hold different data with Target as its master.
	OrderBootstrap OrderKind = "bootstrap"
)

// Order is an operator's request. The leader that takes it up deletes it in the same transaction.
type Order struct {
	ID     string    `json:"id"`
	Kind   OrderKind `json:"kind"`
	Target string    `json:"target,omitempty"`
	// AcceptLoss lets a failover lose writes that the record's durability would keep.
	AcceptLoss bool `json:"accept_loss,omitempty"`
	// Epoch is that in which a change of master was asked for; in another it is not what was meant. 0 is whichever it is.
	Epoch uint64 `json:"epoch,omitempty"`
	// By says who asked, for the history.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
	// Refused is the leader's answer when it will not do it: why, in words.
	Refused string `json:"refused,omitempty"`
}

// History is what is kept of one change of master, below redis-sentinel-history/ in KV.
type History struct {
	Epoch   uint64       `json:"epoch"`
	Attempt uint64       `json:"attempt"`
	Kind    ElectionKind `json:"kind"`
	Cause   string       `json:"cause"`
	Votes   []string     `json:"votes,omitempty"`
	// Detected is since when the first of those who voted has judged so, by its clock.
	Detected time.Time `json:"detected,omitzero"`
	Leader   string    `json:"leader"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	// Why is the reason for the choice, in words.
	Why        string      `json:"why"`
	Candidates []Candidate `json:"candidates"`
	// Steps are how long each took, in the order they happened.
	Steps []Step    `json:"steps"`
	At    time.Time `json:"at"`
	// NotReplicated is how many bytes of the old master's history the new one does not have; -1 is unknown.
	NotReplicated int64 `json:"not_replicated"`
	// Rescued are the data sets that were saved because they held what this change discarded. Each is written by the
	// agent that saved it, when it did.
	Rescued []Rescued `json:"rescued,omitempty"`
}

// Rescued is a data set that was saved to a file before a full resync discarded it.
type Rescued struct {
	Node  string `json:"node"`
	RunID string `json:"run_id"`
	Agent string `json:"agent"`
	File  string `json:"file"`
	// Bytes is how much of it the group's history does not have; -1 when that is not known.
	Bytes int64     `json:"bytes"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
}

// Candidate is a node that was looked at in a choice.
type Candidate struct {
	Node     string   `json:"node"`
	Epoch    uint64   `json:"epoch,omitempty"`
	Position Position `json:"position,omitzero"`
	// Refused says why it could not be chosen; empty when it could.
	Refused string `json:"refused,omitempty"`
}

// Step is one step of a change of master and how long it took.
type Step struct {
	Name string   `json:"name"`
	Took Duration `json:"took"`
}

// Package plugin is the boundary between the agent and the programs that talk to servers. A driver is a
// process of its own (hashicorp/go-plugin over gRPC) that serves all nodes of its kind on one machine.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Driver drives servers of one kind. Every method may be called at any time and from several goroutines;
// Freeze never waits for another call to end. Every call has a deadline in its context.
//
// A driver that does not answer means that the state of its servers is unknown, which is not down.
type Driver interface {
	// Capabilities says what the driver can do.
	Capabilities(ctx context.Context) (Capabilities, error)
	// Connect begins to hold connections to a server and to observe it. Connecting a known name again
	// replaces its settings.
	Connect(ctx context.Context, s Server) error
	// Disconnect ends what Connect began. The server itself is left as it is.
	Disconnect(ctx context.Context, server string) error
	// Observe calls observe, one call at a time, with the last observation of every connected server and then
	// with each new one, until ctx ends or the driver does. What changes is pushed at once, what does not
	// at the intervals of Server. It returns nil when ctx ended.
	Observe(ctx context.Context, observe func(Observation)) error
	// Probe looks at a server once, connected or not.
	Probe(ctx context.Context, s Server) (Observation, error)

	// Freeze makes the server take no writes: it replicates from a port where nothing listens. Its
	// clients are ended (normal and pub/sub). It answers with the final position.
	Freeze(ctx context.Context, server string) (Frozen, error)
	// Open makes the server a master that takes writes, if it still is the run named (ErrOtherRun). It
	// answers with the position at which the new history begins.
	Open(ctx context.Context, server, runID string) (Position, error)
	// Follow makes a frozen server replicate from the master at address ("host:port"), if it still is the run named
	// (ErrOtherRun), frozen and at the position named (ErrMoved): a full resync discards what it holds, so that must be
	// what the caller decided about.
	Follow(ctx context.Context, server, runID string, at Position, address string) error
	// Persist makes the server's configuration file say frozen while its role stays what it is, so that
	// the server starts frozen whenever it is started. An open server is interrupted for less than a
	// millisecond, and has a new replication id afterwards.
	Persist(ctx context.Context, server string) error
	// Pause holds back writes of clients for at most d. It returns once every replica that is connected has
	// acknowledged what was written before, or with ErrLagging when that takes too long; writes are held back all
	// the same. Unpause ends it, and so does a Freeze, which then ends the links of replicas as well: they see at
	// once that nothing more will come.
	Pause(ctx context.Context, server string, d time.Duration) error
	Unpause(ctx context.Context, server string) error
	// EndClients ends the connections of normal and pub/sub clients and answers how many there were.
	EndClients(ctx context.Context, server string) (int, error)
	// MinReplicas answers how many replicas must be connected for the server to take writes (Redis:
	// min-replicas-to-write). SetMinReplicas changes that in this run of the server, and not in its configuration file.
	MinReplicas(ctx context.Context, server string) (int, error)
	SetMinReplicas(ctx context.Context, server string, replicas int) error
	// Save writes the data set of the server to a file on this machine and returns when it is complete.
	Save(ctx context.Context, server, path string) error
}

// Errors that callers decide on. They keep their identity through the process boundary (errors.Is).
var (
	// ErrUnknownServer: the name was not connected.
	ErrUnknownServer = errors.New("server is not connected to the driver")
	// ErrOtherRun: the server is another run than the one named.
	ErrOtherRun = errors.New("server is another run than the one named")
	// ErrMoved: the server is not frozen at the position named.
	ErrMoved = errors.New("server is not frozen where it was")
	// ErrUnreachable: the server did not answer.
	ErrUnreachable = errors.New("server cannot be reached")
	// ErrConfigNotWritable: the server cannot rewrite its configuration file.
	ErrConfigNotWritable = errors.New("the server's configuration file cannot be rewritten")
	// ErrLagging: writes are held back, and a replica has not acknowledged all that was written before.
	ErrLagging = errors.New("a replica has not acknowledged all writes")
	// ErrUnsupported: the driver lacks the capability.
	ErrUnsupported = errors.New("the driver does not support this")
)

// Capabilities is what a driver can do.
type Capabilities struct {
	// Name is the kind of server, such as "redis"; Version is the driver's own.
	Name, Version string
	// Pause, Save and Persist say whether these methods do anything.
	Pause, Save, Persist bool
}

// Server is a server to observe, and to drive unless it is Remote.
type Server struct {
	// Name names the server in every call and observation.
	Name string
	// Address is "host:port".
	Address  string
	Username string
	Password string
	TLS      *TLS
	// Announce is where other servers and clients reach it; replicas tell their master. Empty leaves
	// the server's own setting.
	Announce string
	// Remote means that the server belongs to another machine's agent: it is only probed with PING, over a
	// connection that is held open, never ordered. Credentials are not needed.
	Remote bool
	// PingEvery is how often the server is asked for a reply, SilentAfter is how long without any reply
	// makes Observation.Link LinkSilent, pushed at that moment. A server that is not open may be asked as rarely as
	// InfoEvery says; its silence then counts from the asking.
	PingEvery, SilentAfter time.Duration
	// InfoEvery is how often Info is read anew. Not used for a Remote server.
	InfoEvery time.Duration
	// FreezeAfter is how long after the end of its agent the server is frozen if it is open then, unless another agent
	// works in the place of the one before; 0 leaves it as it is. Serve sees to it for every driver.
	FreezeAfter time.Duration
}

// String leaves the password out, so that no log and no error tells it.
func (s Server) String() string { return fmt.Sprintf("%s (%s)", s.Name, s.Address) }

// GoString is String.
func (s Server) GoString() string { return s.String() }

// TLS is how to connect to a server with TLS.
type TLS struct {
	CAFile, CertFile, KeyFile, ServerName string
	InsecureSkipVerify                    bool
}

// Link is what a driver knows of its way to a server.
type Link string

const (
	// LinkUnknown: nothing is known yet.
	LinkUnknown Link = "unknown"
	// LinkUp: a connection is open and the last thing asked was answered, with whatever reply.
	LinkUp Link = "up"
	// LinkGone: the connection ended and a new one was refused by the machine: no process listens.
	LinkGone Link = "gone"
	// LinkSilent: no reply for SilentAfter, whether connected or not.
	LinkSilent Link = "silent"
	// LinkWaiting: a reply is overdue or a connection is being made, but not yet for SilentAfter.
	LinkWaiting Link = "waiting"
)

// Observation is what a driver saw of one server.
type Observation struct {
	Server string
	Link   Link
	// Cause is one line that explains Link, such as "dial tcp 10.0.0.1:6379: connection refused", or the
	// error that the server replies, such as "NOAUTH Authentication required."
	Cause string
	// SilentFor is the time since the last reply of any kind, measured when the observation was made.
	SilentFor time.Duration
	// Latency of the last PING.
	Latency time.Duration
	// Info is the last that was read of a server that is not Remote; nil when nothing was ever read in
	// this connection's life. It is dropped when the connection ends.
	Info *Info
}

// Info is what a server says of itself (Redis: INFO).
type Info struct {
	RunID     string
	Version   string
	ProcessID int
	// StartedAgo is the server's uptime.
	StartedAgo time.Duration
	ConfigFile string
	// Port is where it listens, as it knows.
	Port int

	// Open: a master. Frozen: replicates from the closed port. Otherwise it follows MasterAddress.
	Open, Frozen  bool
	MasterAddress string
	LinkUp        bool
	LinkDownFor   time.Duration
	// SyncInProgress: a full resync is being received.
	SyncInProgress bool
	// LastIO is how long ago the master was last heard.
	LastIO   time.Duration
	Position Position
	Replicas []Replica
	// ReplicaReadOnly is the setting replica-read-only.
	ReplicaReadOnly bool

	Loading    bool
	LoadingETA time.Duration
	// Keys in all databases.
	Keys int64

	RDBLastSaveOK bool
	RDBChanges    int64
	RDBLastSave   time.Time
	RDBInProgress bool
	AOFEnabled    bool
	AOFLastOK     bool

	MemoryUsed, MemoryMax int64
	MemoryPolicy          string
	Fragmentation         float64
	Clients, ClientsMax   int
	BlockedClients        int
	OpsPerSecond          int
}

// Replica is one replica as its master sees it.
type Replica struct {
	Address string
	State   string
	Offset  int64
	Lag     time.Duration
}

// Position is how far a server's data set reaches. See INFO replication: master_replid, master_repl_offset,
// master_replid2, and second_repl_offset less one.
type Position struct {
	ReplID  string
	Offset  int64
	ReplID2 string
	Offset2 int64
}

// Frozen is the answer to Freeze.
type Frozen struct {
	RunID    string
	Position Position
	Keys     int64
	// ClientsEnded is how many client connections were ended, the driver's own idle ones among them.
	ClientsEnded int
	// SyncCutOff: a full resync was being received and was cut off, so the data set is not to be counted. A
	// second Freeze does not say it again.
	SyncCutOff bool
}

// FrozenAddress is the port where nothing listens that a frozen server replicates from.
const FrozenAddress = "127.0.0.1:1"

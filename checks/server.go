package checks

import "time"

// Link is what a driver knows of its way to a server, in the words of plugin.Link.
type Link string

const (
	// LinkUnknown: the driver does not answer, or has seen nothing yet. An empty Link means the same.
	LinkUnknown Link = "unknown"
	// LinkUp: the last thing asked was answered, with whatever reply.
	LinkUp Link = "up"
	// LinkGone: the connection ended and a new one was refused.
	LinkGone Link = "gone"
	// LinkSilent: no reply for as long as the driver was told to wait.
	LinkSilent Link = "silent"
	// LinkWaiting: a reply is overdue or a connection is being made.
	LinkWaiting Link = "waiting"
)

// Server is what was last observed of one server.
type Server struct {
	// Address is "host:port".
	Address string
	Link    Link
	// Cause explains Link in one line, or is the error that the server replies. While the link is up, it
	// is empty if the server answers PONG.
	Cause string
	// SilentFor is the time since the last reply of any kind.
	SilentFor time.Duration
	// Latency of the last PING.
	Latency time.Duration
	// Info is what the server said of itself; nil when it was not read.
	Info *Info
	// MasterOffset is how far the history of its master reaches, in bytes; -1 is unknown. Of the master
	// itself it is not used.
	MasterOffset int64
}

// Info is the part of what a server says of itself that a check looks at (Redis: INFO).
type Info struct {
	RunID string

	// Open: a master. Frozen: replicates from a closed port. Otherwise it follows MasterAddress.
	Open, Frozen  bool
	MasterAddress string
	// LinkUp tells whether the replication link is up.
	LinkUp bool
	// LinkDownFor is how long it has been down; zero or less when it was never up or this is not known.
	LinkDownFor time.Duration
	// SyncInProgress: a full resync is being received.
	SyncInProgress bool
	// LastIO is how long ago the master was last heard.
	LastIO time.Duration
	// Offset is how far the server's own history reaches, in bytes.
	Offset int64
	// Replicas is how many replicas are connected, Behind how many bytes the one has not acknowledged that is farthest behind.
	Replicas int
	Behind   int64
	// ReplicaReadOnly is the setting replica-read-only, which freezing relies on.
	ReplicaReadOnly bool

	Loading    bool
	LoadingETA time.Duration

	RDBLastSaveOK bool
	RDBInProgress bool
	// RDBChanges is how many changes the last save does not hold, RDBSavedAgo how long ago that was, RDBSavedAt when.
	RDBChanges  int64
	RDBSavedAgo time.Duration
	RDBSavedAt  time.Time
	AOFEnabled  bool
	// AOFLastOK is false when the last write to the append-only file failed.
	AOFLastOK bool

	// MemoryUsed and MemoryMax are bytes; a MemoryMax of 0 means that maxmemory is not set.
	MemoryUsed, MemoryMax int64
	// MemoryPolicy is the setting maxmemory-policy.
	MemoryPolicy   string
	Fragmentation  float64
	Clients        int
	ClientsMax     int
	BlockedClients int
}

// behind returns how many bytes the server lacks of its master's history, and false when that is unknown.
// The two offsets are read at different moments, so a replica may seem to be ahead: that is not behind.
func (s Server) behind() (int64, bool) {
	if s.Info == nil || s.MasterOffset < 0 || s.Info.Offset < 0 {
		return 0, false
	}
	return max(0, s.MasterOffset-s.Info.Offset), true
}

package checks

import (
	"fmt"
	"strings"
	"time"
)

// Role is what the record makes of a node.
type Role string

const (
	// RoleUndecided: there is no record yet.
	RoleUndecided Role = ""
	RoleMaster    Role = "master"
	RoleReplica   Role = "replica"
	// RoleNone: masters are being changed, and nobody is to be open.
	RoleNone Role = "none"
)

// Expected is what the record says of a node.
type Expected struct {
	Role Role
	// Epoch is that of the record; while there is none, the highest that was seen, 0 if the group was never started.
	Epoch uint64
	// Master is the name of the node that the record names, MasterAddress its "host:port".
	Master, MasterAddress string
	// RunID is the run that the record names; used where Role is RoleMaster.
	RunID string
	// Why is the agent's own reason for keeping the server frozen, such as "Consul does not answer"; may be
	// empty.
	Why string
}

// ReplicationLimits are how far a replica may be behind its master. 0 turns a limit off.
type ReplicationLimits struct {
	// WarningBytes and CriticalBytes are of the master's history.
	WarningBytes, CriticalBytes int64
	// Warning and Critical are for the time since the master was heard, or since the link to it went down.
	Warning, Critical time.Duration
}

// DefaultReplicationLimits: a master pings its replicas every 10 s (repl-ping-replica-period), so one ping must have been
// missed; 60 s is Redis' repl-timeout, after which it gives a link up.
func DefaultReplicationLimits() ReplicationLimits {
	return ReplicationLimits{
		WarningBytes: 10 << 20, CriticalBytes: 100 << 20,
		Warning: 20 * time.Second, Critical: time.Minute,
	}
}

// Replication says whether the server's role agrees with the record, and how well it follows.
func Replication(s Server, expect Expected, l ReplicationLimits) Result {
	i, unknown := s.info(NameReplication)
	if i == nil {
		return unknown
	}
	status, words := i.standing(s, expect, l)
	if !i.ReplicaReadOnly {
		// Freezing makes a replica of the server: it fences nothing where replicas take writes.
		if status = worse(status, Warning); !i.Open {
			status = Critical
		}
		words += "; it takes writes as a replica: set replica-read-only yes"
	}
	return result(NameReplication, status, "%s", words)
}

// standing compares what the server is with what the record says.
func (i *Info) standing(s Server, expect Expected, l ReplicationLimits) (Status, string) {
	switch expect.Role {
	case RoleMaster:
		return i.asMaster(expect, l)
	case RoleReplica:
		return i.asReplica(s, expect, l)
	case RoleNone:
		return Warning, fmt.Sprintf("%s while the master of epoch %d is changed: no server takes writes until then",
			i.is(), expect.Epoch)
	}
	if expect.Epoch > 0 {
		return Warning, fmt.Sprintf("%s: the record is gone, and epoch %d was seen: an operator must rule (rescue record)", i.is(), expect.Epoch)
	}
	return Warning, i.is() + ": the group was not started yet" + reason(expect.Why)
}

// asMaster is for the node that the record names.
func (i *Info) asMaster(expect Expected, l ReplicationLimits) (Status, string) {
	switch {
	case expect.RunID != "" && i.RunID != "" && i.RunID != expect.RunID:
		return Critical, fmt.Sprintf("was started again: the master of epoch %d is run %s, this is run %s; "+
			"another master is elected", expect.Epoch, short(expect.RunID), short(i.RunID))
	case !i.Open:
		return Critical, fmt.Sprintf("%s, though the record names it master of epoch %d%s", i.is(), expect.Epoch,
			reason(expect.Why))
	}
	words := fmt.Sprintf("master of epoch %d with %s", expect.Epoch, count(i.Replicas, "replica"))
	if l.WarningBytes > 0 && i.Behind > l.WarningBytes { // it serves all the same, so that is not critical for it
		return Warning, words + ", one " + size(i.Behind) + " behind, more than " + size(l.WarningBytes)
	}
	return Passing, words
}

// asReplica is for every other node.
func (i *Info) asReplica(s Server, expect Expected, l ReplicationLimits) (Status, string) {
	master := expect.master()
	switch {
	case i.Open:
		return Critical, fmt.Sprintf("takes writes, though the master of epoch %d is %s: it must be frozen",
			expect.Epoch, master)
	case i.Loading:
		return Warning, i.loading()
	case i.Frozen:
		return i.linkDown(l), fmt.Sprintf("frozen: takes no writes and follows nobody%s%s; the master of epoch %d is %s",
			i.downFor(), reason(expect.Why), expect.Epoch, master)
	case expect.MasterAddress != "" && i.MasterAddress != expect.MasterAddress:
		return Critical, fmt.Sprintf("follows %s, though the master of epoch %d is %s", i.MasterAddress, expect.Epoch, master)
	case i.SyncInProgress:
		return Warning, "full resync from " + master + " in progress: its own data is replaced"
	case !i.LinkUp:
		return i.linkDown(l), fmt.Sprintf("link to the master %s is down%s", master, i.downFor())
	}
	status, lag := i.lag(s, l)
	return status, "follows " + master + ", " + lag
}

// lag says how far a replica with a link is behind.
func (i *Info) lag(s Server, l ReplicationLimits) (Status, string) {
	status := above(i.LastIO, l.Warning, l.Critical)
	words := "link up"
	if status != Passing {
		words = "heard " + seconds(i.LastIO) + " ago" + limit(status, l.Warning, l.Critical, span)
	}
	bytes, known := s.behind()
	if !known {
		return status, words
	}
	inBytes := above(bytes, l.WarningBytes, l.CriticalBytes)
	return worse(status, inBytes),
		size(bytes) + " behind" + limit(inBytes, l.WarningBytes, l.CriticalBytes, size) + ", " + words
}

// linkDown grades a link that is down: a replica has none for a moment whenever masters change.
func (i *Info) linkDown(l ReplicationLimits) Status {
	return worse(Warning, above(i.LinkDownFor, l.Warning, l.Critical))
}

// downFor says how long the link has been down, where that is known.
func (i *Info) downFor() string {
	if i.LinkDownFor <= 0 {
		return ""
	}
	return " for " + span(i.LinkDownFor)
}

// is says in words what the server is.
func (i *Info) is() string {
	switch {
	case i.Loading:
		return "loads its data set"
	case i.Open:
		return "takes writes"
	case i.Frozen:
		return "frozen"
	case i.MasterAddress == "":
		return "a replica without a master"
	}
	return "follows " + i.MasterAddress
}

// master names the record's master.
func (e Expected) master() string {
	switch {
	case e.Master == "" && e.MasterAddress == "":
		return "not known"
	case e.Master == "" || e.MasterAddress == "":
		return e.Master + e.MasterAddress
	}
	return e.Master + " (" + e.MasterAddress + ")"
}

// reason adds the agent's own reason where it gave one.
func reason(why string) string {
	if why = strings.TrimSpace(why); why == "" {
		return ""
	}
	return ": " + why
}

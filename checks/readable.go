package checks

import "fmt"

// Readable says whether a replica is fit to serve reads; the service <group>-replica names it while it is.
// Whatever makes its data old or incomplete is critical. A driver that does not answer is not the server's
// fault, so the replica is kept with a warning.
func Readable(s Server, expect Expected, l ReplicationLimits) Result {
	no := func(format string, args ...any) Result {
		return result(NameReadable, Critical, "not fit to read from: %s", fmt.Sprintf(format, args...))
	}
	switch s.Link {
	case LinkGone, LinkSilent:
		return no("%s", Alive(s, LatencyLimits{}).Output)
	case LinkUp, LinkWaiting:
	default:
		return result(NameReadable, Warning, "%s", driverSilent)
	}
	i := s.Info
	switch {
	case i == nil && s.Cause == "":
		return result(NameReadable, Warning, "unknown: INFO was not read yet")
	case i == nil:
		return no("INFO was not read: %s", s.Cause)
	case i.Loading:
		return no("%s", i.loading())
	case i.Open && expect.Role == RoleMaster:
		return no("it is the master; read from it by the name of the master")
	case i.Open:
		return no("it takes writes of its own")
	case i.Frozen:
		return no("frozen, it follows nobody%s%s", i.downFor(), reason(expect.Why))
	case i.SyncInProgress:
		return no("full resync from %s in progress", i.MasterAddress)
	case !i.LinkUp:
		return no("link to the master %s is down%s", i.MasterAddress, i.downFor())
	case expect.Role == RoleReplica && expect.MasterAddress != "" && i.MasterAddress != expect.MasterAddress:
		return no("it follows %s, the master is %s", i.MasterAddress, expect.master())
	}
	status, lag := i.lag(s, l)
	if status == Critical {
		return no("%s", lag)
	}
	return result(NameReadable, status, "fit to read from: %s", lag)
}

// loading says that a server loads, and how long it says that will take.
func (i *Info) loading() string {
	if i.LoadingETA <= 0 {
		return "loads its data set from disk"
	}
	return "loads its data set from disk, " + span(i.LoadingETA) + " to go"
}

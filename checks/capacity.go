package checks

import "fmt"

// ShareLimits are shares of what a server may use, in per cent. 0 turns a limit off.
type ShareLimits struct {
	Warning, Critical float64
}

// DefaultMemoryLimits are shares of maxmemory. At the critical one, a burst of writes or the output buffer of
// one slow replica reaches the rest.
func DefaultMemoryLimits() ShareLimits { return ShareLimits{Warning: 80, Critical: 95} }

// DefaultClientLimits are shares of maxclients.
func DefaultClientLimits() ShareLimits { return ShareLimits{Warning: 80, Critical: 95} }

// fragmented is the ratio from which fragmentation is told: half as much again as the data needs. A server that uses
// less than fragmentedFrom is mostly its own program, which says nothing about its data.
const (
	fragmented     = 1.5
	fragmentedFrom = 100 << 20
)

// Memory says how much of maxmemory is used. A server that evicts keys is made to be full, so that is never
// critical there.
func Memory(s Server, l ShareLimits) Result {
	i, unknown := s.info(NameMemory)
	if i == nil {
		return unknown
	}
	// Whole MiB, as it goes up and down a little with every client.
	words := size((max(0, i.MemoryUsed)+1<<20-1)>>20<<20) + " used"
	status := Passing
	if i.MemoryMax <= 0 {
		words += ", maxmemory is not set"
	} else {
		part := share(i.MemoryUsed, i.MemoryMax)
		status = above(part, l.Warning, l.Critical)
		words += fmt.Sprintf(" of %s maxmemory (%s)%s", size(i.MemoryMax), percent(part),
			limit(status, l.Warning, l.Critical, percent))
		switch {
		case status == Passing:
		case i.MemoryPolicy == "noeviction" || i.MemoryPolicy == "":
			words += ": writes are refused when it is full; raise maxmemory or delete keys"
		default:
			status = Warning
			words += fmt.Sprintf(": keys are evicted when it is full (%s)", i.MemoryPolicy)
		}
	}
	if i.Fragmentation >= fragmented && i.MemoryUsed >= fragmentedFrom {
		words += fmt.Sprintf("; fragmentation %.1f, activedefrag helps", i.Fragmentation)
	}
	return result(NameMemory, status, "%s", words)
}

// Clients says how many of the connections allowed are in use.
func Clients(s Server, l ShareLimits) Result {
	i, unknown := s.info(NameClients)
	if i == nil {
		return unknown
	}
	words := count(max(0, i.Clients), "client")
	status := Passing
	if i.ClientsMax > 0 {
		part := share(int64(i.Clients), int64(i.ClientsMax))
		status = above(part, l.Warning, l.Critical)
		words += fmt.Sprintf(" of %d (%s)%s", i.ClientsMax, percent(part), limit(status, l.Warning, l.Critical, percent))
	}
	if i.BlockedClients > 0 {
		words += fmt.Sprintf(", %d blocked", i.BlockedClients)
	}
	if status != Passing {
		words += ": further ones are refused at the limit; raise maxclients or close idle ones"
	}
	return result(NameClients, status, "%s", words)
}

// share is used of most, in per cent.
func share(used, most int64) float64 { return float64(max(0, used)) * 100 / float64(most) }

// percent writes a share without digits after the point.
func percent(part float64) string { return fmt.Sprintf("%.0f %%", part) }

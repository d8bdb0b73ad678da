package checks

import (
	"fmt"
	"strings"
	"unicode"
)

// Status is the status of a Consul health check, as Consul writes it.
type Status string

const (
	Passing  Status = "passing"
	Warning  Status = "warning"
	Critical Status = "critical"
)

// Names of the checks, as they stand in Result.Name.
const (
	NameAlive       = "alive"
	NameReplication = "replication"
	NamePersistence = "persistence"
	NameMemory      = "memory"
	NameClients     = "clients"
	NameMaster      = "view of the master"
	NameReadable    = "readable"
)

// Result is the outcome of one health check. Output is one line for people, never empty.
type Result struct {
	Name   string
	Status Status
	Output string
}

// maxOutput bounds a line, in runes: a cause comes from a server or the system and may be of any length,
// and Consul cuts an output at 4 KB.
const maxOutput = 400

// result writes one line with the status.
func result(name string, status Status, format string, args ...any) Result {
	return Result{name, status, line(fmt.Sprintf(format, args...))}
}

// line makes one readable line of any text.
func line(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if runes := []rune(text); len(runes) > maxOutput {
		text = string(runes[:maxOutput-1]) + "…"
	}
	return text
}

// worse returns the graver of two.
func worse(a, b Status) Status {
	if a == Critical || b == Critical {
		return Critical
	}
	if a == Warning || b == Warning {
		return Warning
	}
	return Passing
}

// above compares a value with two limits; a limit of 0 is turned off.
func above[T ~int64 | ~float64](value, warning, critical T) Status {
	switch {
	case critical > 0 && value > critical:
		return Critical
	case warning > 0 && value > warning:
		return Warning
	}
	return Passing
}

// info returns what the server says of itself. When there is nothing to go by it returns nil and a warning
// instead: that the server does not answer is critical in the check alive, and is not said twice.
func (s Server) info(name string) (*Info, Result) {
	switch {
	case s.Link == LinkGone || s.Link == LinkSilent:
		return nil, result(name, Warning, "unknown: the server does not answer, see the check %q", NameAlive)
	case s.Link != LinkUp && s.Link != LinkWaiting:
		return nil, result(name, Warning, "%s", driverSilent)
	case s.Info == nil && s.Cause != "":
		return nil, result(name, Warning, "unknown: INFO was not read: %s", s.Cause)
	case s.Info == nil:
		return nil, result(name, Warning, "unknown: INFO was not read yet")
	}
	return s.Info, Result{}
}

const driverSilent = "unknown: the driver does not answer"

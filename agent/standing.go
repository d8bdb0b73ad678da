package agent

import "strings"

// What parts the waits of a group, and the groups, in the agent's own check: no sentence has these, so that the command line can
// take them apart again.
const (
	betweenWaits  = " · "
	betweenGroups = " | "
)

// standing is where a group stands, for the agent's own check.
type standing struct {
	line     string
	troubled bool
}

// standingLine is a sentence on where a group stands, and what it waits for.
func standingLine(summary string, waits []string) string {
	return strings.Join(append([]string{summary}, waits...), betweenWaits)
}

// Waits is what the output of an agent's own check says that a group waits for.
func Waits(output, group string) []string {
	for line := range strings.SplitSeq(output, betweenGroups) {
		if where, ok := strings.CutPrefix(line, group+": "); ok {
			return strings.Split(where, betweenWaits)[1:]
		}
	}
	return nil
}

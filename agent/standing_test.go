package agent

import (
	"slices"
	"testing"
)

// What each group waits for is found again in the output of the agent's check, which has the groups that wait first: Consul
// keeps 4 KiB of it.
func TestWaitsInTheAgentsCheck(t *testing.T) {
	c := &said{}
	p := newPublisher(c, nil)
	why := []string{"nobody can be chosen: a: it is dead; b: it is loading", "an operator may accept the loss of writes"}
	p.groups["redis"] = standing{standingLine("epoch 7, electing (gone: connection refused), led by agent-a", why), true}
	p.groups["a"] = standing{standingLine("epoch 1, master a-1", nil), false}
	p.agentCheck()
	if want := "redis: epoch 7, electing (gone: connection refused), led by agent-a · nobody can be chosen: a: it is dead; b: it is loading · " +
		"an operator may accept the loss of writes | a: epoch 1, master a-1"; c.status != "warning" || c.output != want {
		t.Errorf("%s: %s\nwant warning: %s", c.status, c.output, want)
	}
	for group, want := range map[string][]string{"redis": why, "a": {}, "other": nil} {
		if got := Waits(c.output, group); !slices.Equal(got, want) {
			t.Errorf("%s waits for %q, want %q", group, got, want)
		}
	}
}

// said takes down what the agent's check is told.
type said struct {
	registrar
	status, output string
}

func (s *said) SetAgentCheck(status, output string) { s.status, s.output = status, output }

package sandbox

import (
	"os"
	"strings"
)

// tailLines is how much of a log goes into an error: enough for the reason, not for the story.
const tailLines = 15

// tail returns the last lines of the process's log, for an error.
func (p *Process) tail() string {
	lines := strings.Split(strings.TrimRight(p.Log(), "\n"), "\n")
	return "the end of " + p.Name + "'s log:\n  " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n  ")
}

// AgentLogs returns the last lines of every agent's log, for the error of a wait that was in vain.
func (s *Sandbox) AgentLogs() string {
	var all []string
	for _, a := range s.agents {
		all = append(all, a.tail())
	}
	return strings.Join(all, "\n")
}

// Log returns what the process has printed, in all its runs.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// environ is this process's environment without the variables by which Consul and its clients are configured.
func environ(more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CONSUL_") {
			env = append(env, e)
		}
	}
	return append(env, more...)
}

package checks

import (
	"fmt"
	"time"
)

// Process is what the kernel says of a server's process.
type Process struct {
	// Known is false when the process id is not known or /proc could not be read.
	Known bool
	// State is the third field of /proc/<pid>/stat: R, S, D, T, t, Z, X and so on (proc_pid_stat(5)).
	State byte
	// CPU is the time consumed since the server was first missed.
	CPU time.Duration
}

// JudgeBusy says whether the agent of a silent master should veto that it is voted down as silent: its
// process lives and is not stopped, so a long command or script keeps it. cause is one line for people,
// whatever the answer.
//
// The veto is due at half of downAfter, to be in Consul before others vote. A process that sleeps counts as
// busy as well: a command that waits, for a disk or on purpose, uses no processor.
func JudgeBusy(p Process, silentFor, downAfter time.Duration) (busy bool, cause string) {
	if silentFor <= downAfter/2 {
		return false, "not silent for long enough to be called busy: " + span(silentFor)
	}
	if !p.Known {
		return false, "not known to be busy: nothing is known of its process"
	}
	name := stateName(p.State)
	switch p.State {
	case 'T', 't', 'Z', 'X', 'x', 0:
		return false, fmt.Sprintf("not busy: its process is %s", name)
	}
	return true, fmt.Sprintf("busy: no reply for %s, but its process is %s and used %s of processor time",
		span(silentFor), name, span(p.CPU))
}

// stateName writes a process state in words.
func stateName(state byte) string {
	switch state {
	case 'R':
		return "running"
	case 'S':
		return "sleeping"
	case 'D':
		return "waiting for a disk"
	case 'T':
		return "stopped"
	case 't':
		return "stopped by a debugger"
	case 'Z':
		return "a zombie"
	case 'X', 'x', 0:
		return "gone"
	}
	return fmt.Sprintf("in state %q", state)
}

// PingEvery is how often an agent asks its own server for a reply: four times in down_after, so that the veto of a busy master
// comes before the votes of others. Never more often than every 10 ms, and at least every 2 s, so that a long down_after does
// not make what is shown old.
func PingEvery(downAfter time.Duration) time.Duration { return within(downAfter / 4) }

// WatchEvery is how often other agents ask a master: twice in down_after and with some to spare, so that a reply that is a little
// late is not taken for silence. There may be many of them.
func WatchEvery(downAfter time.Duration) time.Duration { return within(downAfter * 2 / 5) }

func within(every time.Duration) time.Duration {
	return min(max(every, 10*time.Millisecond), 2*time.Second)
}

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a server's process.
type Process interface {
	// Ended tells whether it is known to have ended.
	Ended() bool
	// Stat returns its state letter, as proc_pid_stat(5) has it, and the processor time that it used; ok is false
	// when they cannot be read.
	Stat() (state byte, cpu time.Duration, ok bool)
	// Kill ends it and returns once it has ended.
	Kill(ctx context.Context) error
}

// process is one on this machine, told apart from a later one of the same number by the time it started.
type process struct {
	pid   int
	start uint64 // clock ticks after boot, field 22 of /proc/<pid>/stat
}

// startSlack is by how much the age of a process may differ from what its server says, which counts whole seconds.
const startSlack = 3 * time.Second

// findProcess returns the living process of that number, nil if there is none. A server in a container says the number
// that it has there, which is somebody else's here: that one has another age.
func findProcess(pid int, ranFor time.Duration) Process {
	s, err := readStat(pid)
	if pid <= 0 || err != nil || s.ended() {
		return nil
	}
	if age := bootNow() - time.Duration(s.start)*(time.Second/100); (age - ranFor).Abs() > startSlack {
		return nil
	}
	return process{pid: pid, start: s.start}
}

func (p process) Ended() bool {
	s, err := readStat(p.pid)
	return os.IsNotExist(err) || errors.Is(err, unix.ESRCH) || err == nil && (s.start != p.start || s.ended())
}

func (p process) Stat() (state byte, cpu time.Duration, ok bool) {
	s, err := readStat(p.pid)
	if err != nil || s.start != p.start {
		return 0, 0, false
	}
	// USER_HZ is 100 on every architecture that Linux has in use.
	return s.state, time.Duration(s.ticks) * (time.Second / 100), true
}

// MayKill says why the agent's user may not end it; nil when it may, or when it has ended.
func (p process) MayKill() error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
		err = unix.PidfdSendSignal(fd, 0, nil, 0)
	}
	if err != nil && err != unix.ESRCH {
		return fmt.Errorf("process %d: %w", p.pid, err)
	}
	return nil
}

func (p process) Kill(ctx context.Context) error {
	// A pidfd cannot come to mean another process, so the check of the start time holds.
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
		if p.Ended() {
			return nil
		}
		err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
	if err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	for !p.Ended() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("kill process %d: it has not ended: %w", p.pid, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

type procStat struct {
	state byte
	ticks uint64
	start uint64
}

func (s procStat) ended() bool { return s.state == 'Z' || s.state == 'X' }

// readStat reads /proc/<pid>/stat; see proc(5).
func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	// The name of the command stands in parentheses and may hold anything; what follows is plain.
	i := bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[i+1:])
	if i < 0 || len(f) < 20 {
		return procStat{}, fmt.Errorf("/proc/%d/stat has an unknown form", pid)
	}
	user, _ := strconv.ParseUint(string(f[11]), 10, 64)
	system, _ := strconv.ParseUint(string(f[12]), 10, 64)
	start, err := strconv.ParseUint(string(f[19]), 10, 64)
	return procStat{state: f[0][0], ticks: user + system, start: start}, err
}

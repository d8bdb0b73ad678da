package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// KillDriver kills the driver of host i's agent, which starts another.
func (h *Hosts) KillDriver(i int) error {
	pid := h.DriverPID(i)
	if pid == 0 {
		return fmt.Errorf("kill the driver of %s: there is none", h.Agent(i).Name)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// DriverPID is the process of the driver of host i's agent, 0 when there is none.
func (h *Hosts) DriverPID(i int) int {
	parent := strconv.Itoa(h.Agent(i).PID())
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// After the name in parentheses: the state, then the parent (proc_pid_stat(5)).
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) < 2 || f[1] != parent {
			continue
		}
		dir := filepath.Dir(file)
		if cmd, _ := os.ReadFile(filepath.Join(dir, "cmdline")); bytes.Contains(cmd, []byte("\x00plugin\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	return 0
}

// StopConsul kills the Consul servers of these hosts; StartConsul starts them again.
func (h *Hosts) StopConsul(hosts ...int) error {
	var errs []error
	for _, i := range hosts {
		errs = append(errs, h.Consul(i).Kill())
	}
	return errors.Join(errs...)
}

// StartConsul starts those of the Consul servers that do not run.
func (h *Hosts) StartConsul(hosts ...int) error {
	var errs []error
	for _, i := range hosts {
		if !h.Consul(i).Running() {
			errs = append(errs, h.Consul(i).Start())
		}
	}
	return errors.Join(errs...)
}

// send gives host i's Redis a command without waiting for a reply.
func (h *Hosts) send(i int, args ...any) error {
	var timeout interface{ Timeout() bool }
	err := h.ask(i, 200*time.Millisecond, args...)
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return err
}

// ask gives host i's Redis a command, on its own host, so that no cut is in the way.
func (h *Hosts) ask(i int, patience time.Duration, args ...any) error {
	r := h.Redis(i)
	c := goredis.NewClient(&goredis.Options{Addr: r.Addr(), Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		DialTimeout: time.Second, ReadTimeout: patience, WriteTimeout: time.Second, DialerRetries: 1})
	defer c.Close()
	return c.Do(context.Background(), args...).Err()
}

// Hang makes host i's Redis answer nothing for d, without using the processor.
func (h *Hosts) Hang(i int, d time.Duration) error {
	return h.send(i, "DEBUG", "SLEEP", strconv.FormatFloat(d.Seconds(), 'f', 3, 64))
}

// StuckScript runs a script without end. One that writes first cannot be ended but with the server (SCRIPT KILL); a
// replica refuses that one.
func (h *Hosts) StuckScript(i int, writes bool) error {
	script := "while true do end"
	if writes {
		script = "redis.call('SET', 'stuck', '1') " + script
	}
	return h.send(i, "EVAL", script, 0)
}

// EndScript ends a script that has written nothing. It is no error if there is none, or if it cannot be ended. Redis answers when
// the script has run for busy-reply-threshold, which is 5 s.
func (h *Hosts) EndScript(i int) error {
	var answer goredis.Error
	err := h.ask(i, 10*time.Second, "SCRIPT", "KILL")
	if errors.As(err, &answer) {
		return nil
	}
	return err
}

// Order writes an operator's order for the group.
func (h *Hosts) Order(ctx context.Context, o failover.Order) error {
	k, err := h.Catalog(h.reachableFirst()[0])
	if err != nil {
		return err
	}
	o.ID, o.By, o.At = strconv.FormatInt(time.Now().UnixNano(), 36), "a test", time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return k.PutOrder(ctx, h.Group(), o)
}

// mountDisk makes dir a disk of a size of its own. Enter has seen to it that nobody else sees it.
func mountDisk(dir string, size int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return fmt.Errorf("mount a disk of %d bytes: %w", size, err)
	}
	return nil
}

// unmountDisk is quiet about a directory that is none.
func unmountDisk(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

func (h *Hosts) ballast(i int) string { return filepath.Join(diskOf(h.Dir, i), "ballast") }

// FillDisk leaves host i's Redis no room on its disk (see Options.SmallDisk).
func (h *Hosts) FillDisk(i int) error {
	if h.options.SmallDisk == 0 {
		return errors.New("fill the disk: there is none of a size of its own")
	}
	f, err := os.Create(h.ballast(i))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1} { // to the last byte
		b := make([]byte, size)
		for {
			if _, err := f.Write(b); errors.Is(err, unix.ENOSPC) {
				break
			} else if err != nil {
				return fmt.Errorf("fill the disk of host %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// FreeDisk undoes FillDisk.
func (h *Hosts) FreeDisk(i int) error {
	if err := os.Remove(h.ballast(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

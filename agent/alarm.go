package agent

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Alarm rings at an instant of the boot clock. Where the machine was suspended until then it rings when that goes on, while Go's
// timers go on from where they stood.
type Alarm interface {
	// Set has it ring at that instant, and no more at the one before.
	Set(at time.Duration)
	Rings() <-chan struct{}
}

// bootAlarm is a timer of the kernel's; see timerfd_create(2).
type bootAlarm struct {
	file  *os.File
	rings chan struct{}
}

func newBootAlarm() (*bootAlarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	a := &bootAlarm{file: os.NewFile(uintptr(fd), "timerfd"), rings: make(chan struct{}, 1)}
	go a.listen()
	return a, nil
}

func (a *bootAlarm) listen() {
	for expired := make([]byte, 8); ; poke(a.rings) {
		if _, err := a.file.Read(expired); err != nil {
			return // closed
		}
	}
}

// Set implements Alarm.
func (a *bootAlarm) Set(at time.Duration) {
	raw, err := a.file.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = raw.Control(func(fd uintptr) {
		when := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(at, 1)))} // 0 would disarm it
		_ = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &when, nil)
	})
}

// Rings implements Alarm.
func (a *bootAlarm) Rings() <-chan struct{} { return a.rings }

func (a *bootAlarm) close() { _ = a.file.Close() }

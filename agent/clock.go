package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootNow is the time since the machine started, on a clock that runs on while the machine is suspended. Leases
// are counted on it; see clock_gettime(2), CLOCK_BOOTTIME.
func bootNow() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error()) // Linux has had it since 2.6.39
	}
	return time.Duration(ts.Nano())
}

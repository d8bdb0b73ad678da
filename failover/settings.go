package failover

import (
	"errors"
	"fmt"
	"time"
)

// Check says what is wrong with the settings, nil if nothing. The limits are those of the configuration.
func (s Settings) Check() error {
	var errs []error
	short := func(name string, d Duration, least time.Duration) {
		if time.Duration(d) < least {
			errs = append(errs, fmt.Errorf("%s is %s, want %s or more", name, time.Duration(d), least))
		}
	}
	short("down_after", s.DownAfter, 50*time.Millisecond)
	short("fence_after", s.FenceAfter, 200*time.Millisecond)
	short("failover_timeout", s.FailoverTimeout, time.Second)
	short("busy_after", s.BusyAfter, time.Duration(s.DownAfter))
	if s.ParallelSyncs < 1 {
		errs = append(errs, errors.New("parallel_syncs is 0, want 1 or more"))
	}
	_, err := ParseDurability(s.Durability)
	return errors.Join(append(errs, err)...)
}

package hosts

import (
	"sync"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// restartAfter is how long a service manager waits before it starts a service again; systemd's RestartSec is 100 ms.
const restartAfter = 100 * time.Millisecond

// supervisor starts a Redis that has ended again.
type supervisor struct {
	quit  chan struct{}
	ended sync.WaitGroup
}

func supervise(r *sandbox.Redis) *supervisor {
	s := &supervisor{quit: make(chan struct{})}
	s.ended.Go(func() {
		for {
			select {
			case <-s.quit:
				return
			case <-r.Done():
			}
			select {
			case <-s.quit:
				return
			case <-time.After(restartAfter):
			}
			if !r.Running() {
				_ = r.Start() // if it cannot, its end is found above again
			}
		}
	})
	return s
}

// stop leaves the server as it is from now on.
func (s *supervisor) stop() {
	close(s.quit)
	s.ended.Wait()
}

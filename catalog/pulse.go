package catalog

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pulsePatience is how long the servers of Consul may take for an answer before they count as silent: some round trips.
const pulsePatience = 100 * time.Millisecond

// pulse tells whether the servers of Consul answer the Consul agent of this machine.
//
// While they do not, that agent is told nothing that it would pass on. It holds a lock on all that is registered with it for as long
// as an update is under way (agent/local/state.go, SyncChanges), which is until the network is back: nobody could take a tag off
// before, and the update that has it would arrive then.
type pulse struct {
	mu      sync.Mutex
	waiting int       // calls that are not answered yet
	failed  bool      // the last that ended was not answered
	since   time.Time // of what waits and of what failed
}

// ask notes a call to the servers; answered is to be called with what came of it.
func (p *pulse) ask() (answered func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == 0 && !p.failed {
		p.since = time.Now()
	}
	p.waiting++
	return func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting--
		switch {
		case err == nil || refused(err):
			p.failed, p.since = false, time.Now()
		case !errors.Is(err, context.Canceled):
			p.failed = true
		}
	}
}

func (p *pulse) silent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return (p.waiting > 0 || p.failed) && time.Since(p.since) > pulsePatience
}

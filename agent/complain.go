package agent

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// complainEvery is how often the same trouble is logged while it lasts; what is tried again every few milliseconds would
// fill the log otherwise.
const complainEvery = 5 * time.Second

// complain keeps a log readable.
type complain struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// warn logs unless it did so a moment ago, with the same message.
func (c *complain) warn(log hclog.Logger, message string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if at, ok := c.last[message]; ok && now.Sub(at) < complainEvery {
		return
	}
	if c.last == nil {
		c.last = map[string]time.Time{}
	}
	c.last[message] = now
	log.Warn(message, args...)
}

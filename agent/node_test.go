package agent

import (
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Whoever learns first that a server has another history, a look, a freeze or an observation, learns that a full resync was
// finished, and that what was saved of the server is not what it has now.
func TestAnotherHistory(t *testing.T) {
	for _, c := range []struct {
		name        string
		at          string
		syncing     bool
		half, saved bool
	}{
		{"the same history", "r1", false, true, true},
		{"another one", "r2", false, false, false},
		{"another one, and a resync in progress", "r2", true, true, false},
	} {
		n := &node{info: plugin.Info{RunID: "run", Position: plugin.Position{ReplID: "r1"}}, halfSynced: true, rescuedRun: "run"}
		n.stands(plugin.Position{ReplID: c.at}, c.syncing)
		if n.halfSynced != c.half || (n.rescuedRun != "") != c.saved || n.info.Position.ReplID != c.at {
			t.Errorf("%s: %+v, half synced %v, saved %q", c.name, n.info.Position, n.halfSynced, n.rescuedRun)
		}
	}
}

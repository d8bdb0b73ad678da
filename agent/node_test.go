package agent

import (
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
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

// Redis says how long it runs by a clock that may have been set since. What an agent before this one kept of the same run is by
// one that nobody sets, and finds the process.
func TestProcessIsFoundByWhatWasKept(t *testing.T) {
	const stepped = time.Hour
	for _, c := range []struct {
		kept keptServer
		want time.Duration
	}{
		{keptServer{}, stepped + time.Minute},
		{keptServer{RunID: "another", Started: time.Second}, stepped + time.Minute},
		{keptServer{RunID: "run", Started: 9 * time.Minute}, time.Minute},
	} {
		var ranFor time.Duration
		s := &servers{kept: keptServers{Runs: map[string]keptServer{"a": c.kept}}}
		n := &node{name: "a", find: func(_ int, d time.Duration) Process { ranFor = d; return nil }}
		n.learn(plugin.Info{RunID: "run", StartedAgo: stepped + time.Minute}, s, 10*time.Minute)
		if ranFor != c.want {
			t.Errorf("kept %+v: looked for a process that runs for %s, want %s", c.kept, ranFor, c.want)
		}
	}
}

// A driver that ended, or hangs, and is there again soon is no news of its servers. One that stays away is, and so is a server that the driver
// finds silent or gone.
func TestServerThatItsDriverLost(t *testing.T) {
	known := plugin.Observation{Link: plugin.LinkUp, Info: &plugin.Info{RunID: "run"}}
	for _, c := range []struct {
		name string
		seen []plugin.Observation // a second apart
		want bool
	}{
		{"known", []plugin.Observation{known}, false},
		{"never known", []plugin.Observation{{Link: plugin.LinkUnknown}}, false},
		{"the driver has ended", []plugin.Observation{known, {Link: plugin.LinkUnknown}}, true},
		{"the next one connects", []plugin.Observation{known, {Link: plugin.LinkUnknown}, {Link: plugin.LinkWaiting}}, true},
		{"the next one has read nothing yet", []plugin.Observation{known, {Link: plugin.LinkUnknown}, {Link: plugin.LinkUp}}, true},
		{"the next one ended too", []plugin.Observation{known, {Link: plugin.LinkUnknown}, {Link: plugin.LinkWaiting}, {Link: plugin.LinkUnknown}}, false},
		{"the server is gone", []plugin.Observation{known, {Link: plugin.LinkGone}}, false},
		{"the server is silent", []plugin.Observation{known, {Link: plugin.LinkUnknown}, {Link: plugin.LinkSilent}}, false},
		{"known again", []plugin.Observation{known, {Link: plugin.LinkUnknown}, known}, false},
	} {
		n, now := &node{find: func(int, time.Duration) Process { return nil }}, time.Minute
		for _, o := range c.seen {
			now += time.Second
			n.observe(o, &servers{}, now)
		}
		if got := n.lost(now); got != c.want {
			t.Errorf("%s: lost %v, want %v", c.name, got, c.want)
		}
		if n.dead = true; n.lost(now) {
			t.Errorf("%s: lost, and its process has ended", c.name)
		}
	}
}

// Of a server that was never seen here, its run is known from what this agent reported before. What another agent says is of another
// server.
func TestRunThatAnotherAgentReported(t *testing.T) {
	g := &group{agent: "mine"}
	for agent, want := range map[string]string{"mine": "run", "another": ""} {
		g.view.State.Nodes = map[string]failover.Report{"a": {Agent: agent, RunID: "run"}}
		if got := g.ownReport("a").RunID; got != want {
			t.Errorf("reported by %s: run %q, want %q", agent, got, want)
		}
	}
}

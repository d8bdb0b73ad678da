package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// The commands by which an operator changes how a group works, on a running group.

func readState(t *testing.T, s *sandbox.Sandbox) failover.State {
	t.Helper()
	state, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// refusals runs commands that are refused, each for its reason.
func refusals(t *testing.T, commands map[string]string) {
	t.Helper()
	for args, why := range commands {
		if code, stdout, stderr := run(t, strings.Fields(args)...); code != ExitRefused || !strings.Contains(stderr, why) {
			t.Errorf("%s: exit code %d, want it refused because %q\n%s%s", args, code, why, stdout, stderr)
		}
	}
}

func TestSettingsOfARunningGroup(t *testing.T) {
	s := startGroup(t)
	t.Setenv("CONSUL_HTTP_ADDR", s.Consul(0).HTTPAddr())
	before := readState(t, s)

	shows := func(want map[string]string, args ...string) {
		t.Helper()
		code, stdout, stderr := run(t, append([]string{"settings", "redis"}, args...)...)
		if code != ExitOK {
			t.Fatalf("settings %v: exit code %d\n%s", args, code, stderr)
		}
		shown := map[string]string{}
		for line := range strings.Lines(stdout) {
			if f := strings.Fields(line); len(f) == 2 {
				shown[f[0]] = f[1]
			}
		}
		for key, value := range want {
			if shown[key] != value {
				t.Errorf("settings %v: %s is %q, want %q\n%s", args, key, shown[key], value, stdout)
			}
		}
	}
	shows(map[string]string{"quorum": "2", "down_after": "5s", "fence_after": "3s", "cooldown": "10s", "durability": "none", "paused": "false"})
	if now := readState(t, s); now.SettingsIndex != before.SettingsIndex {
		t.Error("to show the settings wrote them")
	}

	changed := *before.Settings
	changed.DownAfter, changed.FenceAfter, changed.Cooldown = failover.Duration(2*time.Second), failover.Duration(5*time.Second), 0
	changed.Durability = "wait:1"
	shows(map[string]string{"quorum": "2", "down_after": "2s", "fence_after": "5s", "cooldown": "0s", "durability": "wait:1"},
		"down_after=2s", "fence_after=5s", "cooldown=0s", "durability=wait:1")
	if now := readState(t, s); *now.Settings != changed {
		t.Errorf("in Consul they are %+v, want %+v", *now.Settings, changed)
	}
	eventually(t, "the master's agent has taken them into the record", func(context.Context) error {
		if r := readState(t, s).Record; r.FenceAfter != changed.FenceAfter || r.Durability != changed.Durability {
			return fmt.Errorf("durability %s, fence_after %s", r.Durability, time.Duration(r.FenceAfter))
		}
		return nil
	})
	eventually(t, "every agent goes by them, and says that its file is other", func(context.Context) error {
		for _, a := range s.Agents() {
			if want := "which hold: down_after is 5s in the file and 2s in Consul, fence_after is 3s in the file and 5s in Consul, " +
				"durability is none in the file and wait:1 in Consul, cooldown is 10s in the file and 0s in Consul"; !strings.Contains(a.Log(), want) {
				return fmt.Errorf("%s does not", a.Name)
			}
		}
		return nil
	})

	index := readState(t, s).SettingsIndex
	refusals(t, map[string]string{
		"settings redis down_after=1ms":               "down_after is 1ms, want 50ms or more",
		"settings redis down_after=soon":              `down_after=soon: want a duration with its unit, such as "5s"`,
		"settings redis down_after=-1s":               "want a duration",
		"settings redis down_after":                   `"down_after" is no change: write KEY=VALUE`,
		"settings redis busy_after=1s":                "busy_after is 1s, want 2s or more",
		"settings redis fence_after=1ms":              "fence_after is 1ms",
		"settings redis failover_timeout=1ms":         "failover_timeout is 1ms",
		"settings redis parallel_syncs=0":             "parallel_syncs is 0",
		"settings redis quorum=-1":                    "want a whole number",
		"settings redis quorum=all":                   "want a whole number",
		"settings redis paused=perhaps":               "want true or false",
		"settings redis durability=wait:0":            `durability is "wait:0"`,
		"settings redis durability=much":              `durability is "much"`,
		"settings redis nonsense=1":                   `there is no setting "nonsense"; there are quorum, down_after, `,
		"settings redis cooldown=5s nonsense=1":       `there is no setting "nonsense"`,
		"settings redis cooldown=5s down_after=10ms":  "down_after is 10ms",
		"settings redis durability=none quorum=1.5":   "want a whole number",
		"settings redis paused=true parallel_syncs=0": "parallel_syncs is 0",
	})
	if code, _, stderr := run(t, "settings", "nothing", "down_after=1s"); code != ExitFailed || !strings.Contains(stderr, `no group "nothing"`) {
		t.Errorf("settings of no group: exit code %d\n%s", code, stderr)
	}
	if now := readState(t, s); *now.Settings != changed || now.SettingsIndex != index {
		t.Errorf("what was refused changed the settings to %+v", *now.Settings)
	}
}

func TestDrainOnARunningGroup(t *testing.T) {
	s := startGroup(t)
	t.Setenv("CONSUL_HTTP_ADDR", s.Consul(0).HTTPAddr())
	before := readJSON(t, s)
	old, other := before.Master, before.Nodes[1].Name
	w := s.StartWriter(t.Context(), 0, time.Millisecond)
	defer w.Stop()
	written := func(n int) {
		t.Helper()
		eventually(t, "writes are acknowledged", func(context.Context) error {
			if got := len(w.Acks()); got < n {
				return fmt.Errorf("%d of %d", got, n)
			}
			return nil
		})
	}
	written(100)
	refusals(t, map[string]string{"drain redis-9": `this Consul agent has no service of a node "redis-9"`})

	// While nothing is done automatically, nobody takes over.
	expect := func(want ExitCode, says string, args ...string) {
		t.Helper()
		code, stdout, stderr := run(t, args...)
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Fatalf("%v: exit code %d, want %d with %q\n%s%s", args, code, want, says, stdout, stderr)
		}
	}
	expect(ExitOK, "redis is paused", "pause", "redis")
	expect(ExitTimeout, "not drained within 300ms: "+old+" is still master", "drain", old, "-timeout", "300ms")
	expect(ExitOK, "not in maintenance any more: redis-"+old, "drain", old, "-end")
	mayBeMaster(t, s, old)
	expect(ExitOK, "redis is not paused", "resume", "redis")
	if now := readJSON(t, s); now.Master != old || now.Epoch != before.Epoch {
		t.Fatalf("%s is master of epoch %d, and was of %d", now.Master, now.Epoch, before.Epoch)
	}

	expect(ExitOK, old+" is not master", "drain", old, "-timeout", limit.String())
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	after, err := s.WaitSteady(ctx, before.Epoch+1)
	if err != nil || after.Record.Master != other {
		t.Fatalf("%s is master, want %s: %v", after.Record.Master, other, err)
	}
	written(len(w.Acks()) + 100)
	eventually(t, "its agent has registered it as a replica", func(context.Context) error {
		services, err := s.Consul(0).Client.Agent().Services()
		if service := services["redis-"+old]; err == nil && (service == nil || !slices.Contains(service.Tags, "replica")) {
			err = fmt.Errorf("it is registered as %+v", service)
		}
		return err
	})
	readable := func() bool {
		services, err := s.Consul(0).Client.Agent().Services()
		if err != nil {
			t.Fatal(err)
		}
		return services["redis-replica-"+old] != nil
	}
	if readable() {
		t.Errorf("%s is in maintenance, and registered as a replica to read from", old)
	}
	checks, err := s.Consul(0).Client.Agent().Checks()
	if err != nil || checks["_service_maintenance:redis-"+old] == nil || !strings.HasPrefix(checks["_service_maintenance:redis-"+old].Notes, "drained by ") {
		t.Errorf("%s is not in Consul's maintenance mode any more: %v", old, err)
	}
	refusals(t, map[string]string{"switchover redis -to " + old: "it is in Consul's maintenance mode: drained by "})

	expect(ExitOK, "not in maintenance any more: redis-"+old, "drain", old, "-end")
	mayBeMaster(t, s, old)
	eventually(t, "it is registered as a replica to read from", func(context.Context) error {
		if !readable() {
			return errors.New("it is not")
		}
		return nil
	})
	awaitWhole(t, s)
	expect(ExitOK, old+" takes writes", "switchover", "redis", "-to", old, "-timeout", limit.String())
	written(len(w.Acks()) + 100)
	w.Stop()
	if lost, err := w.Lost(t.Context(), s.RedisOf(old)); err != nil || len(lost) > 0 {
		t.Errorf("lost %d acknowledged writes, %v", len(lost), err)
	}
}

// mayBeMaster waits until the agent of a node says nothing any more against its being master.
func mayBeMaster(t *testing.T, s *sandbox.Sandbox, node string) {
	t.Helper()
	eventually(t, node+" may be master", func(context.Context) error {
		if why := readState(t, s).Nodes[node].Ineligible; why != "" {
			return errors.New(why)
		}
		return nil
	})
}

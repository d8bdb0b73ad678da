package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
)

// Consul takes the configuration files as they are.
func TestExampleConsulConfigurationIsValid(t *testing.T) {
	consul := exampleProgram(t, "consul")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "data.hcl"), []byte("data_dir = \"/var/lib/consul\"\n"), 0o600))
	for i, name := range []string{"consul.hcl", "acl/consul.hcl"} {
		must(t, os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".hcl"), []byte(example(t, name)), 0o600))
	}
	out, err := exec.Command(consul, "validate", dir).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("Configuration is valid")) {
		t.Fatalf("consul validate: %v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("eprecated")) {
		t.Errorf("a setting is deprecated:\n%s", out)
	}
}

// The agent's configuration loads without a warning once its two secrets exist.
func TestExampleAgentConfigurationIsValid(t *testing.T) {
	path := exampleAgentConfig(t, exampleSecrets{consulToken: "a-token", redisPassword: "a-password"}, t.TempDir())
	c, err := config.Load(path)
	must(t, err)
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if len(c.Nodes) != 1 || c.Nodes[0].Username != "agent" || c.Nodes[0].Password.Reveal() != "a-password" {
		t.Errorf("the node is %+v", c.Nodes)
	}
	if g := c.Groups[0]; g.Quorum != 2 || g.DownAfter != 2*time.Second {
		t.Errorf("the group is %+v", g)
	}
}

// exampleSecrets are what an agent of the example keeps in files.
type exampleSecrets struct{ consulToken, redisPassword string }

// exampleAgentConfig writes the example's agent configuration, with words replaced, and its secrets to dir.
func exampleAgentConfig(t *testing.T, s exampleSecrets, dir string, oldnew ...string) string {
	t.Helper()
	token, password := filepath.Join(dir, "consul.token"), filepath.Join(dir, "redis.password")
	must(t, os.WriteFile(token, []byte(s.consulToken+"\n"), 0o600))
	must(t, os.WriteFile(password, []byte(s.redisPassword+"\n"), 0o600))
	text := example(t, "agent.hcl", append([]string{
		"/etc/consul-redis-sentinel/consul.token", token, "/etc/consul-redis-sentinel/redis.password", password,
	}, oldnew...)...)
	path := filepath.Join(dir, "agent.hcl")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// The systemd unit has nothing that systemd would ignore, and what the agent cannot do without.
func TestExampleSystemdUnit(t *testing.T) {
	const name = "systemd/consul-redis-sentinel.service"
	unit := exampleUnit(t, example(t, name))
	for key, want := range map[string]string{
		"Service.ExecStart":             "/usr/bin/consul-redis-sentinel agent -config /etc/consul-redis-sentinel",
		"Service.User":                  "consul-redis-sentinel", // not the one of Redis, not root
		"Service.SupplementaryGroups":   "redis",                 // to read the RDB file
		"Service.AmbientCapabilities":   "CAP_KILL",              // to kill a stuck master of another user
		"Service.CapabilityBoundingSet": "CAP_KILL",
		"Service.KillMode":              "mixed", // Redis and drivers get no SIGTERM
		"Service.Restart":               "always",
		"Service.StateDirectory":        "consul-redis-sentinel", // the default data_dir
		"Service.NoNewPrivileges":       "yes",
		"Unit.StartLimitIntervalSec":    "0",
		"Install.WantedBy":              "multi-user.target",
	} {
		if got := unit[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"Service.PrivateUsers", "Service.ProtectProc", "Service.PrivatePIDs", "Unit.Requires", "Unit.BindsTo"} {
		if got := unit[key]; got != nil {
			t.Errorf("%s is set to %q: the agent could not do its work", key, got)
		}
	}

	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not on this machine: the unit was parsed by the test alone")
		return
	}
	// systemd looks whether the program is there, so the one under test stands for the installed one.
	path := filepath.Join(t.TempDir(), filepath.Base(name))
	program, err := filepath.Abs(binary)
	must(t, err)
	text := example(t, name, "/usr/bin/consul-redis-sentinel", program)
	must(t, os.WriteFile(path, []byte(text), 0o644))
	out, err := exec.Command(verify, "verify", "--man=no", path).CombinedOutput()
	if about := regexp.MustCompile(`(?m)^.*consul-redis-sentinel.*$`).FindAllString(string(out), -1); err != nil || about != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// exampleUnit reads a unit into "Section.Key" and its values. A line that is none is an error.
func exampleUnit(t *testing.T, text string) map[string][]string {
	t.Helper()
	section, unit := "", map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
			if !slices.Contains([]string{"Unit", "Service", "Install"}, section) {
				t.Errorf("no unit has a section %q", section)
			}
		case !ok || section == "" || !regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(key):
			t.Errorf("not a setting: %q", line)
		default:
			unit[section+"."+key] = append(unit[section+"."+key], value)
		}
	}
	return unit
}

// The README of the examples speaks of every file, and of none that is not there.
func TestExampleReadme(t *testing.T) {
	text := example(t, "README.md")
	root := exampleFile(t, ".")
	must(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(root, path); err == nil && !d.IsDir() && rel != "README.md" && !strings.Contains(text, "("+rel+")") {
			t.Errorf("README.md does not link %s", rel)
		}
		return err
	}))
	for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, link[1])); err != nil {
			t.Errorf("README.md links what is not there: %v", err)
		}
	}
}

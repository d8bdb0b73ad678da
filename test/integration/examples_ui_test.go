package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// The Consul UI, in a real browser, shows roles, tags and check lines as they are, before and after a failover.
func TestExampleConsulUIShowsAFailover(t *testing.T) {
	browser := exampleChromium(t)
	s, _ := start(t, exampleOptions(t))
	exampleReplicas(t, s, 2)
	state := counted(t, s)
	ui := exampleUI{browser, s, "before"}

	old := master(s, state)
	ui.instances(old, nil)
	ui.node(old,
		"alive|passing|PONG within ",
		"replication|passing|master of epoch 1",
		"persistence|passing|", "memory|passing|", "clients|passing|",
		"view of the master|passing|"+old.Node+" (",
	)
	ui.master(fmt.Sprintf("master|passing|%s at %s is master since epoch 1", old.Node, old.Addr()))

	must(t, old.Kill())
	state = steady(t, s, state.Record.Epoch+1)
	now := master(s, state)
	ui.when = "after"
	ui.instances(now, old)
	ui.node(old, "alive|critical|connection refused", "memory|warning|unknown")
	ui.node(now, "replication|passing|master of epoch 2", "view of the master|passing|"+now.Node+" (")
	ui.master(fmt.Sprintf("master|passing|%s at %s is master since epoch 2", now.Node, now.Addr()))

	must(t, old.Start())
	ui.when = "returned"
	ui.instances(now, nil)
	ui.node(old, "alive|passing|", "replication|passing|follows "+now.Node+" (")
}

// exampleUI looks at pages of the Consul UI.
type exampleUI struct {
	*exampleBrowser
	s    *sandbox.Sandbox
	when string
}

func (ui exampleUI) url(path string) string {
	return "http://" + ui.s.Consul(0).HTTPAddr() + "/ui/dc1/services/" + path
}

// instances looks at the page of the service: the master has the tag master, all others replica, and the checks of
// all but the dead one pass.
func (ui exampleUI) instances(master, dead *sandbox.Redis) {
	ui.t.Helper()
	ui.open(ui.url("redis/instances"), 640)
	ui.sees("roles and health", examplePageText, func(text string) error {
		for _, r := range ui.s.Redises() {
			tag, health := "replica", "All service checks passing"
			if r == master {
				tag = "master"
			}
			if r == dead {
				health = "service checks failing"
			}
			block := exampleBlock(text, "redis-"+r.Node, "redis-redis-")
			if !slices.Contains(block, tag) || !slices.Contains(block, r.Addr()) || !strings.Contains(strings.Join(block, "\n"), health) {
				return fmt.Errorf("%s should have the tag %s and %q: %q", r.Node, tag, health, block)
			}
		}
		return nil
	})
	ui.picture("consul-ui-" + ui.when + "-redis.png")
}

// node looks at the checks of a node, each written as name|status|beginning of its line.
func (ui exampleUI) node(r *sandbox.Redis, checks ...string) {
	ui.t.Helper()
	machine := exampleMachine(slices.Index(ui.s.Redises(), r))
	ui.checks("redis/instances/"+machine+"/redis-"+r.Node+"/health-checks", "checks of "+r.Node, checks)
	ui.picture("consul-ui-" + ui.when + "-" + r.Node + ".png")
}

// master looks at the check of the name of the master.
func (ui exampleUI) master(check string) {
	ui.t.Helper()
	ui.checks("redis-master/instances/redis-master/redis-master/health-checks", "the name of the master", []string{check})
	ui.picture("consul-ui-" + ui.when + "-redis-master.png")
}

// exampleChecks finds the checks of a page: name, status and output, as the page draws them.
const exampleChecks = `[...document.querySelectorAll('.health-check-output')].map(check => [
	check.querySelector('h2, h3').innerText,
	['passing', 'warning', 'critical'].filter(status => check.classList.contains(status)).join(),
	check.querySelector('pre').innerText.trim(),
].join('|')).join('\n')`

func (ui exampleUI) checks(path, what string, checks []string) {
	ui.t.Helper()
	ui.open(ui.url(path), 1400)
	ui.sees(what, exampleChecks, func(found string) error {
		for _, want := range checks {
			if !strings.Contains("\n"+found, "\n"+want) {
				return fmt.Errorf("no check is %q", want)
			}
		}
		return nil
	})
}

// exampleBlock is the lines of a text from one that is the head, to the next that begins like another head.
func exampleBlock(text, head, next string) []string {
	lines := strings.Split(text, "\n")
	from := slices.Index(lines, head)
	if from < 0 {
		return nil
	}
	to := slices.IndexFunc(lines[from+1:], func(l string) bool { return strings.HasPrefix(l, next) })
	if to < 0 {
		return lines[from:]
	}
	return lines[from : from+1+to]
}

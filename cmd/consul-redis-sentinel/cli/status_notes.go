package cli

import (
	"strings"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// notes say what an operator should know of, and what is nothing wrong.
func notes(out status, rescued []failover.Rescued) []string {
	say := words{lines: []string{}}
	for _, n := range out.Nodes {
		if n.OnStuck == "leave" {
			say.f("%s is left as it is when it is stuck (on_stuck = \"leave\"): G2 and G5 are best effort there", n.Name)
		}
	}
	for _, r := range rescued {
		say.f("the data of %s were saved before they were discarded, on the machine of agent %s: %s (%s)", r.Node, r.Agent, r.File, r.Why)
	}
	return say.lines
}

// sayStuck says that a server cannot be killed, as its agent is told to.
func sayStuck(say *words, n nodeStatus) {
	if why, cannot := strings.CutPrefix(n.OnStuck, "cannot kill: "); cannot {
		say.f("%s cannot be killed when it is stuck, so G2 and G5 are best effort there: %s; run the agent on its machine, as root or as the "+
			"server's user, or set on_stuck = \"leave\"", n.Name, why)
	}
}

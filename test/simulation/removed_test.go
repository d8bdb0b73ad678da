//go:build rulesout

package simulation

import (
	"os"
	"strings"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// removedRule names the rule that a process plays without.
const removedRule = "REMOVED_RULE"

func init() { failover.Removed = failover.Rule(os.Getenv(removedRule)) }

// TestAgentRuleIsNeeded takes the rules of the agents away: random histories must find each of them out.
func TestAgentRuleIsNeeded(t *testing.T) {
	for _, rule := range failover.AgentRules {
		t.Run(string(rule), func(t *testing.T) {
			t.Setenv(removedRule, string(rule))
			_, broken := playShared(t)
			if broken == "" {
				t.Fatalf("%d histories without a violation", *histories)
			}
			for line := range strings.Lines(broken) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "seed ") {
					t.Log(line)
				}
			}
		})
	}
}

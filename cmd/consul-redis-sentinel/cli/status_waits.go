package cli

import (
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/agent"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// waitStatus is something that a group waits for, or that is refused, and which agents say so.
type waitStatus struct {
	Why    string   `json:"why"`
	Agents []string `json:"agents"`
}

// alarm begins what an agent says when the record is not to be trusted.
const alarm = "ALARM: "

// assessWaits reads out of the agents' own checks what the group waits for. An agent that is not known to the group counts as
// well: its entry may be gone with the record.
func assessWaits(group string, agents []catalog.Health) []waitStatus {
	waits := []waitStatus{}
	agents = slices.Clone(agents)
	slices.SortFunc(agents, func(a, b catalog.Health) int { return strings.Compare(a.Meta["agent"], b.Meta["agent"]) })
	for _, h := range agents {
		for _, why := range agent.Waits(troubles(h), group) {
			i := slices.IndexFunc(waits, func(w waitStatus) bool { return w.Why == why })
			if i < 0 {
				i, waits = len(waits), append(waits, waitStatus{Why: why})
			}
			waits[i].Agents = append(waits[i].Agents, h.Meta["agent"])
		}
	}
	slices.SortStableFunc(waits, func(a, b waitStatus) int { return grave(b) - grave(a) })
	return waits
}

func grave(w waitStatus) int {
	if strings.HasPrefix(w.Why, alarm) {
		return 1
	}
	return 0
}

// troubles is the output of a living agent's own check while it is a warning.
func troubles(h catalog.Health) string {
	for _, k := range h.Checks {
		if strings.HasSuffix(k.ID, ":agent") && k.Status == api.HealthWarning && h.Status() != api.HealthCritical {
			return k.Output
		}
	}
	return ""
}

// sayWaits tells each once, with the agents that say it.
func sayWaits(say *words, out status) {
	for _, w := range out.Waits {
		if w.Why != out.Alarm {
			say.f("%s: %s", list(w.Agents), w.Why)
		}
	}
}

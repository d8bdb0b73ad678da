package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// wrong says in words what an operator should know of, the gravest first.
func wrong(s failover.State, out status, health []catalog.Health) []string {
	say := words{lines: []string{}}
	sayRecord(&say, s, out, health)
	sayWaits(&say, out)
	sayOrder(&say, s)
	sayAgents(&say, out)
	for _, n := range out.Nodes {
		sayNode(&say, s, n)
	}
	return say.lines
}

type words struct{ lines []string }

func (w *words) f(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func sayRecord(say *words, s failover.State, out status, health []catalog.Health) {
	r := s.Record
	if out.Alarm != "" {
		say.f("%s", out.Alarm)
	}
	switch {
	case r == nil && out.Alarm != "":
		return
	case r == nil:
		expect := ""
		if s.Settings != nil && s.Settings.BootstrapExpect > 0 {
			expect = fmt.Sprintf(" of %d expected", s.Settings.BootstrapExpect)
		}
		say.f("the group has not been started: %d%s nodes have reported", len(s.Nodes), expect)
		return
	}
	switch r.Phase {
	case failover.Electing:
		say.f("no master since %s: the one after %s is being elected (%s)", ago(out.now, r.Since), r.Master, r.Election.Cause)
	case failover.Steady:
		if _, open := r.Open(); !open {
			say.f("%s is master by the record but has not opened yet", r.Master)
		}
	}
	if s.Settings != nil && s.Settings.Paused {
		say.f("paused: no change of master begins but by order; \"resume %s\" ends that", out.Group)
	}
	for _, a := range out.Agents {
		if v := a.Vote; v != nil && v.Verdict == failover.Down {
			say.f("%s votes %s down: %s", a.Name, v.Master, v.Cause)
		} else if v != nil {
			say.f("%s holds %s for busy: %s", a.Name, v.Master, v.Cause)
		}
	}
	sayMaster(say, r, health)
}

// sayMaster compares the entry that DNS answers with to the record. They are written in one transaction, so nothing
// but a hand in Consul's catalog can part them.
func sayMaster(say *words, r *failover.Record, health []catalog.Health) {
	for _, h := range health {
		if h.Meta["agent"] != "" {
			continue
		}
		if h.Meta["node"] != r.Master || h.Status() == api.HealthCritical && r.Phase == failover.Steady {
			say.f("the service %s in Consul (%s, %s) is not as the record has it", h.Service, h.Meta["node"], h.Status())
		}
		return
	}
	say.f("the master's service is not in Consul's catalog: its name has no answer in DNS")
}

func sayOrder(say *words, s failover.State) {
	switch o := s.Order; {
	case o == nil:
	case o.Refused != "":
		say.f("the %s ordered by %s was refused: %s", o.Kind, o.By, o.Refused)
	default:
		say.f("the %s ordered by %s waits to be taken up", o.Kind, o.By)
	}
}

func sayAgents(say *words, out status) {
	alive, of := 0, map[string]string{}
	for _, a := range out.Agents {
		if a.Alive {
			alive++
			for _, node := range a.Nodes {
				if other := of[node]; other != "" {
					say.f("the agents %s and %s both have a node %s: give one of them another name", other, a.Name, node)
				}
				of[node] = a.Name
			}
			continue
		}
		charge := "it has no vote"
		if len(a.Nodes) > 0 {
			charge = "nobody looks after " + strings.Join(a.Nodes, ", ")
		}
		say.f("agent %s does not run, or not beside its Consul agent: %s", a.Name, charge)
	}
	if alive < out.Quorum.Need {
		say.f("%d agents run and a quorum is %d: a master that fails now is not replaced", alive, out.Quorum.Need)
	}
}

func sayNode(say *words, s failover.State, n nodeStatus) {
	rep := s.Nodes[n.Name]
	if n.Health == "unregistered" {
		say.f("%s is not registered in Consul", n.Name)
	}
	checks := slices.Clone(n.Checks)
	slices.SortStableFunc(checks, func(a, b catalog.CheckHealth) int { return gravity(b) - gravity(a) })
	for _, k := range checks {
		// What the nodes think of the master is told by the votes.
		if k.Status == api.HealthPassing || strings.HasSuffix(k.ID, ":master") {
			continue
		}
		say.f("%s: %s: %s", n.Name, k.Name, strings.TrimSpace(k.Output))
	}
	sayStuck(say, n)
	switch rep.State {
	case failover.StateDead, failover.StateUnknown, failover.StateStray:
		if n.Health == api.HealthPassing {
			say.f("%s is %s", n.Name, rep.State)
		}
	}
	if rep.Ineligible != "" && s.Record != nil && s.Record.Master != n.Name {
		say.f("%s cannot become master: %s", n.Name, rep.Ineligible)
	}
}

func gravity(k catalog.CheckHealth) int {
	switch k.Status {
	case api.HealthCritical:
		return 2
	case api.HealthPassing:
		return 0
	}
	return 1
}

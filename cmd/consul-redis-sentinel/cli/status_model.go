package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// status is everything that the screen of a group shows, and what -json prints.
type status struct {
	Group         string         `json:"group"`
	Epoch         uint64         `json:"epoch"`
	Phase         failover.Phase `json:"phase,omitempty"`
	Since         time.Time      `json:"since,omitzero"`
	Master        string         `json:"master,omitempty"`
	MasterAddress string         `json:"master_address,omitempty"`
	// Alarm says that the record is not to be trusted, empty while it is.
	Alarm string `json:"alarm,omitempty"`
	// Durability is that of the record: what is in force. The settings say what is wanted.
	Durability string             `json:"durability,omitempty"`
	Election   *failover.Election `json:"election,omitempty"`
	Lock       string             `json:"lock,omitempty"`
	Quorum     quorumStatus       `json:"quorum"`
	Settings   *failover.Settings `json:"settings,omitempty"`
	Order      *failover.Order    `json:"order,omitempty"`
	Nodes      []nodeStatus       `json:"nodes"`
	Agents     []agentStatus      `json:"agents"`
	// Waits is what the group waits for by the word of its agents. It stands in Wrong as well.
	Waits []waitStatus `json:"waits"`
	Wrong []string     `json:"wrong"`
	// Notes are what is nothing wrong, and should be known.
	Notes []string `json:"notes"`

	now time.Time
}

type quorumStatus struct {
	Need   int `json:"need"`
	Agents int `json:"agents"`
	Down   int `json:"down"`
}

type nodeStatus struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	State   string `json:"state"`
	Address string `json:"address"`
	// Health is that of the worst check, "unregistered" when Consul does not have the node.
	Health string `json:"health"`
	// Replication is the line of its replication check: the lag of a replica.
	Replication string `json:"replication"`
	Agent       string `json:"agent"`
	AgentAlive  bool   `json:"agent_alive"`
	RunID       string `json:"run_id,omitempty"`
	// Keys and Position are what data its server has, as last reported: up to date of one that is frozen.
	Keys     int64             `json:"keys"`
	Position failover.Position `json:"position,omitzero"`
	// OnStuck is what its agent does when it does not confirm that it is frozen: "kill", "leave", or why it cannot kill it.
	OnStuck string `json:"on_stuck,omitempty"`
	// Counted tells whether a replica's data may be chosen for a new master by the record.
	Counted bool                  `json:"counted"`
	Checks  []catalog.CheckHealth `json:"checks"`
}

type agentStatus struct {
	Name    string         `json:"name"`
	Machine string         `json:"machine,omitempty"`
	Version string         `json:"version,omitempty"`
	Alive   bool           `json:"alive"`
	Nodes   []string       `json:"nodes,omitempty"`
	Vote    *failover.Vote `json:"vote,omitempty"`
}

type statuses []status

// fingerprint is the same as long as nothing changed that a person would want to see; measured times and lags change
// all the time.
func (all statuses) fingerprint() string {
	var b strings.Builder
	for _, s := range all {
		s.Nodes = slices.Clone(s.Nodes)
		for i := range s.Nodes {
			n := &s.Nodes[i]
			n.Replication, n.Checks, n.Keys, n.Position = "", nil, 0, failover.Position{}
		}
		text, _ := json.Marshal(s)
		b.Write(text)
	}
	return b.String()
}

// assess puts together what Consul has of a group. It is a function of its arguments alone.
func assess(group string, s failover.State, health, agents []catalog.Health, rescued []failover.Rescued, now time.Time) status {
	tally := failover.Count(s)
	out := status{
		Group: group, Lock: s.Leader, Settings: s.Settings, Order: s.Order, now: now,
		Quorum: quorumStatus{Need: tally.Need, Agents: tally.Known, Down: len(tally.Down)},
		Nodes:  []nodeStatus{}, Agents: []agentStatus{}, Waits: assessWaits(group, agents), Alarm: s.Alarm(0),
	}
	if w := out.Waits; out.Alarm == "" && len(w) > 0 && grave(w[0]) > 0 {
		out.Alarm = w[0].Why // no report says it yet
	}
	if r := s.Record; r != nil {
		out.Epoch, out.Phase, out.Since, out.Durability, out.Election = r.Epoch, r.Phase, r.Since, r.Durability, r.Election
		out.Master, out.MasterAddress = r.Master, r.Address
	}
	registered := byAgent(agents)
	for _, name := range slices.Sorted(maps.Keys(s.Agents)) {
		out.Agents = append(out.Agents, assessAgent(s, name, registered))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		out.Nodes = append(out.Nodes, assessNode(s, name, health, registered))
	}
	slices.SortStableFunc(out.Nodes, func(a, b nodeStatus) int { // the master first
		return rank(a.Role) - rank(b.Role)
	})
	out.Wrong, out.Notes = wrong(s, out, health), notes(out, rescued)
	return out
}

func rank(role string) int {
	if role == "master" {
		return 0
	}
	return 1
}

// byAgent are the registered agents by name.
func byAgent(agents []catalog.Health) map[string]catalog.Health {
	all := map[string]catalog.Health{}
	for _, h := range agents {
		all[h.Meta["agent"]] = h
	}
	return all
}

// runs tells whether an agent is registered, and what it says is not out of date.
func runs(registered map[string]catalog.Health, agent string) bool {
	h, ok := registered[agent]
	return ok && h.Status() != api.HealthCritical
}

func assessAgent(s failover.State, name string, registered map[string]catalog.Health) agentStatus {
	info := s.Agents[name]
	a := agentStatus{Name: name, Version: info.Version, Nodes: info.Nodes, Alive: runs(registered, name), Machine: registered[name].Machine}
	if v, ok := s.Votes[name]; ok && s.Record != nil && v.Epoch == s.Record.Epoch && v.Verdict != "" {
		a.Vote = &v
	}
	return a
}

func assessNode(s failover.State, name string, health []catalog.Health, registered map[string]catalog.Health) nodeStatus {
	rep := s.Nodes[name]
	n := nodeStatus{Name: name, State: string(rep.State), Address: rep.Address, Agent: rep.Agent, RunID: rep.RunID,
		Keys: rep.Keys, Position: rep.Position,
		AgentAlive: runs(registered, rep.Agent), Health: "unregistered", Checks: []catalog.CheckHealth{}}
	if r := s.Record; r != nil {
		n.Role = "replica"
		if r.Master == name && r.Phase == failover.Steady {
			n.Role = "master"
		}
		member, ok := r.Eligible[name]
		n.Counted = r.Master == name || ok && member.RunID != "" && member.RunID == rep.RunID
	}
	if h, ok := nodeHealth(name, health); ok {
		n.Health, n.Checks, n.OnStuck = h.Status(), h.Checks, h.Meta["on_stuck"]
		for _, k := range h.Checks {
			if strings.HasSuffix(k.ID, ":replication") {
				n.Replication = k.Output
			}
		}
	}
	return n
}

// nodeHealth finds the service of a node itself. The services of its replica and of the master carry the node's name
// too: the replica's has but one check of ours, the master's is on no agent.
func nodeHealth(name string, health []catalog.Health) (catalog.Health, bool) {
	for _, h := range health {
		if h.Meta["node"] != name || h.Meta["agent"] == "" {
			continue
		}
		if slices.ContainsFunc(h.Checks, func(k catalog.CheckHealth) bool { return strings.HasSuffix(k.ID, ":alive") }) {
			return h, true
		}
	}
	return catalog.Health{}, false
}

package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// healthy is a group of three that nothing is wrong with.
func healthy() (failover.State, []catalog.Health, []catalog.Health) {
	s := failover.State{
		Record: &failover.Record{
			Epoch: 7, Phase: failover.Steady, Master: "redis-b", Address: "10.0.0.2:6379", RunID: "run-b",
			Durability: failover.DurabilityNone, Eligible: map[string]failover.Member{"redis-a": {RunID: "run-a"}, "redis-c": {RunID: "run-c"}},
			Lineage: []failover.Opening{{Epoch: 7, ReplID: "x", Offset: 9}}, Since: now.Add(-192 * time.Second),
		},
		Settings: &failover.Settings{Quorum: 2, DownAfter: failover.Duration(5 * time.Second), FenceAfter: failover.Duration(3 * time.Second)},
		Votes:    map[string]failover.Vote{}, Nodes: map[string]failover.Report{}, Agents: map[string]failover.AgentInfo{},
	}
	var health, agents []catalog.Health
	for i, letter := range []string{"a", "b", "c"} {
		node, agent, machine := "redis-"+letter, "agent-"+letter, "web-"+letter
		address := "10.0.0." + string(rune('1'+i))
		state, line := failover.StateFollowing, "follows redis-b (10.0.0.2:6379), 0 bytes behind, heard 0s ago"
		if letter == "b" {
			state, line = failover.StateOpen, "master of epoch 7 with 2 replicas"
		}
		s.Nodes[node] = failover.Report{Node: node, Agent: agent, Address: address + ":6379", RunID: "run-" + letter, State: state,
			Keys: 1200, Position: failover.Position{ReplID: "8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb", Offset: 90412}}
		s.Agents[agent] = failover.AgentInfo{Agent: agent, Version: "0.1.0", Nodes: []string{node}}
		agents = append(agents, catalog.Health{Machine: machine, Meta: map[string]string{"agent": agent},
			Checks: []catalog.CheckHealth{{ID: "redis-sentinel-" + agent + ":agent", Status: "passing",
				Output: "redis: epoch 7, master redis-b | sessions: epoch 1, master sessions-a"}}})
		health = append(health, catalog.Health{Service: "redis", ID: "redis-" + node, Machine: machine,
			Meta: map[string]string{"group": "redis", "node": node, "agent": agent, "on_stuck": "kill"},
			Checks: []catalog.CheckHealth{
				{ID: "redis-" + node + ":alive", Name: "alive", Status: "passing", Output: "PONG in 0.1ms"},
				{ID: "redis-" + node + ":replication", Name: "replication", Status: "passing", Output: line},
			}})
	}
	health = append(health, catalog.Health{Service: "redis-master", Meta: map[string]string{"group": "redis", "node": "redis-b"},
		Checks: []catalog.CheckHealth{{ID: "redis-master:record", Status: "passing"}}})
	return s, health, agents
}

func screen(s failover.State, health, agents []catalog.Health) string {
	var b bytes.Buffer
	assess("redis", s, health, agents, nil, now).print(&b)
	return b.String()
}

func TestStatusOfAHealthyGroup(t *testing.T) {
	golden(t, "status-healthy.txt", screen(healthy()))
}

func TestStatusOfAnElection(t *testing.T) {
	s, health, agents := healthy()
	s.Record.Phase, s.Leader = failover.Electing, "agent-a"
	s.Record.Election = &failover.Election{Kind: failover.ForFailure, Leader: "agent-a", Cause: "connection refused"}
	s.Record.Since = now.Add(-40 * time.Millisecond)
	s.Votes["agent-a"] = failover.Vote{Epoch: 7, Master: "redis-b", Verdict: failover.Down, Evidence: failover.Gone,
		Cause: "connection refused", Since: now.Add(-50 * time.Millisecond)}
	rep := s.Nodes["redis-b"]
	rep.State = failover.StateDead
	s.Nodes["redis-b"] = rep
	health[1].Checks[0] = catalog.CheckHealth{ID: "redis-redis-b:alive", Name: "alive", Status: "critical", Output: "connection refused: nothing listens"}
	health[3].Checks[0].Status = "critical"
	golden(t, "status-electing.txt", screen(s, health, agents))
}

// TestWhatIsWrongIsSaid changes one thing of a healthy group at a time.
func TestWhatIsWrongIsSaid(t *testing.T) {
	type group struct {
		failover.State
		health, agents []catalog.Health
	}
	waits := func(g *group, agent int, line string) {
		g.agents[agent].Checks[0].Status, g.agents[agent].Checks[0].Output = "warning", line
	}
	const lost = "ALARM: the record is gone, and epoch 7 was seen: nothing is done until an operator rules (rescue record)"
	for _, c := range []struct {
		name   string
		change func(*group)
		want   string
	}{
		{"not started", func(g *group) { g.Record = nil; g.Settings.BootstrapExpect = 5 },
			"the group has not been started: 3 of 5 expected nodes have reported"},
		{"not open yet", func(g *group) { g.Record.Lineage = nil }, "redis-b is master by the record but has not opened yet"},
		{"paused", func(g *group) { g.Settings.Paused = true }, `paused: no change of master begins but by order; "resume redis" ends that`},
		{"a vote", func(g *group) {
			g.Votes["agent-c"] = failover.Vote{Epoch: 7, Master: "redis-b", Verdict: failover.Down, Cause: "no reply for 5s"}
		}, "agent-c votes redis-b down: no reply for 5s"},
		{"a veto", func(g *group) {
			g.Votes["agent-b"] = failover.Vote{Epoch: 7, Master: "redis-b", Verdict: failover.Busy, Cause: "a long command"}
		}, "agent-b holds redis-b for busy: a long command"},
		{"an order", func(g *group) { g.Order = &failover.Order{Kind: failover.OrderFailover, By: "joe@x"} },
			"the failover ordered by joe@x waits to be taken up"},
		{"a refused order", func(g *group) { g.Order = &failover.Order{Kind: failover.OrderFailover, By: "joe@x", Refused: "no"} },
			"the failover ordered by joe@x was refused: no"},
		{"an agent is dead", func(g *group) { g.agents[2].Checks[0].Status = "critical" },
			"agent agent-c does not run, or not beside its Consul agent: nobody looks after redis-c"},
		{"two agents have one node", func(g *group) {
			g.Agents["agent-c"] = failover.AgentInfo{Agent: "agent-c", Nodes: []string{"redis-a", "redis-c"}}
		},
			"the agents agent-a and agent-c both have a node redis-a: give one of them another name"},
		{"a witness is dead", func(g *group) { g.Agents["agent-w"] = failover.AgentInfo{Agent: "agent-w"} },
			"agent agent-w does not run, or not beside its Consul agent: it has no vote"},
		{"too few agents", func(g *group) { g.agents = g.agents[:1] },
			"1 agents run and a quorum is 2: a master that fails now is not replaced"},
		{"a check", func(g *group) {
			g.health[2].Checks[1].Status, g.health[2].Checks[1].Output = "warning", "link to the master is down for 3s"
		}, "redis-c: replication: link to the master is down for 3s"},
		{"not registered", func(g *group) { g.health = g.health[1:] }, "redis-a is not registered in Consul"},
		{"not eligible", func(g *group) {
			r := g.Nodes["redis-a"]
			r.Ineligible = "priority 0"
			g.Nodes["redis-a"] = r
		}, "redis-a cannot become master: priority 0"},
		{"stray", func(g *group) {
			r := g.Nodes["redis-a"]
			r.State = failover.StateStray
			g.Nodes["redis-a"] = r
		}, "redis-a is stray"},
		{"no entry of the master", func(g *group) { g.health = g.health[:3] },
			"the master's service is not in Consul's catalog: its name has no answer in DNS"},
		{"another entry of the master", func(g *group) { g.health[3].Meta["node"] = "redis-a" },
			"the service redis-master in Consul (redis-a, passing) is not as the record has it"},
		{"a wait", func(g *group) { waits(g, 1, "redis: epoch 7, master redis-b · redis-b has no lease") },
			"agent-b: redis-b has no lease"},
		{"one wait of two agents", func(g *group) {
			waits(g, 0, "redis: epoch 7, electing (gone), led by agent-a · nobody can be chosen: redis-a: durability wait:1 needs the reports of 2 of the 2 "+
				"other nodes, 1 are here; redis-c: it is dead | sessions: epoch 1, master sessions-a")
			waits(g, 2, "sessions: the group has not been started · something else | redis: epoch 7, electing (gone), led by agent-a · agent agent-a leads · "+
				"nobody can be chosen: redis-a: durability wait:1 needs the reports of 2 of the 2 other nodes, 1 are here; redis-c: it is dead")
		}, "agent-a, agent-c: nobody can be chosen: redis-a: durability wait:1 needs the reports of 2 of the 2 other nodes, 1 are here; redis-c: it is dead"},
		{"the record is gone", func(g *group) {
			g.Record = nil
			waits(g, 0, "redis: there is no record · "+lost)
			waits(g, 1, "redis: there is no record · "+lost)
		}, lost},
		{"the record is gone, by a report", func(g *group) {
			g.Record = nil
			r := g.Nodes["redis-a"]
			r.Highest = 7
			g.Nodes["redis-a"] = r
		}, lost},
		{"the record went back", func(g *group) {
			r := g.Nodes["redis-a"]
			r.Highest = 9
			g.Nodes["redis-a"] = r
		}, "ALARM: the record says epoch 7, and epoch 9 was seen: nothing is done until an operator rules (rescue record)"},
		{"a server that cannot be killed", func(g *group) { g.health[0].Meta["on_stuck"] = "cannot kill: process 7: operation not permitted" },
			"redis-a cannot be killed when it is stuck, so G2 and G5 are best effort there: process 7: operation not permitted; run the agent on its machine, " +
				"as root or as the server's user, or set on_stuck = \"leave\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var g group
			g.State, g.health, g.agents = healthy()
			c.change(&g)
			got := assess("redis", g.State, g.health, g.agents, nil, now).Wrong
			said := 0
			for _, line := range got {
				if line == c.want {
					said++
				}
				if g.Record == nil && strings.HasPrefix(c.want, "ALARM") && strings.Contains(line, "has not been started") {
					t.Errorf("it says that nothing was started:\n%s", line)
				}
			}
			if said != 1 {
				t.Errorf("said %d times; got:\n%s\nwant:\n%s", said, strings.Join(got, "\n"), c.want)
			}
		})
	}
}

// What a dead agent waited for is not told, and what no agent warns of is none.
func TestWaitsAreThoseOfLivingAgents(t *testing.T) {
	s, health, agents := healthy()
	agents[0].Checks[0].Output = "redis: epoch 7, master redis-b · something"
	agents[1].Checks = []catalog.CheckHealth{{ID: "redis-sentinel-agent-b:agent", Status: "warning", Output: "redis: epoch 7, master redis-b · something else"},
		{ID: "serfHealth", Status: "critical"}}
	if got := assess("redis", s, health, agents, nil, now).Waits; len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// What is nothing wrong and should be known is told apart from what is wrong.
func TestNotes(t *testing.T) {
	s, health, agents := healthy()
	health[0].Meta["on_stuck"] = "leave"
	s.Settings.Durability = "wait:1"
	var b bytes.Buffer
	assess("redis", s, health, agents, []failover.Rescued{{Node: "redis-c", Agent: "agent-c", File: "/rescue/redis+redis-c+7+run.rdb",
		Why: "it has 120 bytes that the group's history does not have"}}, now).print(&b)
	golden(t, "status-notes.txt", b.String())
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 40 * time.Millisecond: "40ms", 1500 * time.Millisecond: "1.5s",
		192 * time.Second: "3m12s", 5*time.Hour + time.Minute: "5h01m", 75 * time.Hour: "3d3h",
	} {
		if got := ago(now, now.Add(-d)); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

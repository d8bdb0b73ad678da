package failover

import (
	"fmt"
	"slices"
	"strings"
)

// start is what is done before there is a record: report the own nodes, and once the expected nodes have
// reported, one agent creates the record under the lock. Nothing is touched until then.
func (v *View) start(d *Decision) {
	for i := range v.Local {
		v.report(d, &v.Local[i])
	}
	first, why := Start(v.State)
	switch {
	case first == nil:
		if v.leads() {
			d.do(ReleaseLock{why})
		}
		d.wait("the group is not started: %s", why)
	case !v.Session:
		d.wait("the group is not started: this agent has no Consul session yet")
	case v.local(first.Master) == nil:
		// Its agent is to know of the record, and so that it is to be closed when another is elected.
		if v.leads() {
			d.do(ReleaseLock{"another agent starts the group"})
		}
		d.wait("the group is not started: agent %s does that; if it is gone, name another master: consul-redis-sentinel bootstrap GROUP -master NODE",
			v.State.Nodes[first.Master].Agent)
	case v.lock(d, "starts the group"):
		first.Since, first.FenceAfter = v.Wall, v.Settings().FenceAfter
		order := uint64(0)
		if v.State.Order != nil {
			order = v.State.OrderIndex
		}
		d.do(Create{Record: first, Order: order, Why: why})
	}
}

// Start makes the first record of a group from what its nodes report, or says why it cannot be made. A working
// replication topology is adopted as it is. Otherwise the nodes that hold data must have one history between
// them: the one of them that is farthest becomes master, or the first by name when all are empty. Where
// nodes hold different data, only an operator can decide.
func Start(s State) (*Record, string) {
	var nodes []Report
	for _, rep := range s.Nodes {
		nodes = append(nodes, rep)
	}
	slices.SortFunc(nodes, func(a, b Report) int { return strings.Compare(a.Node, b.Node) })
	if why := notReady(s, nodes); why != "" {
		return nil, why
	}
	if o := s.Order; o != nil && o.Kind == OrderBootstrap {
		if rep, ok := s.Nodes[o.Target]; ok {
			return firstRecord(rep, nodes), "ordered by " + o.By
		}
		return nil, fmt.Sprintf("bootstrap names %q, which is no node of this group", o.Target)
	}
	master, why := firstMaster(nodes)
	if master == nil {
		return nil, why
	}
	return firstRecord(*master, nodes), why
}

// notReady says which nodes have yet to report.
func notReady(s State, nodes []Report) string {
	if s.Settings == nil {
		return "no agent has written the group's settings yet" // which say how many nodes are expected
	}
	want := max(1, s.Settings.BootstrapExpect)
	if s.Settings.BootstrapExpect == 0 {
		want = max(want, s.Settings.Quorum)
	}
	if len(nodes) < want {
		return fmt.Sprintf("%d of %d nodes have reported", len(nodes), want)
	}
	for _, a := range s.Agents {
		for _, name := range a.Nodes {
			if _, ok := s.Nodes[name]; !ok {
				return fmt.Sprintf("%s of agent %s has not reported", name, a.Agent)
			}
		}
	}
	for _, n := range nodes {
		if n.State == StateUnknown || n.State == StateLoading || n.State == StateDead || n.RunID == "" {
			return fmt.Sprintf("%s is %s", n.Node, n.State)
		}
	}
	return ""
}

func firstMaster(nodes []Report) (*Report, string) {
	var data []*Report
	for i := range nodes {
		if nodes[i].Keys > 0 {
			data = append(data, &nodes[i])
		}
	}
	// The nodes that follow another one of the group show which is its master today.
	var heads []*Report
	for i := range nodes {
		n := &nodes[i]
		led := func(o Report) bool { return o.Master == n.Address && o.Node != n.Node }
		if n.State == StateOpen && slices.ContainsFunc(nodes, led) {
			heads = append(heads, n)
		}
	}
	if len(heads) == 1 {
		head := heads[0]
		for _, n := range data {
			if n.Master != head.Address && !related(*n, *head) {
				return nil, differentData([]*Report{head, n})
			}
		}
		return head, fmt.Sprintf("%s is the master of the replication that was found", head.Node)
	}
	for _, n := range data[min(1, len(data)):] {
		if !related(*n, *data[0]) {
			return nil, differentData(data)
		}
	}
	elsewhere := followsElsewhere(nodes)
	switch {
	case len(data) > 0:
		best := slices.MaxFunc(data, func(a, b *Report) int {
			if a.State == StateOpen != (b.State == StateOpen) {
				return boolFirst(b.State == StateOpen, a.State == StateOpen)
			}
			return int(max(-1, min(1, a.Position.Offset-b.Position.Offset)))
		})
		if best.State != StateOpen && elsewhere != "" {
			return nil, elsewhere
		}
		return best, fmt.Sprintf("%s holds the data", best.Node)
	case elsewhere != "":
		return nil, elsewhere
	default:
		for i := range nodes {
			if nodes[i].Priority != 0 {
				return &nodes[i], "all nodes are empty; it is the first by name"
			}
		}
		return nil, "every node has priority 0"
	}
}

// followsElsewhere names a node that follows a living master which has not reported: that one would go on taking writes beside the
// one that is made.
func followsElsewhere(nodes []Report) string {
	for _, n := range nodes {
		reported := slices.ContainsFunc(nodes, func(o Report) bool { return o.Address == n.Master })
		if n.State == StateFollowing && !reported {
			return fmt.Sprintf("%s follows %s, which no agent has reported: start the agent there, or name the node to begin with: "+
				"consul-redis-sentinel bootstrap GROUP -master NODE", n.Node, n.Master)
		}
	}
	return ""
}

func differentData(data []*Report) string {
	var names []string
	for _, n := range data {
		names = append(names, fmt.Sprintf("%s (%d keys)", n.Node, n.Keys))
	}
	return fmt.Sprintf("several nodes hold different data: %s; nothing is touched until an operator names the one to keep: "+
		"consul-redis-sentinel bootstrap GROUP -master NODE", strings.Join(names, ", "))
}

// related tells whether two servers share a history, so that one of them has all that the other has.
func related(a, b Report) bool {
	p, q := a.Position, b.Position
	return p.ReplID != "" && p.ReplID == q.ReplID || goesOn(p, q) || goesOn(q, p)
}

// goesOn tells whether a history goes on from another, and from no place before its end.
func goesOn(p, from Position) bool {
	return from.ReplID != "" && from.ReplID == p.ReplID2 && from.Offset <= p.Offset2
}

func firstRecord(master Report, nodes []Report) *Record {
	r := &Record{
		Epoch: 1, Phase: Steady, Master: master.Node, RunID: master.RunID, Agent: master.Agent, Address: master.Address,
		Eligible: map[string]Member{}, Durability: "none",
	}
	// The history that the master brings is known from its beginning, before the first epoch.
	r.Lineage = []Opening{{Epoch: 0, ReplID: master.Position.ReplID}}
	for _, n := range nodes {
		if n.Node != master.Node && (n.Keys == 0 || n.Master == master.Address || related(n, master)) {
			r.Eligible[n.Node] = Member{}
		}
	}
	return r
}

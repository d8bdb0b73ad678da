package agent

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/checks"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Tags of the node service.
const (
	tagMaster  = "master"
	tagReplica = "replica"
)

// serviceNames are the Consul services of a group.
type serviceNames struct {
	node, master, replica string
	tags                  []string
}

// externalNode is the Consul node that holds the redis-master entry. No Consul agent owns it, so no
// anti-entropy can bring a stale master back.
func (s serviceNames) externalNode() string { return s.master }

// nodeID is the id of a node's service.
func (s serviceNames) nodeID(node string) string    { return s.node + "-" + node }
func (s serviceNames) replicaID(node string) string { return s.replica + "-" + node }

// nodeServices is how a node appears in Consul.
type nodeServices struct {
	tags   []string
	meta   map[string]string
	limits limits
}

// limits are the thresholds of a node's checks.
type limits struct {
	alive       checks.LatencyLimits
	replication checks.ReplicationLimits
	persistence checks.PersistenceLimits
	memory      checks.ShareLimits
	clients     checks.ShareLimits
}

// entry is the redis-master service as the record has it.
func (g *group) entry(r *failover.Record) catalog.MasterEntry {
	host, port := splitAddress(r.Address)
	e := catalog.MasterEntry{
		Service: g.names.master, Node: g.names.externalNode(), Address: host, Port: port,
		Meta: map[string]string{
			"group": g.name, "node": r.Master, "run_id": r.RunID, catalog.MetaEpoch: strconv.FormatUint(r.Epoch, 10),
		},
		Status: "passing", Output: fmt.Sprintf("%s at %s is master since epoch %d", r.Master, r.Address, r.Epoch),
	}
	if r.Phase == failover.Electing {
		e.Status = "critical"
		e.Output = fmt.Sprintf("no master: the one after %s of epoch %d is being elected (%s)", r.Master, r.Epoch, r.Election.Cause)
	}
	return e
}

// services are what a node's Consul agent should have registered now.
func (g *group) services(n *node) []catalog.Service {
	host, port := splitAddress(n.address)
	role := g.role(n)
	meta := maps.Clone(n.service.meta)
	if meta == nil {
		meta = map[string]string{}
	}
	maps.Copy(meta, map[string]string{"group": g.name, "node": n.name, "driver": n.driver,
		"run_id": n.info.RunID, "version": n.info.Version, "on_stuck": n.onStuck()})
	if r := g.view.State.Record; r != nil {
		meta[catalog.MetaEpoch] = strconv.FormatUint(r.Epoch, 10)
	}
	tags := slices.Concat(g.names.tags, n.service.tags)
	if role != "" {
		tags = append([]string{role}, tags...)
	}
	id := g.names.nodeID(n.name)
	main := catalog.Service{ID: id, Name: g.names.node, Tags: tags, Address: host, Port: port, Meta: meta}
	for _, c := range nodeChecks {
		main.Checks = append(main.Checks, catalog.Check{ID: id + ":" + c.id, Name: c.name, TTL: c.ttl})
	}
	if role == tagMaster {
		main.Checks[0].TTL = masterTTL // of "alive"
	}
	list := []catalog.Service{main}
	// The replica's own service is not registered while the other is in maintenance: if it came later, it would not be.
	if role == tagReplica && !n.drained {
		id := g.names.replicaID(n.name)
		list = append(list, catalog.Service{ID: id, Name: g.names.replica, Tags: tags, Address: host, Port: port, Meta: meta,
			Checks: []catalog.Check{{ID: id + ":readable", Name: checks.NameReadable}}})
	}
	return list
}

// role is the tag that a node has earned: master only while it is open under its lease, and once no other node
// has the tag and passes.
func (g *group) role(n *node) string {
	switch {
	case g.named(n) && n.info.Open && !n.dead && g.leased(n) && g.tag.free:
		return tagMaster
	case g.view.State.Record != nil && !g.named(n) && n.info.RunID != "":
		return tagReplica
	}
	return ""
}

func (g *group) named(n *node) bool {
	r := g.view.State.Record
	return r != nil && r.Phase == failover.Steady && r.Master == n.name
}

const (
	// turnFor is how long a change of master may keep a node from its next role before its checks say so. Most
	// changes take some milliseconds: each check that turned critical and back would cost Raft commits just when
	// the change needs them, and would take every replica out of DNS.
	turnFor = 2 * time.Second
	// holdFor is how long checks hold their breath when the master goes down, for the same reason: there are six
	// for each node, and the votes come first.
	holdFor = 250 * time.Millisecond
	// heldFor is how long a group that has changed masters waits for the changes of others with what it has to tell.
	heldFor = 2 * turnFor
	// lostFor is how long checks keep their word about a server that its driver has lost. A driver that ended is there again
	// in a tenth of a second; with a hundred nodes its end would cost a thousand Raft commits.
	lostFor = turnFor
)

// turning tells whether a node is between two roles, which is not worth telling yet.
func (g *group) turning(n *node) bool {
	v := &g.view
	r := v.State.Record
	switch {
	case r == nil:
		return false
	case g.downSince != 0 && v.Now < g.downSince+v.Crowded(holdFor):
		return true
	case n.dead || v.Now > v.Memory.EpochSeen+turnFor:
		return false
	case r.Phase == failover.Electing:
		return true
	}
	_, open := r.Open()
	arrived := open && (g.named(n) && n.info.Open || !g.named(n) && n.info.LinkUp && n.info.MasterAddress == r.Address)
	return !arrived
}

// changing tells whether the group is in a change of master that may be over in a moment, or about to be.
func (g *group) changing() bool {
	v := &g.view
	r, m := v.State.Record, v.Memory
	if r == nil {
		return false
	}
	if _, open := r.Open(); r.Phase == failover.Steady && open {
		return v.Judgement.Verdict == failover.Down && v.Now < g.downSince+heldFor || m.QuorumSeen > 0 && v.Now < m.QuorumSeen+heldFor
	}
	return v.Now < m.EpochSeen+v.Fence()+turnFor
}

// others is how many groups of a crowd are other ones.
func (g *group) others(crowd *atomic.Int64) int {
	others := int(crowd.Load())
	if g.counts {
		others--
	}
	return others
}

// unseen tells whether nothing is known of a node yet: the driver has not looked at it since the agent started.
func (g *group) unseen(n *node) bool {
	return n.info.RunID == "" && (n.seen.Link == "" || n.seen.Link == plugin.LinkUnknown)
}

func (g *group) leased(n *node) bool {
	v := &g.view
	return v.Now < v.Lease.Until(n.name, n.info.RunID, v.Highest, v.Fence())
}

// quietTTL is the TTL of the checks beside "alive". That one expires first when the agent is gone, and takes the node out of
// DNS; the others would only be refreshed more often.
const quietTTL = 15 * time.Minute

// masterTTL is what "alive" has instead while the node has the tag master. If its agent ends, and there is another master then, that
// waits so long for the tag. Each update costs Consul a file.
const masterTTL = 15 * time.Second

// nodeChecks are the checks of a node, in the order that the Consul UI should show them.
var nodeChecks = []struct {
	id, name string
	ttl      time.Duration
	result   func(*group, *node, checks.Server) checks.Result
}{
	{"alive", checks.NameAlive, catalog.DefaultTTL, func(g *group, n *node, s checks.Server) checks.Result {
		return checks.Alive(s, n.service.limits.alive)
	}},
	{"replication", checks.NameReplication, quietTTL, func(g *group, n *node, s checks.Server) checks.Result {
		r := checks.Replication(s, g.expected(n), n.service.limits.replication)
		if saved := g.rescued(n); saved != "" {
			r.Output += "; " + saved
		}
		return r
	}},
	{"persistence", checks.NamePersistence, quietTTL, func(g *group, n *node, s checks.Server) checks.Result {
		return checks.Persistence(s, n.service.limits.persistence)
	}},
	{"memory", checks.NameMemory, quietTTL, func(g *group, n *node, s checks.Server) checks.Result {
		return checks.Memory(s, n.service.limits.memory)
	}},
	{"clients", checks.NameClients, quietTTL, func(g *group, n *node, s checks.Server) checks.Result {
		return checks.Clients(s, n.service.limits.clients)
	}},
	{"master", checks.NameMaster, quietTTL, func(g *group, n *node, s checks.Server) checks.Result {
		return g.viewOfMaster()
	}},
}

// results are the states of all of a node's checks, by check id.
func (g *group) results(n *node) map[string]checks.Result {
	s := g.server(n)
	all := map[string]checks.Result{}
	for _, c := range nodeChecks {
		all[g.names.nodeID(n.name)+":"+c.id] = c.result(g, n, s)
	}
	all[g.names.replicaID(n.name)+":readable"] = checks.Readable(s, g.expected(n), n.service.limits.replication)
	return all
}

// expected is what the record wants of a node.
func (g *group) expected(n *node) checks.Expected {
	r := g.view.State.Record
	if r == nil {
		return checks.Expected{Epoch: g.view.Highest}
	}
	e := checks.Expected{Role: checks.RoleReplica, Epoch: r.Epoch, Master: r.Master, MasterAddress: r.Address, RunID: r.RunID}
	switch {
	case r.Phase == failover.Electing:
		e.Role, e.Why = checks.RoleNone, r.Election.Cause
	case r.Master == n.name:
		e.Role = checks.RoleMaster
	}
	return e
}

// viewOfMaster is the check that shows this agent's view of the master.
func (g *group) viewOfMaster() checks.Result {
	v := &g.view
	r := v.State.Record
	if r == nil {
		return checks.Result{Name: checks.NameMaster, Status: checks.Warning, Output: g.said}
	}
	tally := failover.Count(v.State)
	w := checks.Watch{
		Node: r.Master, Address: r.Address, Epoch: r.Epoch, View: g.masterView(), Latency: g.masterSeen().Latency,
		Votes: tally.Down, Quorum: tally.Need,
	}
	if r.Phase == failover.Electing {
		w.Electing, w.Cause = true, r.Election.Cause
	}
	switch v.Judgement.Verdict {
	case failover.Busy:
		w.Busy = v.Judgement.Cause
	case failover.Down:
		w.Verdict = checks.Verdict{Down: true, Evidence: checks.Evidence(v.Judgement.Evidence), Cause: v.Judgement.Cause}
	}
	return checks.ViewOfMaster(w)
}

// server is a node's last observation in the words of its checks.
func (g *group) server(n *node) checks.Server {
	o := n.seen
	s := checks.Server{Address: n.address, Link: checks.Link(o.Link), Cause: o.Cause, SilentFor: o.SilentFor,
		Latency: o.Latency, MasterOffset: -1}
	if o.Info == nil {
		return s
	}
	i := n.info
	if r := g.view.State.Record; r != nil && g.nodes[r.Master] != nil && g.nodes[r.Master].info.Open {
		s.MasterOffset = g.nodes[r.Master].info.Position.Offset
	}
	s.Info = &checks.Info{
		RunID: i.RunID, Open: i.Open, Frozen: i.Frozen, MasterAddress: i.MasterAddress, LinkUp: i.LinkUp,
		LinkDownFor: i.LinkDownFor, SyncInProgress: i.SyncInProgress, LastIO: i.LastIO, Offset: i.Position.Offset,
		Replicas: len(i.Replicas), Behind: behind(i), ReplicaReadOnly: i.ReplicaReadOnly, Loading: i.Loading, LoadingETA: i.LoadingETA,
		RDBLastSaveOK: i.RDBLastSaveOK, RDBInProgress: i.RDBInProgress, RDBChanges: i.RDBChanges,
		AOFEnabled: i.AOFEnabled, AOFLastOK: i.AOFLastOK, MemoryUsed: i.MemoryUsed, MemoryMax: i.MemoryMax,
		MemoryPolicy: i.MemoryPolicy, Fragmentation: i.Fragmentation, Clients: i.Clients, ClientsMax: i.ClientsMax,
		BlockedClients: i.BlockedClients,
	}
	if !i.RDBLastSave.IsZero() {
		s.Info.RDBSavedAgo, s.Info.RDBSavedAt = g.view.Wall.Sub(i.RDBLastSave), i.RDBLastSave
	}
	return s
}

// behind is how many bytes the replica of a master has not acknowledged that is farthest behind. Before it has continued or its
// resync is over, a replica has acknowledged nothing.
func behind(i plugin.Info) (most int64) {
	for _, r := range i.Replicas {
		if r.Offset > 0 {
			most = max(most, i.Position.Offset-r.Offset)
		}
	}
	return most
}

// splitAddress splits an address that the configuration has checked.
func splitAddress(address string) (string, int) {
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return host, n
}

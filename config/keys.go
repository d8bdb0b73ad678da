package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// key is one setting of a block: what it is called, what it takes, and where it goes. The reference in
// docs/configuration.md is made from these.
type key[T any] struct {
	name, def, doc string
	to             func(*T) any // a pointer to the field, whose type says what the key takes
}

var agentKeys = []key[Agent]{
	{"name", "the host's name", "names the agent in votes, logs and Consul; unique among the agents", func(a *Agent) any { return &a.Name }},
	{"data_dir", `"/var/lib/consul-redis-sentinel"`, "where the agent keeps what must outlive it: the highest epochs that it has seen, the processes of its servers", func(a *Agent) any { return &a.DataDir }},
	{"listen", "port 8799 at the host of the first node's announce_address; of a witness, none: give it one, such as \"10.0.0.4:8799\"", "where other agents tell this one their votes and reports, and ask it for promises while Consul does not answer; \"off\" for nowhere: a failover takes longer then, and the master freezes without Consul", func(a *Agent) any { return &a.Listen }},
	{"ca_file", "none", "the authority that signed the agents' certificates; with it, agents speak TLS with each other (see above)", func(a *Agent) any { return &a.CAFile }},
	{"cert_file", "none", "this agent's certificate, for the agents' port", func(a *Agent) any { return &a.CertFile }},
	{"key_file", "none", "its key", func(a *Agent) any { return &a.KeyFile }},
	{"rescue_dir", `data_dir + "/rescue"`, "where the data sets of deposed masters are saved that hold what the group does not have", func(a *Agent) any { return &a.RescueDir }},
	{"rescue_keep", `"168h"`, "how long they are kept; \"0s\" is for ever", func(a *Agent) any { return &a.RescueKeep }},
	{"on_agent_loss", `"keep"`, `what becomes of a master whose agent has been gone for fence_after: "keep" leaves it open, "freeze" has the driver freeze it until an agent is back (under systemd it has to outlive the agent: KillMode=process)`, func(a *Agent) any { return &a.OnAgentLoss }},
	{"drain_on_leave", "false", "hand over the masters of this agent before it ends on SIGTERM, within 30 s: give it as long (systemd: TimeoutStopSec)", func(a *Agent) any { return &a.DrainOnLeave }},
	{"log_level", `"info"`, "trace, debug, info, warn or error", func(a *Agent) any { return &a.LogLevel }},
	{"log_json", "false", "log in JSON", func(a *Agent) any { return &a.LogJSON }},
}

var consulKeys = []key[Consul]{
	{"address", "CONSUL_HTTP_ADDR, or 127.0.0.1:8500", "the Consul agent of this machine", func(c *Consul) any { return &c.Address }},
	{"addresses", "[]", "further Consul agents or servers, for reads and writes of KV while the local one does not answer", func(c *Consul) any { return &c.Addresses }},
	{"scheme", "http", "http or https", func(c *Consul) any { return &c.Scheme }},
	{"token", "CONSUL_HTTP_TOKEN", "the ACL token; a secret, better kept in token_file", func(c *Consul) any { return &c.Token }},
	{"token_file", "CONSUL_HTTP_TOKEN_FILE", "a file that holds the token", func(c *Consul) any { return &c.TokenFile }},
	{"ca_file", "CONSUL_CACERT", "the authority that signed Consul's certificate", func(c *Consul) any { return &c.CAFile }},
	{"cert_file", "CONSUL_CLIENT_CERT", "the client certificate", func(c *Consul) any { return &c.CertFile }},
	{"key_file", "CONSUL_CLIENT_KEY", "the key of the client certificate", func(c *Consul) any { return &c.KeyFile }},
	{"datacenter", "the agent's", "the datacenter", func(c *Consul) any { return &c.Datacenter }},
	{"namespace", "CONSUL_NAMESPACE", "the namespace (Consul Enterprise)", func(c *Consul) any { return &c.Namespace }},
	{"partition", "CONSUL_PARTITION", "the admin partition (Consul Enterprise)", func(c *Consul) any { return &c.Partition }},
	{"kv_prefix", `"redis-sentinel/"`, "where the state of the groups stands in KV; the same for all agents", func(c *Consul) any { return &c.KVPrefix }},
}

var groupKeys = []key[Group]{
	{"quorum", "a majority of the known agents", "*shared* · how many agents must report the master down", func(g *Group) any { return &g.Quorum }},
	{"down_after", `"5s"`, "*shared* · how long the master may give no reply at all; at least 50ms", func(g *Group) any { return &g.DownAfter }},
	{"busy_after", `"15s"`, "*shared* · how long the master's own agent vetoes while the server runs but is busy; no less than down_after", func(g *Group) any { return &g.BusyAfter }},
	{"fence_after", `"3s"`, "*shared* · the lease: a master that cannot confirm the record in Consul for so long, nor has the promises of all members' agents, stops taking writes; at least 200ms", func(g *Group) any { return &g.FenceAfter }},
	{"failover_timeout", `"30s"`, "*shared* · two limits. When nobody is left but servers that were restarted and have not caught up since, how long a better one is waited for (for ever with wait:k). After the change, how long the leader waits until the replicas follow; at least 1s", func(g *Group) any { return &g.FailoverTimeout }},
	{"parallel_syncs", "1", "*shared* · how many replicas may be in a full resync at a time", func(g *Group) any { return &g.ParallelSyncs }},
	{"bootstrap_expect", "the quorum if it is set, else 1", "*shared* · how many nodes must have reported before the group is started for the first time", func(g *Group) any { return &g.BootstrapExpect }},
	{"durability", `"none"`, `*shared* · "none", or "wait:k": no write that WAIT k acknowledged is lost in a change of master; it rather waits for replicas, or an operator`, func(g *Group) any { return &g.Durability }},
	{"cooldown", `"10s"`, "*shared* · how long after a failover a second one for the same reason (silent, or not serving) is held back; each repetition doubles it, up to a minute; a server that is gone is replaced at once, unless it is the one that was master before and was chosen again; \"0s\" is off", func(g *Group) any { return &g.Cooldown }},
	{"on_stuck", `"kill"`, `what is done with a master that does not confirm that it is frozen: "kill" its process, or "leave" it and its clients to their fate`, func(g *Group) any { return &g.OnStuck }},
	{"min_replicas_to_write", "the server's own", "a master takes no write while fewer replicas are connected (Redis: `min-replicas-to-write`): the agent sets it on its nodes in each run, after it has noted the server's own value, which it sets again when this line is gone", func(g *Group) any { return &g.MinReplicasToWrite }},
	{"service", "the group's name", "the Consul service of the nodes; like master_service and replica_service, the same on all agents of the group, witnesses too, which nobody checks", func(g *Group) any { return &g.Service }},
	{"tags", "[]", "further tags of that service", func(g *Group) any { return &g.Tags }},
	{"master_service", `service + "-master"`, "the Consul service that is the master", func(g *Group) any { return &g.MasterService }},
	{"replica_service", `service + "-replica"`, "the Consul service of the replicas that are fit to serve reads", func(g *Group) any { return &g.ReplicaService }},
}

var nodeKeys = []key[Node]{
	{"group", "required", "the group that the node belongs to", func(n *Node) any { return &n.Group }},
	{"address", "required", "where the agent reaches the server, such as \"10.0.0.1:6379\"", func(n *Node) any { return &n.Address }},
	{"announce_address", "address", "where clients, replicas and other agents reach it", func(n *Node) any { return &n.AnnounceAddress }},
	{"driver", `"redis"`, "the driver: a built-in one, or the name of a driver block", func(n *Node) any { return &n.Driver }},
	{"username", "the default user", "the Redis ACL user", func(n *Node) any { return &n.Username }},
	{"password", "none", "its password; a secret, better kept in password_file", func(n *Node) any { return &n.Password }},
	{"password_file", "none", "a file that holds the password", func(n *Node) any { return &n.PasswordFile }},
	{"priority", "100", "among equally advanced nodes the lower number becomes master; 0 does not stay master", func(n *Node) any { return &n.Priority }},
	{"zone", "none", "nodes in the zone of the old master are preferred", func(n *Node) any { return &n.Zone }},
	{"tags", "[]", "further tags of the node's services", func(n *Node) any { return &n.Tags }},
	{"meta", "{}", "further metadata of the node's services", func(n *Node) any { return &n.Meta }},
}

var tlsKeys = []key[TLS]{
	{"ca_file", "the system's", "the authority that signed the server's certificate", func(t *TLS) any { return &t.CAFile }},
	{"cert_file", "none", "the client certificate", func(t *TLS) any { return &t.CertFile }},
	{"key_file", "none", "its key", func(t *TLS) any { return &t.KeyFile }},
	{"server_name", "the address", "the name that the certificate must have", func(t *TLS) any { return &t.ServerName }},
	{"insecure_skip_verify", "false", "do not look at the certificate", func(t *TLS) any { return &t.InsecureSkipVerify }},
}

var driverKeys = []key[Driver]{
	{"command", "required", "the program and its arguments; a bare name is looked for in plugin_dir", func(d *Driver) any { return &d.Command }},
	{"sha256", "none", "the checksum that the program must have", func(d *Driver) any { return &d.SHA256 }},
}

// checkKeys are the thresholds of each check block.
var checkKeys = map[string][]key[Checks]{
	"alive": {
		{"warning", `"100ms"`, "latency of PING", func(c *Checks) any { return &c.Alive.Warning }},
		{"critical", `"1s"`, "latency of PING", func(c *Checks) any { return &c.Alive.Critical }},
	},
	"replication": {
		{"warning", `"20s"`, "time since the master was heard", func(c *Checks) any { return &c.Replication.Warning }},
		{"critical", `"1m"`, "time since the master was heard; the replica is then not read from", func(c *Checks) any { return &c.Replication.Critical }},
		{"warning_bytes", "10485760", "how many bytes a replica may be behind before the master's check warns", func(c *Checks) any { return &c.ReplicationBytes.Warning }},
		{"critical_bytes", "104857600", "how many bytes a replica may be behind and still be read from; only where the master has the same agent, as a replica does not know otherwise", func(c *Checks) any { return &c.ReplicationBytes.Critical }},
	},
	"persistence": {
		{"warning", `"0s"`, "age of changes that no save holds; \"0s\" is off", func(c *Checks) any { return &c.Persistence.Warning }},
		{"critical", `"0s"`, "age of changes that no save holds; \"0s\" is off", func(c *Checks) any { return &c.Persistence.Critical }},
	},
	"memory": {
		{"warning", "80", "per cent of maxmemory", func(c *Checks) any { return &c.Memory.Warning }},
		{"critical", "95", "per cent of maxmemory", func(c *Checks) any { return &c.Memory.Critical }},
	},
	"clients": {
		{"warning", "80", "per cent of maxclients", func(c *Checks) any { return &c.Clients.Warning }},
		{"critical", "95", "per cent of maxclients", func(c *Checks) any { return &c.Clients.Critical }},
	},
}

// assign puts a value into the field that to points at, or says what the field takes.
func assign(to any, v cty.Value) error {
	want := func(t cty.Type) (cty.Value, error) {
		if v.IsNull() || !v.IsKnown() {
			return v, fmt.Errorf("has no value; give it one or leave it out")
		}
		c, err := convert.Convert(v, t)
		if err == nil && t == cty.String && v.Type() != cty.String {
			err = fmt.Errorf("not a string")
		}
		return c, err
	}
	switch to := to.(type) {
	case *string, *Secret:
		s, err := want(cty.String)
		if err != nil {
			return fmt.Errorf("is not a string; put it in quotes")
		}
		switch to := to.(type) {
		case *string:
			*to = s.AsString()
		case *Secret:
			*to = Secret(s.AsString())
		}
	case *bool:
		b, err := want(cty.Bool)
		if err != nil {
			return fmt.Errorf("is neither true nor false")
		}
		*to = b.True()
	case *int:
		f, err := whole(want)
		if err != nil {
			return err
		}
		*to = int(f)
	case *int64:
		f, err := whole(want)
		if err != nil {
			return err
		}
		*to = f
	case *float64:
		n, err := want(cty.Number)
		if err != nil {
			return fmt.Errorf("is not a number; write one without quotes, such as 80")
		}
		*to, _ = n.AsBigFloat().Float64()
	case *time.Duration:
		s, err := want(cty.String)
		if err != nil {
			return fmt.Errorf(`is not a duration; write it with its unit in quotes, such as "5s"`)
		}
		d, err := time.ParseDuration(s.AsString())
		if err != nil {
			return fmt.Errorf(`%q is not a duration; write it with its unit, such as "5s" or "500ms"`, s.AsString())
		}
		if d < 0 {
			return fmt.Errorf("%q is negative; write a duration of 0 or more", s.AsString())
		}
		*to = d
	case *[]string:
		l, err := want(cty.List(cty.String))
		if err != nil {
			return fmt.Errorf(`is not a list of strings; write it as ["one", "two"]`)
		}
		*to = nil
		for _, e := range l.AsValueSlice() {
			if e.IsNull() {
				return fmt.Errorf("holds null; leave that element out")
			}
			*to = append(*to, e.AsString())
		}
	case *map[string]string:
		m, err := want(cty.Map(cty.String))
		if err != nil {
			return fmt.Errorf(`is not a map of strings; write it as { name = "value" }`)
		}
		*to = map[string]string{}
		for k, e := range m.AsValueMap() {
			if e.IsNull() {
				return fmt.Errorf("%q is null; leave it out", k)
			}
			(*to)[k] = e.AsString()
		}
	default:
		panic(fmt.Sprintf("no such kind of setting: %T", to))
	}
	return nil
}

func whole(want func(cty.Type) (cty.Value, error)) (int64, error) {
	n, err := want(cty.Number)
	if err == nil {
		f := n.AsBigFloat()
		if i, exact := f.Int64(); f.IsInt() && exact == 0 {
			if i < 0 {
				return 0, fmt.Errorf("%d is negative; write a number of 0 or more", i)
			}
			return i, nil
		}
	}
	return 0, fmt.Errorf("is not a whole number; write one without quotes, such as 2")
}

func names[T any](keys []key[T]) string {
	var s []string
	for _, k := range keys {
		s = append(s, k.name)
	}
	return strings.Join(s, ", ")
}

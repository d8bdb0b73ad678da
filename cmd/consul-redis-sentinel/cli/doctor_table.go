package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
)

// machineCheck is a check of the machine.
type machineCheck struct {
	name string
	// about is what it looks at and why, for docs/doctor.md.
	about string
	look  func(*config.Config) finding
}

// nodeCheck is a check of one Redis server; look is nil for the first, without which there are no others.
type nodeCheck struct {
	name  string
	about string
	look  func(context.Context, *patient) finding
}

var machineChecks = []machineCheck{
	{"data_dir", "The agent keeps the highest epoch that it has seen in `data_dir`, so that a record which went back is noticed after a restart too.", checkDataDir},
	{"rescue_dir", "What a failover discards is saved in `rescue_dir`; a deposed master is not resynced while it cannot be. Nobody else may write there.", checkRescueDir},
	{"clock", "Leases are counted on the machine's clock, which is read all the time: the kernel's clock source is to be one that is read without leaving the processor.", checkClock},
	{"overcommit", "With `vm.overcommit_memory = 0` the fork that saves a data set (`BGSAVE`, for a full resync or a rescue) fails when the server uses half of the memory.", checkOvercommit},
}

var nodeChecks = []nodeCheck{
	{"reachable", "The server answers at `address`, with the node's credentials and TLS.", nil},
	{"version", "Redis 6.2 or later, or Valkey; a server by itself, not one of a Redis Cluster and not a Sentinel.", checkVersion},
	{"rights", "The agent's user may run each command that the driver issues. They are tried inside a `MULTI` that is never executed.", checkRights},
	{"renamed", "No command that the driver issues was renamed or taken away (`rename-command`).", checkRenamed},
	{"others", "Nobody but the agent may change the role (`REPLICAOF`, `FAILOVER`), nobody but replicas may replicate (`PSYNC`): an acknowledgement that `WAIT` counts must come from a member of the group. Read from `ACL LIST`, or else from the files with the users.", checkOthers},
	{"sentinel", "No Redis Sentinel manages the server as well: it would promote and demote on its own.", checkSentinel},
	{"config_file", "The server has a configuration file that it can rewrite: the file and its folder are writable for the user that the server runs as. The right is looked at; the file is not touched.", checkConfigFile},
	{"frozen", "The file says `replicaof 127.0.0.1 1`, so that the server starts frozen whoever starts it.", checkFrozen},
	{"process", "The server's process is found on this machine and this user may kill it, as `on_stuck = \"kill\"` asks: a stopped server would answer what its clients have queued.", checkProcess},
	{"rescue", "The server can save its data set, this user can read the file, and `rescue_dir` has room for it.", checkRescue},
	{"announce", "The server answers at `announce_address` too, without credentials, as the agents of other machines ask it; and it is the same server (`bind`, `protected-mode`, firewalls).", checkAnnounce},
	{"replica-announce", "The server tells its master the address where others reach it (`replica-announce-ip`, `replica-announce-port`), or the agent may set it.", checkReplicaAnnounce},
	{"replication-login", "What the server logs in with as a replica (`masteruser`, `masterauth`, `tls-replication`) is accepted by this server, whose settings are to be those of the others.", checkReplicationLogin},
	{"replica-read-only", "A frozen server must refuse writes: `replica-read-only yes`.", checkReadOnly},
	{"replica-serve-stale-data", "With `no`, a frozen server answers no read, and no `BGSAVE` either: what a failover discards could not be saved, so the old master would never be resynced.", checkStaleData},
	{"persistence", "What survives a restart. A server that loads an append-only file does not know its replication id any more, so its data cannot be compared with that of the others.", checkPersistence},
	{"memory", "What happens when memory is full: an eviction takes away acknowledged writes, and a replica must not evict by itself.", checkMemory},
	{"backlog", "`repl-backlog-size` holds the writes of a failover, so that replicas follow without a full resync, and it is never given up (`repl-backlog-ttl 0`): with it the replication id would change.", checkBacklog},
	{"diskless", "`repl-diskless-sync yes` without a delay: a full resync begins at once, and needs no disk.", checkDiskless},
	{"min-replicas", "`min-replicas-to-write` does not stop the writes when one node is away.", checkMinReplicas},
}

// doctorReference is the part of docs/doctor.md that is made from the checks themselves.
func doctorReference() string {
	var b strings.Builder
	b.WriteString("## The machine\n\n| check | |\n| --- | --- |\n")
	for _, c := range machineChecks {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.name, c.about)
	}
	b.WriteString("\n## Each Redis server\n\n| check | |\n| --- | --- |\n")
	for _, c := range nodeChecks {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.name, c.about)
	}
	b.WriteString("\n## Commands that the agent's user needs\n\n| right | for |\n| --- | --- |\n")
	for _, o := range driverOrders {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.right, o.what)
	}
	return b.String()
}

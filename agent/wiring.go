package agent

import (
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/checks"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// infoEvery is how often a server is asked for what no event tells: memory, clients, persistence, lag.
const infoEvery = time.Second

// ConsulConfig is the configuration of the Consul client.
func ConsulConfig(c config.Consul, log hclog.Logger) catalog.Config {
	return catalog.Config{
		Address: c.Address, Fallbacks: c.Addresses, Scheme: c.Scheme, Token: c.Token.Reveal(), TokenFile: c.TokenFile,
		CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, Datacenter: c.Datacenter, Namespace: c.Namespace,
		Partition: c.Partition, Prefix: c.KVPrefix, Logger: log.Named("catalog"),
	}
}

// driverOptions say how to run the driver of a kind: an external one if the configuration has it.
func driverOptions(c *config.Config, kind string, o Options) plugin.Options {
	log := o.Logger.Named("driver." + kind)
	for _, d := range c.Drivers {
		if d.Name == kind {
			return plugin.Options{Command: d.Command, SHA256: d.SHA256, Logger: log}
		}
	}
	return plugin.Options{Command: o.BuiltIn(kind), Logger: log}
}

// settingsOf are the shared settings as the configuration has them.
func settingsOf(g config.Group) failover.Settings {
	return failover.Settings{
		Quorum: g.Quorum, DownAfter: failover.Duration(g.DownAfter), BusyAfter: failover.Duration(g.BusyAfter),
		FenceAfter: failover.Duration(g.FenceAfter), FailoverTimeout: failover.Duration(g.FailoverTimeout),
		ParallelSyncs: g.ParallelSyncs, BootstrapExpect: g.BootstrapExpect,
		Durability: g.Durability, Cooldown: failover.Duration(g.Cooldown),
	}
}

func newNode(c config.Node, g config.Group, onLoss string) *node {
	n := &node{
		name: c.Name, group: g.Name, address: c.AnnounceAddress, priority: c.Priority, zone: c.Zone, driver: c.Driver,
		killable: g.OnStuck == "kill", minReplicas: g.MinReplicasToWrite,
		service: nodeServices{tags: slices.Clone(c.Tags), meta: c.Meta, limits: limits{
			alive: checks.LatencyLimits(c.Checks.Alive),
			replication: checks.ReplicationLimits{
				WarningBytes: c.Checks.ReplicationBytes.Warning, CriticalBytes: c.Checks.ReplicationBytes.Critical,
				Warning: c.Checks.Replication.Warning, Critical: c.Checks.Replication.Critical,
			},
			persistence: checks.PersistenceLimits(c.Checks.Persistence),
			memory:      checks.ShareLimits(c.Checks.Memory),
			clients:     checks.ShareLimits(c.Checks.Clients),
		}},
		server: plugin.Server{
			Name: c.Name, Address: c.Address, Username: c.Username, Password: c.Password.Reveal(), Announce: c.AnnounceAddress,
			PingEvery: checks.PingEvery(g.DownAfter), SilentAfter: g.DownAfter, InfoEvery: infoEvery,
		},
	}
	if onLoss == "freeze" {
		n.server.FreezeAfter = g.FenceAfter
	}
	if t := c.TLS; t != nil {
		n.server.TLS = &plugin.TLS{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile,
			ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	}
	return n
}

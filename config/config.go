// Package config reads the agent's configuration: HCL, or the same in JSON.
package config

import (
	"os"
	"time"
)

// Config is what the files of one agent say, with defaults filled in.
type Config struct {
	Agent     Agent
	Consul    Consul
	Groups    []Group
	Nodes     []Node
	PluginDir string
	Drivers   []Driver
	// Warnings are lines about what works but probably not as wanted.
	Warnings []string
}

// Agent is the block agent.
type Agent struct {
	Name, DataDir string
	LogLevel      string
	LogJSON       bool
	OnAgentLoss   string
	// Listen is "off" or "host:port"; empty when the agent has no node to take the host from.
	Listen                    string
	CAFile, CertFile, KeyFile string
	RescueDir                 string
	RescueKeep                time.Duration
	DrainOnLeave              bool
}

// Consul is the block consul.
type Consul struct {
	Address                          string
	Addresses                        []string
	Scheme                           string
	Token                            Secret
	TokenFile                        string
	CAFile, CertFile, KeyFile        string
	Datacenter, Namespace, Partition string
	KVPrefix                         string
}

// Group is a block group. The settings that all agents share are written to Consul by the first agent.
type Group struct {
	Name            string
	Quorum          int
	DownAfter       time.Duration
	BusyAfter       time.Duration
	FenceAfter      time.Duration
	FailoverTimeout time.Duration
	ParallelSyncs   int
	BootstrapExpect int
	Durability      string
	Cooldown        time.Duration
	OnStuck         string
	// MinReplicasToWrite is 0 where the servers' own setting is left alone.
	MinReplicasToWrite int
	Service            string
	Tags               []string
	MasterService      string
	ReplicaService     string
	place              place
}

// Node is a block node.
type Node struct {
	Name            string
	Group           string
	Address         string
	AnnounceAddress string
	Driver          string
	Username        string
	Password        Secret
	PasswordFile    string
	TLS             *TLS
	Priority        int
	Zone            string
	Tags            []string
	Meta            map[string]string
	Checks          Checks
	place           place
}

// TLS is how to connect to a node with TLS.
type TLS struct {
	CAFile, CertFile, KeyFile, ServerName string
	InsecureSkipVerify                    bool
}

// Checks are the thresholds of a node's checks. A threshold of 0 is off.
type Checks struct {
	Alive, Replication, Persistence struct{ Warning, Critical time.Duration }
	ReplicationBytes                struct{ Warning, Critical int64 }
	Memory, Clients                 struct{ Warning, Critical float64 }
}

// Driver is a block driver: an external program that drives a kind of server.
type Driver struct {
	Name    string
	Command []string
	SHA256  string
	place   place
}

// Secret is a string that shows itself to nobody.
type Secret string

const hidden = "(hidden)"

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText hides the secret from JSON and logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Default is the configuration that says nothing.
func Default() *Config {
	name, _ := os.Hostname()
	return &Config{
		Agent:  Agent{Name: name, DataDir: "/var/lib/consul-redis-sentinel", LogLevel: "info", OnAgentLoss: "keep", RescueKeep: 7 * 24 * time.Hour},
		Consul: Consul{KVPrefix: "redis-sentinel/"},
	}
}

func defaultGroup(name string) Group {
	return Group{
		Name: name, DownAfter: 5 * time.Second, BusyAfter: 15 * time.Second, FenceAfter: 3 * time.Second,
		FailoverTimeout: 30 * time.Second, ParallelSyncs: 1, Durability: "none", Cooldown: 10 * time.Second, OnStuck: "kill", Service: name,
	}
}

func defaultNode(name string) Node {
	n := Node{Name: name, Driver: "redis", Priority: 100}
	c := &n.Checks
	c.Alive.Warning, c.Alive.Critical = 100*time.Millisecond, time.Second
	c.Replication.Warning, c.Replication.Critical = 20*time.Second, time.Minute
	c.ReplicationBytes.Warning, c.ReplicationBytes.Critical = 10<<20, 100<<20
	c.Memory.Warning, c.Memory.Critical = 80, 95
	c.Clients.Warning, c.Clients.Critical = 80, 95
	return n
}

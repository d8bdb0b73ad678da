// Package catalog is everything that this project says to Consul: the registration of nodes and their checks,
// the KV entries of a group, the session and the lock, the watches, and the one transaction that moves the
// record and the name of the master together.
package catalog

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"
)

// DefaultPrefix is where groups are kept in Consul KV.
const DefaultPrefix = "redis-sentinel/"

const (
	// callTimeout bounds every call that does not wait for a change. A healthy cluster answers in
	// milliseconds, and a change of Consul's leader takes about a second; who waits longer than this should
	// look again rather than wait on.
	callTimeout = 2 * time.Second
	// dialTimeout bounds connecting. Consul is on this machine or near it; half of a call is left for the
	// next address.
	dialTimeout = time.Second
	// callsAtOnce is how many calls are made at the same time beside those that keep leases and session, and how many idle
	// connections are kept, so that a burst of writes in a failover dials none. A hundred groups may change at once, and Consul
	// refuses more than 200 connections of one machine (limits.http_max_conns_per_client), the lease's too.
	callsAtOnce = 32
)

// Config says where Consul is and who is asking. Empty fields take what the environment says
// (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT and so on), as HashiCorp's own tools do.
type Config struct {
	// Address is the Consul agent of this machine, as "host:port", a URL or "unix:///path".
	Address string
	// Fallbacks are further Consul addresses for KV and catalog when Address does not answer. Registration
	// and the session stay with Address: they belong to the Consul agent of this machine.
	Fallbacks []string

	Scheme                    string
	Token, TokenFile          string
	CAFile, CertFile, KeyFile string
	Datacenter                string
	Namespace, Partition      string
	// Prefix of all keys; DefaultPrefix when empty. A missing slash at its end is added.
	Prefix string
	Logger hclog.Logger
	// OnOutage, when set, is called with an error when Consul cannot be watched, and with nil when it can be
	// again. It must not block.
	OnOutage func(error)
}

// Catalog talks to Consul. Its methods may be called from several goroutines.
type Catalog struct {
	endpoints            *endpoints
	pulse                pulse
	prefix               string
	namespace, partition string
	log                  hclog.Logger
	outage               outage
	self                 *self
	registry             *registry
	parsed               parsed
	told                 told
	places               places // callsAtOnce of them
}

// New prepares the connections to Consul; it makes none. Errors are mistakes in cfg or in the files it names,
// and never contain a secret.
func New(cfg Config) (*Catalog, error) {
	log := cfg.Logger
	if log == nil {
		log = hclog.NewNullLogger()
	}
	log = log.Named("catalog")
	c := &Catalog{
		prefix:   cfg.Prefix,
		log:      log,
		outage:   outage{tell: cfg.OnOutage, log: log},
		self:     newSelf(),
		registry: newRegistry(),
		parsed:   parsed{known: map[string]parsedRecord{}},
		told:     told{known: map[string]uint64{}},
		places:   make(places, callsAtOnce),
	}
	if c.prefix == "" {
		c.prefix = DefaultPrefix
	}
	if !strings.HasSuffix(c.prefix, "/") {
		c.prefix += "/"
	}
	transport := newTransport()
	var clients []*api.Client
	for _, address := range append([]string{cfg.Address}, cfg.Fallbacks...) {
		conf := cfg.client(address, transport, log)
		c.namespace, c.partition = conf.Namespace, conf.Partition
		client, err := api.NewClient(conf)
		if err != nil {
			return nil, fmt.Errorf("prepare connection to Consul at %q: %w", address, err)
		}
		clients = append(clients, client)
	}
	c.endpoints = newEndpoints(clients)
	return c, nil
}

// client is the configuration of the connection to one address.
func (cfg *Config) client(address string, transport *http.Transport, log hclog.Logger) *api.Config {
	conf := api.DefaultConfigWithLogger(log)
	conf.Transport = transport
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&conf.Address, address)
	set(&conf.Scheme, cfg.Scheme)
	set(&conf.Token, cfg.Token)
	set(&conf.TokenFile, cfg.TokenFile)
	set(&conf.TLSConfig.CAFile, cfg.CAFile)
	set(&conf.TLSConfig.CertFile, cfg.CertFile)
	set(&conf.TLSConfig.KeyFile, cfg.KeyFile)
	set(&conf.Datacenter, cfg.Datacenter)
	set(&conf.Namespace, cfg.Namespace)
	set(&conf.Partition, cfg.Partition)
	return conf
}

// newTransport keeps its connections for good: the writes of a failover come after hours of silence and should
// not have to dial.
func newTransport() *http.Transport {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   callsAtOnce,
		DisableCompression:    true, // the Consul agent is on this machine, and shares its processors with us
	}
}

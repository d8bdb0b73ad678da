package cli

import (
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/agent"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// consulFlags say how to reach Consul; what is empty comes from the configuration, then from the environment.
type consulFlags struct {
	config     []string
	address    string
	token      string
	tokenFile  string
	caFile     string
	datacenter string
	prefix     string
}

// addConsulFlags gives a command the flags of Consul.
func (c *CLI) addConsulFlags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringArrayVar(&c.consul.config, "config", nil, "configuration `PATH` whose consul block is used (repeatable)")
	f.StringVar(&c.consul.address, "http-addr", "", "`ADDRESS` of the Consul agent (CONSUL_HTTP_ADDR)")
	f.StringVar(&c.consul.token, "token", "", "ACL `TOKEN` (CONSUL_HTTP_TOKEN, which other users of this machine cannot see)")
	f.StringVar(&c.consul.tokenFile, "token-file", "", "`FILE` with the ACL token (CONSUL_HTTP_TOKEN_FILE)")
	f.StringVar(&c.consul.caFile, "ca-file", "", "`FILE` with the certificates of the CA (CONSUL_CACERT)")
	f.StringVar(&c.consul.datacenter, "datacenter", "", "`NAME` of the datacenter")
	f.StringVar(&c.consul.prefix, "kv-prefix", "", "`PREFIX` of the groups in KV (default \""+catalog.DefaultPrefix+"\")")
	return cmd
}

// connect makes a catalog from flags, configuration and environment.
func (c *CLI) connect() (*catalog.Catalog, error) {
	var from catalog.Config
	if len(c.consul.config) > 0 {
		cfg, err := c.loadConfig(c.consul.config)
		if err != nil {
			return nil, err
		}
		from = agent.ConsulConfig(cfg.Consul, hclog.NewNullLogger())
	}
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&from.Address, c.consul.address)
	if c.consul.address != "" {
		from.Fallbacks = nil // asked for this one
	}
	if c.consul.token != "" || c.consul.tokenFile != "" {
		from.Token, from.TokenFile = c.consul.token, c.consul.tokenFile
	}
	set(&from.CAFile, c.consul.caFile)
	set(&from.Datacenter, c.consul.datacenter)
	set(&from.Prefix, c.consul.prefix)
	return catalog.New(from)
}

package config

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// label is what a Consul service name must look like to be found by DNS (RFC 1123).
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const labelMend = "use lower-case letters, digits and hyphens, 63 at most, as names in DNS have"

// validate checks what each setting alone cannot know.
func (l *loader) validate() {
	c := l.config
	l.validateAgent()
	services := map[string]string{}
	for i := range c.Groups {
		l.validateGroup(&c.Groups[i], services)
	}
	addresses := map[string]string{}
	for i := range c.Nodes {
		l.validateNode(&c.Nodes[i], addresses)
	}
	l.validatePeers()
	for i := range c.Drivers {
		l.validateDriver(&c.Drivers[i])
	}
	if len(c.Groups) == 0 && len(l.errs) == 0 {
		l.fail(place{file: "configuration"}, "", "there is no group", `write group "redis" { quorum = 2 }`)
	}
}

func (l *loader) validateAgent() {
	c := l.config
	at := func(block, key string) place {
		return l.at(l.given[block], block+": "+key)
	}
	switch c.Agent.LogLevel {
	case "trace", "debug", "info", "warn", "error":
	default:
		l.fail(at("agent", "log_level"), "agent: log_level", fmt.Sprintf("%q is no level", c.Agent.LogLevel), "write trace, debug, info, warn or error")
	}
	if c.Agent.Name == "" || strings.ContainsAny(c.Agent.Name, "/ \t\n") {
		l.fail(at("agent", "name"), "agent: name", fmt.Sprintf("%q cannot name an agent", c.Agent.Name), "use a name without spaces and slashes")
	}
	if c.Agent.DataDir == "" {
		l.fail(at("agent", "data_dir"), "agent: data_dir", "is empty", "name a folder that outlives the agent")
	}
	if s := c.Agent.OnAgentLoss; s != "keep" && s != "freeze" {
		l.fail(at("agent", "on_agent_loss"), "agent: on_agent_loss", fmt.Sprintf("%q is unknown", s), `write "keep" or "freeze"`)
	}
	if c.Agent.RescueDir == "" {
		c.Agent.RescueDir = filepath.Join(c.Agent.DataDir, "rescue")
	}
	if s := c.Consul.Scheme; s != "" && s != "http" && s != "https" {
		l.fail(at("consul", "scheme"), "consul: scheme", fmt.Sprintf("%q is no scheme", s), "write http or https")
	}
	if c.Consul.Token != "" && c.Consul.TokenFile != "" {
		l.fail(at("consul", "token_file"), "consul: token_file", "token is given as well", "keep one of them")
	}
	for _, f := range []struct{ key, path string }{{"token_file", c.Consul.TokenFile}, {"ca_file", c.Consul.CAFile},
		{"cert_file", c.Consul.CertFile}, {"key_file", c.Consul.KeyFile}} {
		l.readable(at("consul", f.key), "consul: "+f.key, f.path)
	}
	if !strings.HasSuffix(c.Consul.KVPrefix, "/") || strings.HasPrefix(c.Consul.KVPrefix, "/") {
		l.fail(at("consul", "kv_prefix"), "consul: kv_prefix", fmt.Sprintf("%q is no folder in KV", c.Consul.KVPrefix), `end it with a slash and begin it with none, such as "redis-sentinel/"`)
	}
}

func (l *loader) readable(p place, field, path string) {
	if path == "" {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		l.fail(p, field, fmt.Sprintf("%s cannot be read", path), reason(err))
		return
	}
	_ = f.Close()
}

var durability = regexp.MustCompile(`^(none|wait:[1-9][0-9]*)$`)

func (l *loader) validateGroup(g *Group, services map[string]string) {
	field := fmt.Sprintf("group %q", g.Name)
	fail := func(key, problem, mend string) {
		l.fail(l.at(g.place, field+": "+key), field+": "+key, problem, mend)
	}
	if !label.MatchString(g.Name) {
		l.fail(g.place, field, "cannot be the name of a group", labelMend)
		return
	}
	for _, s := range []struct{ key, name string }{{"service", g.Service}, {"master_service", g.MasterService}, {"replica_service", g.ReplicaService}} {
		if !label.MatchString(s.name) {
			fail(s.key, fmt.Sprintf("%q cannot be the name of a service", s.name), labelMend)
			break // the other names are made from the first
		}
		owner := field + ": " + s.key
		if other, taken := services[s.name]; taken {
			fail(s.key, fmt.Sprintf("%q is the name of %s too", s.name, other), "give each service a name of its own")
		}
		services[s.name] = owner
	}
	if g.DownAfter < 50*time.Millisecond {
		fail("down_after", fmt.Sprintf("%s is shorter than a busy network is silent now and then", g.DownAfter), "write 50ms or more")
	}
	if g.BusyAfter < g.DownAfter {
		fail("busy_after", fmt.Sprintf("%s is shorter than down_after (%s), so the veto of a busy master would never count", g.BusyAfter, g.DownAfter), "write down_after or more")
	}
	if g.FenceAfter < 200*time.Millisecond {
		fail("fence_after", fmt.Sprintf("%s is too short to renew the lease before it ends", g.FenceAfter), "write 200ms or more, and more than your Consul servers need to elect a leader")
	}
	if g.FenceAfter < 2*time.Second {
		l.config.Warnings = append(l.config.Warnings, fmt.Sprintf("%s: %s: fence_after: %s is shorter than Consul's servers often need to elect a leader: "+
			"until they have, the master stays open only by the promises of all other agents", l.at(g.place, field+": fence_after"), field, g.FenceAfter))
	}
	if !durability.MatchString(g.Durability) {
		fail("durability", fmt.Sprintf("%q is unknown", g.Durability), `write "none", or "wait:k" with the number of replicas that WAIT asks for, such as "wait:1"`)
	}
	if g.FailoverTimeout < time.Second {
		fail("failover_timeout", fmt.Sprintf("%s leaves no time for an attempt", g.FailoverTimeout), "write 1s or more")
	}
	if g.ParallelSyncs < 1 {
		fail("parallel_syncs", "0 would let no replica follow a new master", "write 1 or more")
	}
	if g.OnStuck != "kill" && g.OnStuck != "leave" {
		fail("on_stuck", fmt.Sprintf("%q is unknown", g.OnStuck), `write "kill" or "leave"`)
	}
}

func (l *loader) validateNode(n *Node, addresses map[string]string) {
	c := l.config
	field := fmt.Sprintf("node %q", n.Name)
	fail := func(key, problem, mend string) {
		l.fail(l.at(n.place, field+": "+key), field+": "+key, problem, mend)
	}
	if !label.MatchString(n.Name) {
		l.fail(n.place, field, "cannot be the name of a node", labelMend)
		return
	}
	switch {
	case n.Group == "":
		fail("group", "is missing", `write group = "redis", or the name of another group block`)
	case !hasGroup(c, n.Group):
		fail("group", fmt.Sprintf("there is no group %q", n.Group), fmt.Sprintf("write group %q { quorum = 2 }, or name one of: %s", n.Group, groupNames(c)))
	}
	if n.Address == "" {
		fail("address", "is missing", `write address = "10.0.0.1:6379"`)
		return
	}
	l.address(fail, "address", n.Address)
	if other, taken := addresses[n.Address]; taken {
		fail("address", fmt.Sprintf("%s is the address of node %q too", n.Address, other), "give each node the address of its own server")
	}
	addresses[n.Address] = n.Name
	if n.AnnounceAddress == "" {
		n.AnnounceAddress = n.Address
	} else {
		l.address(fail, "announce_address", n.AnnounceAddress)
	}
	if host, _, err := net.SplitHostPort(n.AnnounceAddress); err == nil {
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s: %s is a loopback address, which no other machine reaches; set announce_address", n.place, field, n.AnnounceAddress))
		}
	}
	if n.Password != "" && n.PasswordFile != "" {
		fail("password_file", "password is given as well", "keep one of them")
	}
	l.readable(l.at(n.place, field+": password_file"), field+": password_file", n.PasswordFile)
	if n.PasswordFile != "" && n.Password == "" {
		b, _ := os.ReadFile(n.PasswordFile)
		n.Password = Secret(strings.TrimSpace(string(b)))
	}
	if n.TLS != nil {
		for _, f := range []struct{ key, path string }{{"ca_file", n.TLS.CAFile}, {"cert_file", n.TLS.CertFile}, {"key_file", n.TLS.KeyFile}} {
			l.readable(l.at(n.place, field+": tls: "+f.key), field+": tls: "+f.key, f.path)
		}
		if (n.TLS.CertFile == "") != (n.TLS.KeyFile == "") {
			fail("tls", "a client certificate needs both cert_file and key_file", "give both or neither")
		}
	}
	if n.Driver != "redis" && !hasDriver(c, n.Driver) {
		fail("driver", fmt.Sprintf("there is no driver %q", n.Driver), fmt.Sprintf("use redis, or write driver %q { command = [...] }", n.Driver))
	}
	l.validateChecks(n, field)
}

func (l *loader) validateChecks(n *Node, field string) {
	k := n.Checks
	order := func(check string, warning, critical float64) {
		if warning > 0 && critical > 0 && warning > critical {
			key := fmt.Sprintf("%s: check %q", field, check)
			l.fail(l.at(n.place, key+": warning"), key+": warning", "is above critical", "let the warning come first")
		}
	}
	order("alive", float64(k.Alive.Warning), float64(k.Alive.Critical))
	order("replication", float64(k.Replication.Warning), float64(k.Replication.Critical))
	order("replication", float64(k.ReplicationBytes.Warning), float64(k.ReplicationBytes.Critical))
	order("persistence", float64(k.Persistence.Warning), float64(k.Persistence.Critical))
	order("memory", k.Memory.Warning, k.Memory.Critical)
	order("clients", k.Clients.Warning, k.Clients.Critical)
}

// address checks an address that other machines are to connect to.
func (l *loader) address(fail func(key, problem, mend string), key, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if strings.Count(address, ":") > 1 && !strings.HasPrefix(address, "[") {
			fail(key, fmt.Sprintf("%q is ambiguous", address), fmt.Sprintf("put an IPv6 address in brackets: \"[%s]:6379\"", address))
			return
		}
		fail(key, fmt.Sprintf("%q has no port", address), fmt.Sprintf("write \"%s:6379\"", strings.Trim(address, "[]")))
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		fail(key, fmt.Sprintf("%q is no port", port), "write a number from 1 to 65535")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		fail(key, fmt.Sprintf("%q is every address of the machine, which nobody can connect to", address), "write the address that others use")
	}
}

func (l *loader) validateDriver(d *Driver) {
	field := fmt.Sprintf("driver %q", d.Name)
	fail := func(key, problem, mend string) {
		l.fail(l.at(d.place, field+": "+key), field+": "+key, problem, mend)
	}
	if d.Name == "redis" {
		l.fail(d.place, field, "is the name of the built-in driver", "give the external driver another name")
	}
	if d.SHA256 != "" && !regexp.MustCompile(`^[0-9a-fA-F]{64}$`).MatchString(d.SHA256) {
		fail("sha256", fmt.Sprintf("%q is no SHA-256 checksum", d.SHA256), "write the 64 hexadecimal digits that sha256sum prints")
	}
	if len(d.Command) == 0 || d.Command[0] == "" {
		fail("command", "is missing", `write command = ["/usr/local/lib/my-driver"]`)
		return
	}
	if !filepath.IsAbs(d.Command[0]) {
		if l.config.PluginDir == "" {
			fail("command", fmt.Sprintf("%q is not an absolute path and there is no plugin_dir", d.Command[0]), "write the whole path, or set plugin_dir")
			return
		}
		d.Command[0] = filepath.Join(l.config.PluginDir, d.Command[0])
	}
	if info, err := os.Stat(d.Command[0]); err != nil || info.Mode()&0o111 == 0 || info.IsDir() {
		fail("command", fmt.Sprintf("%s is not a program that can be run", d.Command[0]), "install it there, with the right to execute it")
	}
}

func hasGroup(c *Config, name string) bool {
	for _, g := range c.Groups {
		if g.Name == name {
			return true
		}
	}
	return false
}

func hasDriver(c *Config, name string) bool {
	for _, d := range c.Drivers {
		if d.Name == name {
			return true
		}
	}
	return false
}

func groupNames(c *Config) string {
	var s []string
	for _, g := range c.Groups {
		s = append(s, g.Name)
	}
	if len(s) == 0 {
		return "(none)"
	}
	slices.Sort(s)
	return strings.Join(s, ", ")
}

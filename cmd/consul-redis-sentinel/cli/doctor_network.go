package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// sentinelChannel is where every Sentinel announces itself on the servers that it watches, and listens.
const sentinelChannel = "__sentinel__:hello"

func checkSentinel(ctx context.Context, p *patient) finding {
	c, err := p.connect(p.node.Address, p.node.Username, p.node.Password.Reveal())
	if err != nil {
		return finding{}
	}
	defer c.Close()
	// Each of these needs a right that the agent's user need not have.
	listeners, known := int64(0), false
	if got, err := c.Do(ctx, "PUBSUB", "NUMSUB", sentinelChannel).Slice(); err == nil && len(got) == 2 {
		listeners, _ = got[1].(int64)
		known = true
	}
	var names []string
	if text, err := c.Do(ctx, "CLIENT", "LIST").Text(); err == nil {
		known = true
		for line := range strings.Lines(text) {
			f := clientFields(line)
			if strings.HasPrefix(f["name"], "sentinel-") && strings.HasSuffix(f["name"], "-pubsub") {
				names = append(names, f["addr"])
			}
		}
	}
	if listeners > 0 || len(names) > 0 {
		from := ""
		if len(names) > 0 {
			from = ", from " + list(names)
		}
		return bad("on every Sentinel: SENTINEL REMOVE with the name of the group, or stop them",
			"a Redis Sentinel manages this server%s", from)
	}
	if !known && (p.info["pubsub_channels"] != "0" || p.info["pubsub_patterns"] != "0") {
		return warning("allow "+p.user()+" +pubsub|numsub", "clients listen to channels of this server, and whether one of them is a Sentinel may not be asked")
	}
	return fine("no Sentinel listens on it")
}

// clientFields reads a line "a=1 b=2" of CLIENT LIST.
func clientFields(line string) map[string]string {
	f := map[string]string{}
	for item := range strings.FieldsSeq(line) {
		if name, value, ok := strings.Cut(item, "="); ok {
			f[name] = value
		}
	}
	return f
}

// strangerLimit bounds what the agent of another machine would wait for at the most.
const strangerLimit = 3 * time.Second

// askAsStranger sends PING without credentials, as the agents of other machines do, and returns the reply.
func (p *patient) askAsStranger(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, strangerLimit)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if p.node.TLS != nil {
		config, err := p.tlsConfig(address)
		if err != nil {
			return "", err
		}
		conn = tls.Client(conn, config)
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

func checkAnnounce(ctx context.Context, p *patient) finding {
	address := p.node.AnnounceAddress
	reply, err := p.askAsStranger(ctx, address)
	switch {
	case err != nil:
		return bad("have the server listen there (bind), open the firewall, or mend announce_address",
			"%s does not answer: %v", address, err)
	case strings.HasPrefix(reply, "-DENIED"):
		return bad("set protected-mode no and bind to an inner network, or give the default user a password",
			"%s turns other machines away: protected-mode is on and the default user has no password", address)
	}
	if address != p.node.Address {
		c, err := p.connect(address, p.node.Username, p.node.Password.Reveal())
		if err != nil {
			return bad("mend the node's tls block", "%v", err)
		}
		defer c.Close()
		text, err := c.Do(ctx, "INFO", "server").Text()
		if run := infoFields(text)["run_id"]; err == nil && run != p.info["run_id"] {
			return bad("mend announce_address", "another server answers at %s: run %s, not %s", address, run, p.info["run_id"])
		}
	}
	if host, _, _ := net.SplitHostPort(address); isLoopback(host) {
		return warning("set announce_address to an address of the network", "%s answers, but no other machine reaches a loopback address", address)
	}
	return fine("%s answers", address)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkReplicaAnnounce(_ context.Context, p *patient) finding {
	ip, ok := p.setting("replica-announce-ip")
	if !ok {
		return finding{}
	}
	host, port, err := net.SplitHostPort(p.node.AnnounceAddress)
	if err != nil {
		return finding{}
	}
	announced := p.settings["replica-announce-port"]
	mend := fmt.Sprintf("write replica-announce-ip %s and replica-announce-port %s into the server's configuration, or allow %s +config|set", host, port, p.user())
	switch {
	case ip == host && announced == port:
		return fine("it announces %s", p.node.AnnounceAddress)
	case p.rights.has("+config|set"):
		return fine("the agent has it announce %s", p.node.AnnounceAddress)
	case ip == "" && announced == "0":
		return warning(mend, "it announces the address that its connections come from, which may not be %s", p.node.AnnounceAddress)
	}
	return bad(mend, "it announces %s:%s instead of %s", ip, announced, p.node.AnnounceAddress)
}

func checkReplicationLogin(ctx context.Context, p *patient) finding {
	password, ok := p.setting("masterauth")
	if !ok {
		return finding{}
	}
	if p.node.TLS != nil && p.settings["tls-replication"] == "no" {
		return bad("write tls-replication yes into the server's configuration",
			"the node is reached by TLS, and the server would speak to its master without")
	}
	user := p.settings["masteruser"]
	name := user
	if name == "" {
		name = "default"
	}
	mend := "set masteruser and masterauth to a user that may +ping +replconf +psync, the same on all servers"
	c, err := p.connect(p.node.Address, user, password)
	if err != nil {
		return finding{} // told by another check
	}
	defer c.Close()
	// The server's own words when the login fails, or when there is none and one is needed.
	if err := c.Do(ctx, "PING").Err(); err != nil && !strings.HasPrefix(err.Error(), "MASTERDOWN") {
		return bad(mend, "as a replica it would log in as %s: %s", name, err)
	}
	for _, u := range p.users.list {
		if u.name == name && !u.mayAny([]string{"psync"}) {
			return bad(mend, "as a replica it would log in as %s, who may not PSYNC", name)
		}
	}
	return fine("a replica may log in as %s", name)
}

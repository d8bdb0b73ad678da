package config

import (
	"net"
	"strconv"
)

// peerPort is where agents ask each other for promises, unless listen says otherwise.
const peerPort = 8799

// validatePeers checks how the agent is to be reached by others, and fills in where.
func (l *loader) validatePeers() {
	a := &l.config.Agent
	fail := func(key, problem, mend string) {
		l.fail(l.at(l.given["agent"], "agent: "+key), "agent: "+key, problem, mend)
	}
	switch a.Listen {
	case "off":
	case "":
		if len(l.config.Nodes) > 0 {
			if host, _, err := net.SplitHostPort(l.config.Nodes[0].AnnounceAddress); err == nil {
				a.Listen = net.JoinHostPort(host, strconv.Itoa(peerPort))
			}
		}
	default:
		l.address(fail, "listen", a.Listen)
	}
	given := 0
	for _, f := range []struct{ key, path string }{{"ca_file", a.CAFile}, {"cert_file", a.CertFile}, {"key_file", a.KeyFile}} {
		l.readable(l.at(l.given["agent"], "agent: "+f.key), "agent: "+f.key, f.path)
		if f.path != "" {
			given++
		}
	}
	if given != 0 && given != 3 {
		fail("ca_file", "agents authenticate each other with ca_file, cert_file and key_file together", "give all three or none")
	}
}

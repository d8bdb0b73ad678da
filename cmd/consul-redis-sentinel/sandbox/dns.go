package sandbox

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// dnsLimit bounds one question; Consul answers within a millisecond or not at all.
const dnsLimit = time.Second

// Endpoint is one answer to an SRV question, with the address that came along.
type Endpoint struct {
	Target string
	IP     string
	Port   int
}

// Addr is "ip:port".
func (e Endpoint) Addr() string { return net.JoinHostPort(e.IP, strconv.Itoa(e.Port)) }

// SRV asks this server's DNS for a name such as "redis-master.service.consul". No answer is an empty list.
func (c *Consul) SRV(ctx context.Context, name string) ([]Endpoint, error) {
	reply, err := c.ask(ctx, name, dns.TypeSRV)
	if err != nil {
		return nil, err
	}
	ips := map[string]string{}
	for _, rr := range reply.Extra {
		if a, ok := rr.(*dns.A); ok {
			ips[a.Hdr.Name] = a.A.String()
		}
	}
	var found []Endpoint
	for _, rr := range reply.Answer {
		if srv, ok := rr.(*dns.SRV); ok {
			found = append(found, Endpoint{Target: srv.Target, IP: ips[srv.Target], Port: int(srv.Port)})
		}
	}
	return found, nil
}

// A asks for the addresses of a name. No answer is an empty list.
func (c *Consul) A(ctx context.Context, name string) ([]string, error) {
	reply, err := c.ask(ctx, name, dns.TypeA)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			found = append(found, a.A.String())
		}
	}
	return found, nil
}

// MasterName and ReplicaName are the names that applications resolve.
func (s *Sandbox) MasterName() string { return s.options.Group + "-master.service.consul" }

// ReplicaName is the name of the replicas that are fit to be read from.
func (s *Sandbox) ReplicaName() string { return s.options.Group + "-replica.service.consul" }

func (c *Consul) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(strings.TrimSuffix(name, ".")), kind)
	q.SetEdns0(4096, false)
	client := dns.Client{Timeout: dnsLimit}
	reply, _, err := client.ExchangeContext(ctx, q, c.DNSAddr())
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", c.Name, name, err)
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("ask %s for %s: %s", c.Name, name, dns.RcodeToString[reply.Rcode])
	}
	return reply, nil
}

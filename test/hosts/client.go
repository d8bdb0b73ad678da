package hosts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

const (
	// ReplyLimit is how long a client waits for a connection or a reply before it connects anew.
	ReplyLimit = 500 * time.Millisecond
	// resolveLimit bounds one question to DNS.
	resolveLimit = 300 * time.Millisecond
)

// Resolver finds the address to connect to.
type Resolver func(ctx context.Context) (string, error)

// Pinned is a client that knows one server only.
func (h *Hosts) Pinned(i int) Resolver {
	addr := h.Redis(i).Addr()
	return func(context.Context) (string, error) { return addr, nil }
}

// DNS resolves the group's master on host from, asking the Consul servers of the hosts given, the next one when one
// does not answer, as a resolver does with the servers in resolv.conf. It is for one client only.
func (h *Hosts) DNS(from int, consuls ...int) Resolver {
	d := &resolver{hosts: h, from: from, consuls: consuls}
	return d.resolve
}

type resolver struct {
	hosts   *Hosts
	from    int
	consuls []int
	turn    int
	conn    net.Conn
}

func (d *resolver) resolve(ctx context.Context) (string, error) {
	addr, err := d.ask(ctx)
	if err != nil && d.conn != nil {
		_ = d.conn.Close()
		d.conn = nil
		d.turn++
	}
	if err == nil && addr == "" {
		err = fmt.Errorf("no answer for %s", d.hosts.MasterName())
	}
	return addr, err
}

// ask returns an empty address when DNS has none.
func (d *resolver) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	if d.conn == nil {
		server := d.hosts.Consul(d.consuls[d.turn%len(d.consuls)]).DNSAddr()
		conn, err := d.hosts.Network.Dial(ctx, d.from, "udp4", server)
		if err != nil {
			return "", err
		}
		d.conn = conn
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(d.hosts.MasterName()), dns.TypeSRV)
	reply, _, err := new(dns.Client).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: d.conn})
	if err != nil {
		return "", err
	}
	return srvAddress(reply)
}

// srvAddress is the address of the only SRV answer, empty when there is none.
func srvAddress(m *dns.Msg) (string, error) {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return "", errors.New(dns.RcodeToString[m.Rcode])
	}
	var found []string
	for _, rr := range m.Answer {
		srv, ok := rr.(*dns.SRV)
		if !ok {
			continue
		}
		for _, more := range m.Extra {
			if a, ok := more.(*dns.A); ok && a.Hdr.Name == srv.Target {
				found = append(found, sandbox.Endpoint{IP: a.A.String(), Port: int(srv.Port)}.Addr())
			}
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d masters: %v", len(found), found)
}

// Conn is a connection to a Redis server, without the retries and pools of a client library, so that what was sent and
// what was answered is known.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
}

// Connect opens a connection from a host.
func (h *Hosts) Connect(ctx context.Context, from int, addr string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, ReplyLimit)
	defer cancel()
	c, err := h.Network.Dial(ctx, from, "tcp4", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{c, bufio.NewReader(c)}, nil
}

// Close ends the connection; whoever waits for a reply gets an error.
func (c *Conn) Close() { _ = c.conn.Close() }

// Send sends commands at once; limit is until when replies to them may be read.
func (c *Conn) Send(limit time.Duration, commands ...[]string) error {
	_ = c.conn.SetDeadline(time.Now().Add(limit))
	var b strings.Builder
	for _, args := range commands {
		fmt.Fprintf(&b, "*%d\r\n", len(args))
		for _, a := range args {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
		}
	}
	_, err := io.WriteString(c.conn, b.String())
	return err
}

// ErrReply is wrapped by the error replies of a server, which tell that the command was not carried out.
var ErrReply = errors.New("refused")

// Reply reads one simple reply; that of nothing (a nil bulk string) is "".
func (c *Conn) Reply() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("empty reply")
	}
	switch kind, rest := line[0], line[1:]; kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", fmt.Errorf("%w: %s", ErrReply, rest)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return "", err
		}
		return string(b[:n]), nil
	}
	return "", fmt.Errorf("unexpected reply %q", line)
}

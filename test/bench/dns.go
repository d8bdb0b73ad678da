package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// askLimit bounds one question to DNS or a sentinel; after it the next server is asked.
const askLimit = 200 * time.Millisecond

// dnsFinder asks DNS servers for the SRV record of a name, the next one when one does not answer, over one socket as
// long as it works.
func dnsFinder(d dial, name string, servers []string) finder {
	var conn net.Conn
	turn := 0
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		var err error
		if conn == nil {
			if conn, err = d(ctx, "udp", servers[turn%len(servers)]); err != nil {
				turn++
				return "", err
			}
		}
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeSRV)
		reply, _, err := new(dns.Client).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: conn})
		if err != nil {
			_ = conn.Close()
			conn = nil
			turn++
			return "", err
		}
		return srvAddr(reply)
	}
}

// srvAddr is the address of the only answer.
func srvAddr(reply *dns.Msg) (string, error) {
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return "", errors.New(dns.RcodeToString[reply.Rcode])
	}
	ips := map[string]string{}
	for _, rr := range reply.Extra {
		if a, ok := rr.(*dns.A); ok {
			ips[a.Hdr.Name] = a.A.String()
		}
	}
	var found []string
	for _, rr := range reply.Answer {
		if srv, ok := rr.(*dns.SRV); ok {
			found = append(found, net.JoinHostPort(ips[srv.Target], strconv.Itoa(int(srv.Port))))
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d answers", len(found))
	}
	return found[0], nil
}

package redis

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// dialTimeout bounds making a connection: a second SYN would be sent after one second, and the next attempt does
// that as well.
const dialTimeout = time.Second

// handshakeTimeout bounds the TLS handshake.
const handshakeTimeout = 2 * time.Second

// command is a command and its arguments.
type command []string

// conn is one connection to a server. It belongs to one run of the server: what was read of the server on it
// holds for what is ordered on it.
//
// Orders and observations both need exact knowledge of their connection (one write for a whole transaction, no
// reconnecting in between, every reply seen), which a client with a pool hides; so this is not one.
type conn struct {
	net.Conn
	r *bufio.Reader
	// authFailed is what AUTH was answered on it, empty when it went well or was not sent.
	authFailed string
}

// dialer makes connections to one server.
type dialer struct {
	address            string
	username, password string
	tls                *tls.Config
}

func newDialer(s plugin.Server) (*dialer, error) {
	d := &dialer{address: s.Address, username: s.Username, password: s.Password}
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", s.Address, err)
	}
	if s.TLS != nil {
		if d.tls, err = tlsConfig(*s.TLS, host); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func tlsConfig(t plugin.TLS, host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// dial makes a connection. Nothing has been sent on it yet but the TLS handshake.
func (d *dialer) dial(ctx context.Context) (*conn, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(dialing, "tcp", d.address)
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		shaking, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		tc := tls.Client(nc, d.tls)
		if err := tc.HandshakeContext(shaking); err != nil {
			_ = nc.Close()
			return nil, fmt.Errorf("TLS handshake with %s: %w", d.address, err)
		}
		nc = tc
	}
	return &conn{Conn: nc, r: bufio.NewReaderSize(nc, 8<<10)}, nil
}

// auth is the command that authenticates, nil when there are no credentials. Its failure is not the end: the
// server may need none, and says NOAUTH otherwise.
func (d *dialer) auth() []command {
	switch {
	case d.password == "":
		return nil
	case d.username == "":
		return []command{{"AUTH", d.password}}
	}
	return []command{{"AUTH", d.username, d.password}}
}

// withoutSecrets takes the password out of what a server says: one that does not know AUTH repeats its arguments.
func (d *dialer) withoutSecrets(words string) string {
	if d.password == "" {
		return words
	}
	return strings.ReplaceAll(words, d.password, "[secret]")
}

// answered says whether an error of dial shows that the server is alive and spoke: it, or this side, refused
// what the other showed in the TLS handshake.
func answered(err error) bool {
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var remote *net.OpError
	return errors.As(err, &certificate) || errors.As(err, &alert) || errors.As(err, &record) ||
		errors.As(err, &remote) && remote.Op == "remote error"
}

// send sends commands in one write.
func (c *conn) send(commands ...command) error {
	var b []byte
	for _, each := range commands {
		b = appendCommand(b, each)
	}
	_, err := c.Write(b)
	return err
}

// do sends commands in one write and reads their replies. After an error the connection is of no use.
func (c *conn) do(ctx context.Context, commands ...command) ([]reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // an order that was given up must not be sent
	}
	deadline, _ := ctx.Deadline() // none is the zero time, which means none here as well
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	replies, err := c.exchange(commands)
	if !stop() && err == nil {
		err = ctx.Err() // the deadline just set is of no use to the next call
	}
	return replies, err
}

func (c *conn) exchange(commands []command) ([]reply, error) {
	if err := c.send(commands...); err != nil {
		return nil, err
	}
	replies := make([]reply, 0, len(commands))
	for range commands {
		r, err := readReply(c.r, 0)
		if err != nil {
			return nil, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

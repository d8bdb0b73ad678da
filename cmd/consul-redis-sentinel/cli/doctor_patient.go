package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
)

// patient is a Redis server that is examined: what is known of it before the checks begin.
type patient struct {
	node      config.Node
	group     config.Group
	rescueDir string

	// info is INFO, settings CONFIG GET *; settings are empty when they may not be read.
	info, settings map[string]string
	rights         rights
	process        serverProcess
	file           configFile
	users          aclUsers
}

// meet connects and reads what the checks need.
func (p *patient) meet(ctx context.Context) finding {
	c, err := p.connect(p.node.Address, p.node.Username, p.node.Password.Reveal())
	if err != nil {
		return bad("mend the node's tls block", "%v", err)
	}
	defer c.Close()
	text, err := c.Do(ctx, "INFO").Text()
	if err != nil {
		return p.unreachable(err)
	}
	p.info = infoFields(text)
	if p.info["run_id"] == "" {
		return bad("look at address: that is no Redis server", "what answers INFO at %s does not say which run it is", p.node.Address)
	}
	if p.info["loading"] == "1" {
		return bad("wait until it has loaded, then run doctor again", "the server is loading its data set")
	}
	p.settings = map[string]string{}
	if all, err := c.Do(ctx, "CONFIG", "GET", "*").Slice(); err == nil {
		for i := 0; i+1 < len(all); i += 2 {
			p.settings[fmt.Sprint(all[i])] = fmt.Sprint(all[i+1])
		}
	}
	p.rights = p.askRights(ctx)
	p.process = findServer(p.info)
	p.file = readConfigFile(p.info["config_file"], p.process)
	p.users = p.readUsers(ctx, c)
	return fine("%s answers, process %s, up %ss", p.node.Address, p.info["process_id"], p.info["uptime_in_seconds"])
}

func (p *patient) unreachable(err error) finding {
	address := p.node.Address
	switch text := err.Error(); {
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"), strings.Contains(text, "AUTH"):
		return bad("mend username, password or password_file of the node", "%s: %s", address, text)
	case strings.Contains(text, "NOPERM"):
		return bad("redis-cli ACL SETUSER "+p.user()+" +info, and what else docs/doctor.md lists", "%s: the agent's user may not INFO: %s", address, text)
	case strings.Contains(text, "DENIED"):
		return bad("give the default user a password, or set protected-mode no and bind to an inner network", "%s: protected mode: %s", address, text)
	case strings.Contains(text, "certificate"), strings.Contains(text, "tls:"):
		return bad("mend the node's tls block", "%s: %s", address, text)
	default:
		return bad("start the server, or mend the node's address", "%s: %s", address, text)
	}
}

// user is the name of the agent's user.
func (p *patient) user() string {
	if p.node.Username == "" {
		return "default"
	}
	return p.node.Username
}

// setting is a setting of the server; ok is false when it may not be read, which the check of rights says, or when the
// server has no such setting.
func (p *patient) setting(name string) (value string, ok bool) {
	value, ok = p.settings[name]
	return value, ok
}

// connect makes a client of exactly one connection: when that ends, so does the client. A command that was meant for
// the inside of a transaction never reaches the server outside of one.
func (p *patient) connect(address, username, password string) (*goredis.Client, error) {
	o := &goredis.Options{
		Addr: address, Username: username, Password: password, Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, PoolSize: 1, DialerRetries: 1,
		DialTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	var err error
	if o.TLSConfig, err = p.tlsConfig(address); err != nil {
		return nil, err
	}
	dial := o.NewDialer()
	var dialed atomic.Bool
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialed.Swap(true) {
			return nil, errors.New("the server ended the connection")
		}
		return dial(ctx, network, address)
	}
	return goredis.NewClient(o), nil
}

func (p *patient) tlsConfig(address string) (*tls.Config, error) {
	t := p.node.TLS
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(address)
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
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// infoFields reads the lines "name:value" of INFO.
func infoFields(text string) map[string]string {
	f := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			f[name] = value
		}
	}
	return f
}

// number reads a number of INFO or of a setting, 0 if it is none.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func checkVersion(_ context.Context, p *patient) finding {
	if mode := p.info["redis_mode"]; mode != "standalone" {
		return bad("give the address of a server without cluster-enabled; a Sentinel is none either", "the server runs in mode %q", mode)
	}
	if v := p.info["valkey_version"]; v != "" {
		return fine("Valkey %s", v)
	}
	v := p.info["redis_version"]
	var major, minor int
	if _, err := fmt.Sscanf(v, "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 2 {
		return bad("upgrade to Redis 6.2 or later", "version %q lacks commands that the driver needs", v)
	}
	return fine("Redis %s", v)
}

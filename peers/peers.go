// Package peers is how agents speak to each other without Consul: over one port, each sure of who the other is. It carries
// questions and answers; what may be promised is decided elsewhere.
package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
)

// ErrAuth: the two agents do not have the same key, or somebody who has none is between them.
var ErrAuth = errors.New("the agent does not have the key of this installation")

// ErrOtherAgent: another agent than the one meant answers at that address.
var ErrOtherAgent = errors.New("another agent answers there")

// MinKey is the least length of Config.Key, in bytes.
const MinKey = 32

// Config is who the agent is and how it knows others.
type Config struct {
	// Listen is "host:port"; only Serve needs it.
	Listen string
	// Key is the secret that all agents of an installation share.
	Key []byte
	// CAFile, CertFile and KeyFile, all or none: with them both sides speak TLS, and each presents a certificate that
	// the authority signed. The key is used as well.
	CAFile, CertFile, KeyFile string
	// Agent is the own name.
	Agent, Version string
	Logger         hclog.Logger
}

// PromiseRequest asks that none of the other agent's nodes of a group opens for so long, because the master named, in this
// run and epoch, may stay open.
type PromiseRequest struct {
	Group  string        `json:"group"`
	Epoch  uint64        `json:"epoch"`
	Master string        `json:"master"`
	RunID  string        `json:"run_id"`
	For    time.Duration `json:"for"`
}

// PromiseAnswer says whether it is promised, and if not, why.
type PromiseAnswer struct {
	Given bool   `json:"given"`
	Why   string `json:"why,omitempty"`
}

// FrozenNotice says that a master froze, because its agent does not reach Consul.
type FrozenNotice struct {
	Group string `json:"group"`
	Node  string `json:"node"`
	RunID string `json:"run_id"`
	Epoch uint64 `json:"epoch"`
	// ReplID is the replication id that it froze under, and Offset where: when it opens again it has another id, from there on.
	ReplID string `json:"replid"`
	Offset int64  `json:"offset"`
	Why    string `json:"why"`
}

// News is something that one agent tells another about a group, as JSON. It may be told twice.
type News struct {
	Group string          `json:"group"`
	Body  json.RawMessage `json:"body"`
}

// Identity is who answers at an address.
type Identity struct {
	Agent   string `json:"agent"`
	Version string `json:"version"`
}

// Handler answers what others ask. The context ends after some seconds.
type Handler interface {
	Promise(ctx context.Context, r PromiseRequest) PromiseAnswer
	// View is what the agent makes of a group, as JSON.
	View(ctx context.Context, group string) ([]byte, error)
	Frozen(ctx context.Context, n FrozenNotice)
	Tell(ctx context.Context, n News) error
}

// What is asked for.
const (
	kindPromise  = "promise"
	kindView     = "view"
	kindFrozen   = "frozen"
	kindNews     = "news"
	kindIdentity = "identity"
)

// answerTimeout bounds one request on the side that answers.
const answerTimeout = 5 * time.Second

func (c Config) check() error {
	switch {
	case len(c.Key) < MinKey:
		return fmt.Errorf("the agents' key has %d bytes, want %d or more", len(c.Key), MinKey)
	case c.Agent == "":
		return errors.New("the agent has no name")
	}
	return nil
}

// tls is nil when it is not configured.
func (c Config) tls() (*tls.Config, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the authority of the agents' certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", c.CAFile)
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the agent's certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		Certificates: []tls.Certificate{pair}}, nil
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of this package come here, none of which can fail
	}
	return b
}

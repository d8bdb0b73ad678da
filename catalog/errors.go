package catalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"
)

var (
	// ErrConflict means that a compare-and-set lost: the entry has changed, or the lock or the session that
	// the write rests on is gone. Nothing was written.
	ErrConflict = errors.New("conflict")
	// ErrUnknownOutcome means that a write was sent and its answer did not come: it may have been applied or
	// not, or may be yet. A consistent read tells.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrNoSession means that the agent has no session now, so it can neither vote nor lead.
	ErrNoSession = errors.New("no session")
	// ErrFiltered means that the ACL token may not read all of what was asked for. An answer with parts left
	// out must not pass for one that says there is nothing.
	ErrFiltered = errors.New("the ACL token may not read all of it")
)

// KeyError is a KV entry that cannot be read as what it should be.
type KeyError struct {
	Key string
	Err error
}

func (e *KeyError) Error() string { return fmt.Sprintf("key %q: %v", e.Key, e.Err) }

// Unwrap returns why the entry cannot be read.
func (e *KeyError) Unwrap() error { return e.Err }

// unsent says that a request cannot have reached Consul, because there was no connection to send it on.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// refused says that Consul answered and did not do it, so no other address need be asked.
func refused(err error) bool {
	var status api.StatusError
	if errors.As(err, &status) {
		return status.Code < http.StatusInternalServerError || denied(status.Body)
	}
	// The transaction call of consul/api reports no status code.
	var content *contentError
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrFiltered) || errors.As(err, &content) || denied(err.Error())
}

// denied recognises Consul's ACL errors, which come with different status codes.
func denied(text string) bool {
	return strings.Contains(text, "Permission denied") || strings.Contains(text, "ACL not found")
}

// failed marks an error that is about the content of an answer, not about getting one.
func failed(err error) error { return &contentError{err} }

type contentError struct{ error }

func (e *contentError) Unwrap() error { return e.error }

// outcome classifies the error of a write.
func outcome(err error) error {
	if err == nil || refused(err) || unsent(err) || errors.Is(err, ErrNoSession) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// outage tells once when Consul is out of reach and once when it is back.
type outage struct {
	tell func(error)
	log  hclog.Logger
	mu   sync.Mutex
	out  bool
}

func (o *outage) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if (err != nil) == o.out {
		return
	}
	o.out = err != nil
	if o.out {
		o.log.Warn("cannot watch Consul", "error", err)
	} else {
		o.log.Info("Consul can be watched again")
	}
	if o.tell != nil {
		o.tell(err)
	}
}

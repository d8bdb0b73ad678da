package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/proto"
)

// ErrDriverDown: the driver's process is not running, so nothing is known of its servers.
var ErrDriverDown = errors.New("the driver's process is not running")

// reasons are the errors that keep their identity through the process boundary.
var reasons = []struct {
	err    error
	reason proto.Reason
	code   codes.Code
}{
	{ErrUnknownServer, proto.Reason_REASON_UNKNOWN_SERVER, codes.NotFound},
	{ErrOtherRun, proto.Reason_REASON_OTHER_RUN, codes.FailedPrecondition},
	{ErrMoved, proto.Reason_REASON_MOVED, codes.FailedPrecondition},
	{ErrConfigNotWritable, proto.Reason_REASON_CONFIG_NOT_WRITABLE, codes.FailedPrecondition},
	{ErrLagging, proto.Reason_REASON_LAGGING, codes.FailedPrecondition},
	{ErrUnsupported, proto.Reason_REASON_UNSUPPORTED, codes.Unimplemented},
	// Not codes.Unavailable, which gRPC itself uses when the driver's process is gone.
	{ErrUnreachable, proto.Reason_REASON_UNREACHABLE, codes.Aborted},
}

// errorToStatus is the driver's side: an error becomes a gRPC status. What is secret is replaced, should a
// driver have put it into its words.
func errorToStatus(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	words := text(err.Error())
	for _, secret := range secrets {
		if secret != "" {
			words = strings.ReplaceAll(words, secret, "[secret]")
		}
	}
	for _, r := range reasons {
		if !errors.Is(err, r.err) {
			continue
		}
		s, detailErr := status.New(r.code, words).WithDetails(&proto.ErrorDetail{Reason: r.reason})
		if detailErr != nil {
			return status.Error(r.code, words)
		}
		return s.Err()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, words)
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, words)
	}
	return status.Error(codes.Unknown, words)
}

// remoteError is an error that a driver answered: its words, and the identity it had there.
type remoteError struct {
	words string
	is    error
}

func (e *remoteError) Error() string { return e.words }
func (e *remoteError) Unwrap() error { return e.is }

// errorFromStatus is the agent's side: the error that the driver had, as far as callers decide on it.
func errorFromStatus(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, detail := range s.Details() {
		d, ok := detail.(*proto.ErrorDetail)
		if !ok {
			continue
		}
		for _, r := range reasons {
			if r.reason == d.GetReason() {
				return &remoteError{words: s.Message(), is: r.err}
			}
		}
	}
	switch s.Code() {
	case codes.OK:
		return nil
	case codes.Unavailable:
		return fmt.Errorf("%w: %s", ErrDriverDown, s.Message())
	case codes.Unimplemented:
		return &remoteError{words: s.Message(), is: ErrUnsupported}
	case codes.DeadlineExceeded:
		return &remoteError{words: s.Message(), is: context.DeadlineExceeded}
	case codes.Canceled:
		return &remoteError{words: s.Message(), is: context.Canceled}
	}
	return &remoteError{words: s.Message()}
}

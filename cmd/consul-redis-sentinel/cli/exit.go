package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"

	"github.com/hashicorp/consul/api"
	"github.com/spf13/cobra"
)

// ExitCode tells a script how a command ended.
type ExitCode int

const (
	// ExitOK: it was done.
	ExitOK ExitCode = 0
	// ExitFailed: it was not done, for a reason that has no code of its own.
	ExitFailed ExitCode = 1
	// ExitUsage: the command line is wrong.
	ExitUsage ExitCode = 2
	// ExitConfig: the configuration is wrong.
	ExitConfig ExitCode = 3
	// ExitNoConsul: no Consul agent answers, or Consul has no leader.
	ExitNoConsul ExitCode = 4
	// ExitRefused: the agents, or this program, would not do it or called it off, and said why.
	ExitRefused ExitCode = 5
	// ExitTimeout: it was not done in time; it may still be done.
	ExitTimeout ExitCode = 6
)

// exitCodes are the codes in words, for the documentation.
var exitCodes = []struct {
	code ExitCode
	what string
}{
	{ExitOK, "it was done"},
	{ExitFailed, "it was not done, for a reason that has no code of its own"},
	{ExitUsage, "the command line is wrong"},
	{ExitConfig, "the configuration is wrong"},
	{ExitNoConsul, "no Consul agent answers, or Consul has no leader"},
	{ExitRefused, "the request was refused or called off, with the reason"},
	{ExitTimeout, "it was not done in time; it may still be done"},
}

// coded is an error that knows its exit code.
type coded struct {
	code ExitCode
	err  error
}

func (e coded) Error() string { return e.err.Error() }
func (e coded) Unwrap() error { return e.err }

// quietError is an error that has been told already.
type quietError struct{ code ExitCode }

func (e quietError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// usagef is a mistake in the command line; it says where help is.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return coded{ExitUsage, fmt.Errorf("%s\nSee: %s -help", fmt.Sprintf(format, args...), cmd.CommandPath())}
}

func refusedf(format string, args ...any) error {
	return coded{ExitRefused, fmt.Errorf(format, args...)}
}

// exitCode finds the code of an error.
func exitCode(err error) ExitCode {
	var c coded
	var q quietError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &q):
		return q.code
	case noConsul(err):
		return ExitNoConsul
	}
	return ExitFailed
}

// noConsul tells whether an error of a call to Consul means that there was no answer of use, rather than a refusal.
func noConsul(err error) bool {
	var status api.StatusError
	if errors.As(err, &status) {
		return status.Code >= 500
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		return false // its syscall.Errno would pass for a net.Error
	}
	var network net.Error
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &request) && !errors.Is(err, context.Canceled)
}

package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// startTimeout is how long a driver process may take to say that it serves.
const startTimeout = 20 * time.Second

// endTimeout is how long it may take to end when asked; then it is killed.
const endTimeout = 2 * time.Second

// Options say how to run a driver.
type Options struct {
	// Command is the program and its arguments. Never put a secret here: other users can read it.
	Command []string
	// SHA256 is the checksum of the program in hexadecimal that must match; empty for the agent's own
	// program.
	SHA256 string
	// Logger receives what the driver logs.
	Logger hclog.Logger
	// Env is the whole environment of the process ("NAME=value") but for the handshake; nothing of the
	// agent's own environment, which may hold a Consul token, is passed on.
	Env []string
	// Lock is a file that the agent keeps locked (Lock) while it runs. A driver that survives its agent, to freeze servers
	// (Server.FreezeAfter), knows by it that another agent works in its place.
	Lock string
}

// Process is a running driver.
type Process struct {
	Driver
	client    *goplugin.Client
	cmd       *exec.Cmd
	socketDir string
	pid       int
	close     sync.Once
}

// Start runs a driver process and returns when it serves, within 20 seconds or the deadline of ctx if that is
// sooner. The end of ctx afterwards changes nothing: the caller closes the process.
func Start(ctx context.Context, o Options) (*Process, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("start driver: no command given")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	secure, err := secureConfig(o.SHA256)
	if err != nil {
		return nil, fmt.Errorf("start driver %s: %w", o.Command[0], err)
	}
	timeout := startTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start driver %s: %w", o.Command[0], err)
	}
	// The socket has a directory of its own so that nothing is left behind by a driver that is killed.
	socketDir, err := os.MkdirTemp("", "consul-redis-sentinel-")
	if err != nil {
		return nil, fmt.Errorf("start driver %s: %w", o.Command[0], err)
	}
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Env = append(append([]string{}, o.Env...),
		goplugin.EnvUnixSocketDir+"="+socketDir,
		agentPIDVariable+"="+strconv.Itoa(os.Getpid()),
		agentLockVariable+"="+o.Lock)
	p := &Process{cmd: cmd, socketDir: socketDir}
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: versions(nil),
		Cmd:              cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		SecureConfig:     secure,
		StartTimeout:     timeout,
		Logger:           o.Logger,
		SyncStdout:       io.Discard,
		SyncStderr:       io.Discard,
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		},
	})
	d, err := p.dispense()
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("start driver %s: %w", o.Command[0], err)
	}
	p.Driver, p.pid = d, cmd.Process.Pid
	return p, nil
}

func secureConfig(sum string) (*goplugin.SecureConfig, error) {
	if sum == "" {
		return nil, nil
	}
	want, err := hex.DecodeString(strings.TrimSpace(sum))
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("sha256 %q is not a checksum of %d hexadecimal digits", sum, 2*sha256.Size)
	}
	return &goplugin.SecureConfig{Checksum: want, Hash: sha256.New()}, nil
}

func (p *Process) dispense() (Driver, error) {
	rpc, err := p.client.Client()
	if err != nil {
		if errors.Is(err, goplugin.ErrChecksumsDoNotMatch) {
			return nil, errors.New("the program's sha256 is not the one that the configuration names")
		}
		return nil, err
	}
	raw, err := rpc.Dispense(dispensed)
	if err != nil {
		return nil, err
	}
	d, ok := raw.(Driver)
	if !ok {
		return nil, fmt.Errorf("it serves %T instead of a driver", raw)
	}
	return d, nil
}

// PID is the id of the driver's process.
func (p *Process) PID() int { return p.pid }

// Kill ends the process at once. Close is still to be called.
func (p *Process) Kill() {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
	}
}

// Close ends the process, killing it when it does not end within 2 seconds, and waits until it is gone.
func (p *Process) Close() {
	p.close.Do(func() {
		// go-plugin asks without a deadline, so a process that hangs must be killed from beside.
		kill := time.AfterFunc(endTimeout, p.Kill)
		defer kill.Stop()
		p.client.Kill()
		_ = os.RemoveAll(p.socketDir)
	})
}

package plugin

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// ErrStartedByHand is the answer of Serve when no agent started the process.
var ErrStartedByHand = errors.New("this is a driver plugin of consul-redis-sentinel: the agent starts it, it does nothing by itself")

// The environment that an agent gives its driver, which ends with it.
const (
	agentPIDVariable = "CONSUL_REDIS_SENTINEL_AGENT_PID"
	// agentLockVariable names the file that an agent keeps locked while it runs.
	agentLockVariable = "CONSUL_REDIS_SENTINEL_AGENT_LOCK"
)

// agentPoll is how often a driver looks whether an agent runs where nothing tells it.
const agentPoll = 100 * time.Millisecond

// Serve is the whole main of a driver: it serves d to the agent that started this process and returns when the
// agent ends it or is gone. A process started by hand gets ErrStartedByHand at once.
//
// logger is to be made with NewLogger, so that the agent understands its lines.
func Serve(d Driver, logger hclog.Logger) error {
	if os.Getenv(handshake.MagicCookieKey) != handshake.MagicCookieValue {
		return ErrStartedByHand
	}
	// A signal to the whole group or unit is the agent's to act on: it still needs its driver to leave in order.
	// The last lines of a log that nobody reads any more must not end it before it has cleared up.
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	server := make(chan *grpc.Server, 1)
	var orphaned atomic.Bool
	w := newWards(d, logger)
	go func() {
		awaitEndOfAgent()
		orphaned.Store(true)
		w.settle(time.Now())
		logger.Warn("the agent is gone, ending with it")
		// Should it not end in order, it must end all the same.
		time.AfterFunc(endTimeout, func() { os.Exit(1) })
		(<-server).Stop()
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: versions(w),
		Logger:           logger,
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(options,
				grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window))...)
			server <- s
			return s
		},
	})
	if orphaned.Load() {
		removeSocketDir()
	}
	return nil
}

// NewLogger makes the logger of a driver process: JSON lines to standard error, which the agent takes apart and
// writes to its own log at its own level.
func NewLogger(name string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: name, Level: hclog.Trace, JSONFormat: true, Output: os.Stderr,
	})
}

// awaitEndOfAgent returns when the agent no longer runs. A driver that outlived its agent would have servers that
// nobody answers for, and give them orders that came late.
func awaitEndOfAgent() {
	parent := os.Getppid()
	agent, _ := strconv.Atoi(os.Getenv(agentPIDVariable))
	var ends []unix.PollFd
	forever := -1
	// The parent may be a shell around this process; the agent is looked at as well.
	for _, pid := range []int{parent, agent} {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			forever = int(agentPoll.Milliseconds())
			continue
		}
		defer unix.Close(fd)
		ends = append(ends, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for os.Getppid() == parent && (agent <= 0 || !errors.Is(syscall.Kill(agent, 0), syscall.ESRCH)) {
		if n, _ := unix.Poll(ends, forever); n > 0 {
			return
		}
	}
}

// removeSocketDir removes what the agent would have.
func removeSocketDir() {
	if dir := os.Getenv(goplugin.EnvUnixSocketDir); dir != "" {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

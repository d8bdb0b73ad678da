package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// wards is a driver that knows which servers are to be frozen when the agent is gone (Server.FreezeAfter).
type wards struct {
	Driver
	logger hclog.Logger

	mu      sync.Mutex
	servers map[string]Server
}

func newWards(d Driver, logger hclog.Logger) *wards {
	return &wards{Driver: d, logger: logger, servers: map[string]Server{}}
}

// Connect implements Driver.
func (w *wards) Connect(ctx context.Context, s Server) error {
	err := w.Driver.Connect(ctx, s)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.servers[s.Name] = s
	}
	return err
}

// Disconnect implements Driver.
func (w *wards) Disconnect(ctx context.Context, name string) error {
	w.mu.Lock()
	delete(w.servers, name)
	w.mu.Unlock()
	return w.Driver.Disconnect(ctx, name)
}

// settle freezes what is to be frozen after the agent's end, and returns when nothing is left to do here.
func (w *wards) settle(end time.Time) {
	w.mu.Lock()
	servers := maps.Clone(w.servers)
	w.mu.Unlock()
	var each sync.WaitGroup
	for _, s := range servers {
		if s.FreezeAfter > 0 {
			each.Go(func() { w.settleOne(s, end) })
		}
	}
	each.Wait()
}

// exitTakes is how long an agent that ends may keep its lock: the kernel hands its children on before the last of its
// threads has let go of its files.
const exitTakes = time.Second

// settleOne tries until the server is not open any more, has ended, or is another agent's.
func (w *wards) settleOne(s Server, end time.Time) {
	for ; ; time.Sleep(agentPoll) {
		gone := time.Since(end)
		if agentRuns() {
			if gone < exitTakes {
				continue
			}
			break
		}
		if gone < s.FreezeAfter {
			continue
		}
		closed, err := w.closed(s)
		if closed {
			return
		}
		w.logger.Warn("the agent is gone, and its server cannot be frozen yet", "server", s.Name, "error", err)
	}
	w.logger.Info("another agent runs", "server", s.Name)
}

// closed freezes the server if it is open, and tells whether it takes no writes then.
func (w *wards) closed(s Server) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	switch o, err := w.Probe(ctx, s); {
	case err != nil:
		return false, err
	case o.Link == LinkGone:
		return true, nil
	case o.Info == nil:
		return false, fmt.Errorf("it is %s: %s", o.Link, o.Cause)
	case !o.Info.Open:
		return true, nil
	}
	if _, err := w.Freeze(ctx, s.Name); err != nil {
		return false, err
	}
	w.logger.Warn("the agent is gone, and its server is frozen", "server", s.Name)
	return true, nil
}

// Lock locks a file for as long as this process lives or until release is called. It waits a moment, since the driver of
// an agent before this one may be looking whether an agent runs; ErrLocked says that one does.
func Lock(path string) (release func(), err error) {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(agentPoll / 10) {
		if release, err = flock(path, syscall.LOCK_EX); !errors.Is(err, ErrLocked) || time.Now().After(deadline) {
			return release, err
		}
	}
}

// ErrLocked: another process keeps the file locked.
var ErrLocked = errors.New("another process has locked the file")

// agentRuns tells whether an agent runs where this process's own did.
func agentRuns() bool {
	path := os.Getenv(agentLockVariable)
	if path == "" {
		return false
	}
	release, err := flock(path, syscall.LOCK_SH)
	if err == nil {
		release()
	}
	return errors.Is(err, ErrLocked)
}

func flock(path string, how int) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

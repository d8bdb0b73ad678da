package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/beat"
)

const (
	// restartAfter is the pause before the first restart of a driver that ended, doubled up to
	// restartAtMost. A driver that ran for longAlive earned a fresh start.
	restartAfter  = 50 * time.Millisecond
	restartAtMost = 5 * time.Second
	longAlive     = 10 * time.Second

	// A driver is asked for a sign of life every pulseEvery. When none came for hangsAfter, what it last
	// said of its servers is no longer true; after killAfter it is killed and started again.
	pulseEvery = time.Second
	hangsAfter = time.Second
	killAfter  = 10 * time.Second

	// connectTimeout bounds connecting a server anew after a restart. Connect waits for no server.
	connectTimeout = 5 * time.Second
)

// Supervisor is a Driver that keeps the process of a driver running. While the process is away or hangs, every
// connected server is observed as LinkUnknown, and calls fail at once with ErrDriverDown when it is away. What
// was connected is connected anew to the next process.
type Supervisor struct {
	options Options
	hub     Hub
	cancel  context.CancelFunc
	done    chan struct{}

	// settings orders Connect and Disconnect against the reconnecting of all servers. It is never held while
	// a process starts.
	settings sync.Mutex

	mu      sync.Mutex
	servers map[string]*supervised
	process *Process // nil while there is none to call
	left    bool     // the process outlives this one
	away    error    // why there is none
}

// supervised is a server that is to be connected, and whether the present process did.
type supervised struct {
	Server
	connected bool
}

var _ Driver = (*Supervisor)(nil)

// Supervise starts a driver and keeps it running until Close. An error of the first start is returned: a command
// or checksum that is wrong will not mend itself.
func Supervise(ctx context.Context, o Options) (*Supervisor, error) {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	p, err := Start(ctx, o)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.Background())
	s := &Supervisor{
		options: o, cancel: cancel, done: make(chan struct{}), servers: map[string]*supervised{}, process: p,
	}
	go s.run(running, p)
	return s, nil
}

// Close ends the driver's process. The servers are left as they are.
func (s *Supervisor) Close() {
	s.cancel()
	<-s.done
}

// Leave is Close for an agent that ends: a process that is to freeze servers then (Server.FreezeAfter) goes on.
func (s *Supervisor) Leave() {
	s.mu.Lock()
	for _, server := range s.servers {
		s.left = s.left || server.FreezeAfter > 0
	}
	s.mu.Unlock()
	s.Close()
}

// PID is the id of the driver's process, 0 while there is none.
func (s *Supervisor) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.PID()
}

// run watches one process after the other.
func (s *Supervisor) run(ctx context.Context, p *Process) {
	defer close(s.done)
	pause := restartAfter
	for {
		began := time.Now()
		err := s.watch(ctx, p)
		s.lose(err)
		if ctx.Err() != nil {
			if !s.outlives() {
				p.Close()
			}
			return
		}
		p.Close()
		if time.Since(began) > longAlive {
			pause = restartAfter
		}
		for p = nil; p == nil; pause = min(2*pause, restartAtMost) {
			s.options.Logger.Warn("driver ended, starting it again", "error", err, "in", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			if p, err = Start(ctx, s.options); err != nil {
				s.lose(err)
			}
		}
		s.adopt(ctx, p)
		s.options.Logger.Info("driver started again", "pid", p.PID())
	}
}

// watch passes on what the driver observes until its process ends or hangs, and says why.
func (s *Supervisor) watch(ctx context.Context, p *Process) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var pulse sync.WaitGroup
	defer pulse.Wait()
	pulse.Go(func() { cancel(s.feelPulse(ctx, p)) })
	err := p.Observe(ctx, s.pass)
	if err == nil {
		err = context.Cause(ctx)
	}
	cancel(err)
	return err
}

// pass hands an observation on if it is of a server that is connected: one that was in the pipe when the server
// was disconnected is dropped.
func (s *Supervisor) pass(o Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.servers[o.Server]; known && s.process != nil {
		s.hub.Push(o)
	}
}

// feelPulse returns when the driver gave no sign of life for killAfter.
func (s *Supervisor) feelPulse(ctx context.Context, p *Process) error {
	tick := time.NewTimer(beat.Until(pulseEvery))
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-tick.C:
			tick.Reset(beat.Until(pulseEvery))
		case <-ctx.Done():
			return ctx.Err()
		}
		asked, cancel := context.WithTimeout(ctx, hangsAfter)
		_, err := p.Capabilities(asked)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			// Any answer is life; the end of the process shows in the stream.
			last = time.Now()
			if s.settings.TryLock() {
				s.connectMissing(ctx, p)
				s.settings.Unlock()
			}
		case time.Since(last) > killAfter:
			return fmt.Errorf("%w: it gave no sign of life for %v", ErrDriverDown, killAfter)
		default:
			s.pushUnknown("the driver does not answer")
		}
	}
}

// lose makes calls fail from now on, and every server unknown.
func (s *Supervisor) lose(why error) {
	s.mu.Lock()
	s.process, s.away = nil, why
	s.mu.Unlock()
	s.pushUnknown(downError(why).Error())
}

func (s *Supervisor) pushUnknown(cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.servers {
		s.hub.Push(Observation{Server: name, Link: LinkUnknown, Cause: cause})
	}
}

// adopt connects all servers to a new process and lets calls through to it.
func (s *Supervisor) adopt(ctx context.Context, p *Process) {
	s.settings.Lock()
	defer s.settings.Unlock()
	s.mu.Lock()
	for _, server := range s.servers {
		server.connected = false
	}
	s.mu.Unlock()
	s.connectMissing(ctx, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.away = p, nil
}

// connectMissing connects what the process does not know yet. The caller holds settings.
func (s *Supervisor) connectMissing(ctx context.Context, p *Process) {
	s.mu.Lock()
	missing := slices.DeleteFunc(slices.Collect(maps.Values(s.servers)), func(each *supervised) bool { return each.connected })
	s.mu.Unlock()
	for _, server := range missing {
		connect, cancel := context.WithTimeout(ctx, connectTimeout)
		err := p.Connect(connect, server.Server)
		cancel()
		s.mu.Lock()
		if server.connected = err == nil; !server.connected {
			s.hub.Push(Observation{Server: server.Name, Link: LinkUnknown, Cause: "connect: " + err.Error()})
		}
		s.mu.Unlock()
	}
}

// outlives tells whether the process is to outlive this one.
func (s *Supervisor) outlives() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

// driver is the process to call.
func (s *Supervisor) driver() (*Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil, downError(s.away)
	}
	return s.process, nil
}

func downError(why error) error {
	switch {
	case why == nil:
		return ErrDriverDown
	case errors.Is(why, ErrDriverDown):
		return why
	}
	return fmt.Errorf("%w: %w", ErrDriverDown, why)
}

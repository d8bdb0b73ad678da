package plugin

import (
	"context"
	"errors"
	"time"
)

// Capabilities implements Driver.
func (s *Supervisor) Capabilities(ctx context.Context) (Capabilities, error) {
	d, err := s.driver()
	if err != nil {
		return Capabilities{}, err
	}
	return d.Capabilities(ctx)
}

// Connect implements Driver. With ErrDriverDown, or when the driver gives no answer in time, the server is
// remembered nevertheless and connected when there is a driver again; until then it is observed as LinkUnknown.
// When the driver refuses the settings, what was connected before stays.
func (s *Supervisor) Connect(ctx context.Context, server Server) error {
	s.settings.Lock()
	defer s.settings.Unlock()
	s.mu.Lock()
	before, known := s.servers[server.Name]
	now := &supervised{Server: server}
	s.servers[server.Name] = now // before the call, so that the first observation is let through
	if !known {
		s.hub.Push(Observation{Server: server.Name, Link: LinkUnknown, Cause: "just connected"})
	}
	s.mu.Unlock()
	d, err := s.driver()
	if err != nil {
		return err
	}
	err = d.Connect(ctx, server)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		now.connected = true
	case errors.Is(err, ErrDriverDown), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// To be connected when the driver is back.
	case known:
		s.servers[server.Name] = before
	default:
		delete(s.servers, server.Name)
		s.hub.Forget(server.Name)
	}
	return err
}

// Disconnect implements Driver. It succeeds when the driver is down: there is nothing left to end.
func (s *Supervisor) Disconnect(ctx context.Context, server string) error {
	s.settings.Lock()
	defer s.settings.Unlock()
	s.mu.Lock()
	delete(s.servers, server)
	s.hub.Forget(server)
	s.mu.Unlock()
	d, err := s.driver()
	if err == nil {
		err = d.Disconnect(ctx, server)
	}
	if errors.Is(err, ErrDriverDown) {
		return nil
	}
	return err
}

// Observe implements Driver. It goes on through restarts of the driver.
func (s *Supervisor) Observe(ctx context.Context, observe func(Observation)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.done:
			cancel(ErrDriverDown)
		case <-ctx.Done():
		}
	}()
	if err := s.hub.Observe(ctx, observe); err != nil {
		return err
	}
	if errors.Is(context.Cause(ctx), ErrDriverDown) {
		return ErrDriverDown
	}
	return nil
}

// Probe implements Driver.
func (s *Supervisor) Probe(ctx context.Context, server Server) (Observation, error) {
	d, err := s.driver()
	if err != nil {
		return Observation{}, err
	}
	return d.Probe(ctx, server)
}

// Freeze implements Driver.
func (s *Supervisor) Freeze(ctx context.Context, server string) (Frozen, error) {
	d, err := s.driver()
	if err != nil {
		return Frozen{}, err
	}
	return d.Freeze(ctx, server)
}

// Open implements Driver.
func (s *Supervisor) Open(ctx context.Context, server, runID string) (Position, error) {
	d, err := s.driver()
	if err != nil {
		return Position{}, err
	}
	return d.Open(ctx, server, runID)
}

// Follow implements Driver.
func (s *Supervisor) Follow(ctx context.Context, server, runID string, at Position, address string) error {
	d, err := s.driver()
	if err != nil {
		return err
	}
	return d.Follow(ctx, server, runID, at, address)
}

// Persist implements Driver.
func (s *Supervisor) Persist(ctx context.Context, server string) error {
	d, err := s.driver()
	if err != nil {
		return err
	}
	return d.Persist(ctx, server)
}

// Pause implements Driver.
func (s *Supervisor) Pause(ctx context.Context, server string, d time.Duration) error {
	p, err := s.driver()
	if err != nil {
		return err
	}
	return p.Pause(ctx, server, d)
}

// Unpause implements Driver.
func (s *Supervisor) Unpause(ctx context.Context, server string) error {
	d, err := s.driver()
	if err != nil {
		return err
	}
	return d.Unpause(ctx, server)
}

// EndClients implements Driver.
func (s *Supervisor) EndClients(ctx context.Context, server string) (int, error) {
	d, err := s.driver()
	if err != nil {
		return 0, err
	}
	return d.EndClients(ctx, server)
}

// MinReplicas implements Driver.
func (s *Supervisor) MinReplicas(ctx context.Context, server string) (int, error) {
	d, err := s.driver()
	if err != nil {
		return 0, err
	}
	return d.MinReplicas(ctx, server)
}

// SetMinReplicas implements Driver.
func (s *Supervisor) SetMinReplicas(ctx context.Context, server string, replicas int) error {
	d, err := s.driver()
	if err != nil {
		return err
	}
	return d.SetMinReplicas(ctx, server, replicas)
}

// Save implements Driver.
func (s *Supervisor) Save(ctx context.Context, server, path string) error {
	d, err := s.driver()
	if err != nil {
		return err
	}
	return d.Save(ctx, server, path)
}

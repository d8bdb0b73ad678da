package redis

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Probe looks at a server once, on the connection for orders where there is one that answers, else on one of its own. The
// outcome is in the observation; an error means that the settings are wrong or that the caller gave up.
func (d *driver) Probe(ctx context.Context, settings plugin.Server) (plugin.Observation, error) {
	dialer, err := newDialer(settings)
	if err != nil {
		return plugin.Observation{}, fmt.Errorf("probe %q: %w", settings.Name, err)
	}
	probing, cancel := ctx, context.CancelFunc(func() {})
	if settings.SilentAfter > 0 {
		probing, cancel = context.WithTimeout(ctx, settings.SilentAfter)
	}
	defer cancel()
	began := time.Now()
	o, ok := d.look(probing, settings)
	if !ok {
		o = probe(probing, dialer, settings)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return plugin.Observation{}, fmt.Errorf("probe %q: %w", settings.Name, ctx.Err())
	}
	if o.Link != plugin.LinkUp {
		o.SilentFor = time.Since(began)
	}
	return o, nil
}

// look reads INFO of a server that is connected.
func (d *driver) look(ctx context.Context, settings plugin.Server) (plugin.Observation, bool) {
	s, err := d.server(settings.Name, "look at")
	if err != nil || settings.Remote || s.settings.Address != settings.Address {
		return plugin.Observation{}, false
	}
	asked := time.Now()
	c, replies, err := s.ask(ctx, infoSections, readOnly)
	if err != nil {
		return plugin.Observation{}, false
	}
	s.release(c)
	if replies[0].failed != "" {
		return plugin.Observation{}, false
	}
	return plugin.Observation{
		Server: settings.Name, Link: plugin.LinkUp, Latency: time.Since(asked),
		Info: parseFields(replies[0].text).info(replies[1].pairs()["replica-read-only"]),
	}, true
}

func probe(ctx context.Context, d *dialer, settings plugin.Server) plugin.Observation {
	o := plugin.Observation{Server: settings.Name, Link: plugin.LinkSilent}
	c, err := d.dial(ctx)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		o.Link, o.Cause = plugin.LinkGone, err.Error()
		return o
	case err != nil:
		if o.Cause = err.Error(); answered(err) {
			o.Link = plugin.LinkUp
		}
		return o
	}
	defer c.Close()
	asked := time.Now()
	replies, err := c.do(ctx, append(d.auth(), command{"PING"})...)
	if err != nil {
		o.Cause = err.Error()
		return o
	}
	o.Link, o.Latency = plugin.LinkUp, time.Since(asked)
	for _, r := range replies {
		if r.failed != "" {
			o.Cause = d.withoutSecrets(r.failed)
		}
	}
	if settings.Remote {
		return o
	}
	replies, err = c.do(ctx, infoSections, infoPlain, readOnly)
	if err != nil {
		return o
	}
	for _, r := range replies[:2] {
		if r.failed == "" {
			o.Info = parseFields(r.text).info(replies[2].pairs()["replica-read-only"])
			break
		}
	}
	return o
}

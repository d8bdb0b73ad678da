package agent

import (
	"context"
	"errors"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/checks"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// connectNodes tells the driver about the agent's own nodes, and again when the shared settings change what it is to
// look for, or to do after the agent's end. A driver that is not there yet learns of them when it is.
func (g *group) connectNodes(ctx context.Context) {
	down := time.Duration(g.view.Settings().DownAfter)
	for _, n := range g.nodes {
		want := n.server
		want.PingEvery, want.SilentAfter = checks.PingEvery(down), down
		if want.FreezeAfter > 0 {
			want.FreezeAfter = g.view.Fence()
		}
		if want == n.connected {
			continue
		}
		g.do(ctx, "connect "+n.name, func(ctx context.Context) func() {
			ctx, cancel := context.WithTimeout(ctx, orderTimeout)
			defer cancel()
			err := n.drv.Connect(ctx, want)
			if refused(ctx, err) {
				return func() { g.log.Warn("cannot connect to the node", "node", n.name, "error", err) }
			}
			return func() {
				n.connected = want
			}
		})
	}
}

// watchMaster keeps an open connection to the master when it is another agent's node.
func (g *group) watchMaster(ctx context.Context) {
	s := g.view.State
	r := s.Record
	down := time.Duration(g.view.Settings().DownAfter)
	want := plugin.Server{}
	if r != nil && g.nodes[r.Master] == nil {
		want = plugin.Server{Name: g.watchName(r.Address), Address: r.Address, Remote: true,
			PingEvery: checks.WatchEvery(down), SilentAfter: down}
		if s.Nodes[r.Master].TLS {
			want.TLS = g.watchTLS
		}
	}
	if want == g.watched || g.running["watch"] {
		return
	}
	was := g.watched.Name
	if was != want.Name {
		g.remote = plugin.Observation{Link: plugin.LinkUnknown}
	}
	g.do(ctx, "watch", func(ctx context.Context) func() {
		var err error
		if was != "" && was != want.Name {
			err = g.watcher.Disconnect(ctx, was)
		}
		if err == nil && want.Name != "" {
			err = g.watcher.Connect(ctx, want)
		}
		if refused(ctx, err) {
			return func() { g.log.Warn("cannot watch the master", "master", want.Address, "error", err) }
		}
		return func() { g.watched = want }
	})
}

// refused tells whether a driver refused a server, after a pause so that it is not asked again at once. A driver that is
// down takes the server when it is back.
func refused(ctx context.Context, err error) bool {
	if err == nil || errors.Is(err, plugin.ErrDriverDown) {
		return false
	}
	sleep(ctx, tick)
	return true
}

// watchName is the name of a watched master. It has the address, so that what was seen of the master before is not taken for
// something about the one after.
func (g *group) watchName(address string) string { return watchPrefix(g.name) + address }

func watchPrefix(group string) string { return "master of " + group + " at " }

// watchTLS is how a group's master is watched by TLS where it is another agent's node: with the client certificate of an own
// node, if there is one. The master's certificate is not looked at: no secret is sent, and one that has expired is no
// reason for a change of master.
func watchTLS(nodes []config.Node, group string) *plugin.TLS {
	t := &plugin.TLS{InsecureSkipVerify: true}
	for _, n := range nodes {
		if n.Group == group && n.TLS != nil && n.TLS.CertFile != "" {
			t.CertFile, t.KeyFile = n.TLS.CertFile, n.TLS.KeyFile
		}
	}
	return t
}

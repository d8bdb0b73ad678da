package agent

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/checks"
)

// Consul is told of another status or of other words at once, of figures alone once a minute, and seldomer by an agent
// of many nodes.
func TestFiguresAreToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &board{says: map[string]string{}}
		p := newPublisher(c, nil)
		service := []catalog.Service{{ID: "redis", Checks: []catalog.Check{{ID: "memory"}}}}
		there, said := map[string]catalog.Service{}, map[string]spoken{}
		for _, step := range []struct {
			after  time.Duration
			status checks.Status
			says   string
			told   string
			nodes  int // that the agent has from then on
		}{
			{0, checks.Passing, "2 MiB used", "passing 2 MiB used", 1},
			{time.Second, checks.Passing, "3 MiB used", "passing 2 MiB used", 1},
			{time.Second, checks.Warning, "9 MiB used", "warning 9 MiB used", 1},
			{time.Second, checks.Warning, "9 MiB used; fragmentation 1.6", "warning 9 MiB used; fragmentation 1.6", 1},
			{figuresEvery, checks.Warning, "8 MiB used; fragmentation 1.6", "warning 8 MiB used; fragmentation 1.6", 1},
			{4 * figuresEvery, checks.Warning, "7 MiB used; fragmentation 1.6", "warning 8 MiB used; fragmentation 1.6", 5 * figuresNodes},
			{figuresEvery, checks.Warning, "7 MiB used; fragmentation 1.6", "warning 7 MiB used; fragmentation 1.6", 5 * figuresNodes},
		} {
			for i := range step.nodes {
				p.nodes[strconv.Itoa(i)] = &published{}
			}
			time.Sleep(step.after)
			results := map[string]checks.Result{"memory": {Status: step.status, Output: step.says}}
			if err := p.bring(t.Context(), there, said, service, results); err != nil {
				t.Fatal(err)
			}
			if got := c.says["memory"]; got != step.told {
				t.Errorf("%s %s: Consul was told %q, want %q", step.status, step.says, got, step.told)
			}
		}
		// A service that comes again has checks that have said nothing yet.
		results := map[string]checks.Result{"memory": {Status: checks.Warning, Output: "7 MiB used; fragmentation 1.6"}}
		for _, want := range [][]catalog.Service{nil, service} {
			if err := p.bring(t.Context(), there, said, want, results); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.says["memory"]; got != "warning 7 MiB used; fragmentation 1.6" {
			t.Errorf("registered again, Consul was told %q", got)
		}
	})
}

// board takes down what checks say.
type board struct {
	registrar
	says map[string]string
}

func (b *board) Register(context.Context, catalog.Service) error { return nil }

func (b *board) Deregister(context.Context, string) error {
	clear(b.says)
	return nil
}

func (b *board) SetCheck(_ context.Context, id, status, output string) {
	b.says[id] = status + " " + output
}

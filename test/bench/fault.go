package main

import (
	"context"
	"syscall"
	"time"
)

const sigkill = syscall.SIGKILL

// kase is a kind of fault.
type kase struct {
	name string
	// title is what tables say.
	title string
	// downAfter are those that it is measured with unless the command line says otherwise.
	downAfter []time.Duration
	// prepare, if set, is done before anything is measured.
	prepare func(ctx context.Context, s system, master int) error
	// inject makes the fault.
	inject func(ctx context.Context, s system, master int) error
	// measure, if set, measures in another way than by the writes around a fault.
	measure func(ctx context.Context, m *measurement) (*Run, error)
	// cut takes the master's machine off the network for so long after the fault, with clients on both sides.
	cut func(downAfter time.Duration) time.Duration
}

var allDownAfter = []time.Duration{5 * time.Second, time.Second, 500 * time.Millisecond, 100 * time.Millisecond}

// cases are all faults, in the order of the tables.
var cases = []kase{
	{
		name: "kill", title: "`kill -9` of the master", downAfter: allDownAfter,
		inject: func(_ context.Context, s system, master int) error { return s.redis(master).Kill() },
	},
	{
		name: "stop", title: "the master hangs (SIGSTOP)", downAfter: allDownAfter,
		inject: func(_ context.Context, s system, master int) error { return s.redis(master).Stop() },
	},
	{
		name: "node", title: "Redis and all that watches it on its machine are killed", downAfter: allDownAfter,
		// Which Consul server leads is chance; here it is another one, and in the next case this one.
		prepare: func(ctx context.Context, s system, master int) error { return lead(ctx, s, others(master)[0]) },
		inject:  func(_ context.Context, s system, master int) error { return s.lose(master) },
	},
	{
		name: "node-leader", title: "the same, and Consul's leader was there", downAfter: []time.Duration{500 * time.Millisecond},
		prepare: lead,
		inject:  func(_ context.Context, s system, master int) error { return s.lose(master) },
	},
	{
		name: "planned", title: "planned change of master", downAfter: []time.Duration{time.Second},
		inject: func(ctx context.Context, s system, master int) error { return s.switchover(ctx, master) },
	},
	{
		name: "busy", title: "healthy master, blocked for 0.3 to 0.5 s again and again, all cores busy",
		downAfter: []time.Duration{100 * time.Millisecond}, measure: measureBusy,
	},
	{
		name: "cut", title: "the master's machine is cut off", downAfter: []time.Duration{5 * time.Second, time.Second},
		prepare: func(ctx context.Context, s system, master int) error { return lead(ctx, s, others(master)[0]) },
		// Long enough for both systems to have a new master.
		cut: func(downAfter time.Duration) time.Duration { return downAfter + 6*time.Second },
	},
}

// lead makes the Consul server of a machine the leader, if there is one.
func lead(ctx context.Context, s system, i int) error {
	if c, ok := s.(*consulSystem); ok {
		return c.lead(ctx, i)
	}
	return nil
}

func caseNamed(name string) (kase, bool) {
	for _, c := range cases {
		if c.name == name {
			return c, true
		}
	}
	return kase{}, false
}

func caseNames() (names []string) {
	for _, c := range cases {
		names = append(names, c.name)
	}
	return names
}

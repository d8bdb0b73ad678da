package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// firstRead is how long an agent that starts waits for its first consistent read. Until it has one, a server
// that its predecessor left open takes writes on nobody's word.
const firstRead = 100 * time.Millisecond

// overdue is by how much a read may be late before the alarm has the leases looked at. A suspend that is shorter delays their end by
// no more than it took.
const overdue = 100 * time.Millisecond

// leases reads the records of all groups consistently, in one read for all of them, often enough that a lease
// is renewed well before it ends.
type leases struct {
	read   func(ctx context.Context, groups []string) (map[string]catalog.VersionedRecord, error)
	now    func() time.Duration
	log    hclog.Logger
	alarm  Alarm
	groups []*group // those with nodes of this agent
	kick   chan struct{}
	complain

	mu    sync.Mutex
	asked []*group
}

// ask wants a group's record to be read soon; asking twice is asking once.
func (l *leases) ask(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.asked, g) {
		l.asked = append(l.asked, g)
	}
	poke(l.kick)
}

// take returns the groups that asked.
func (l *leases) take() (asked []*group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked, l.asked = l.asked, nil
	return asked
}

func (l *leases) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { l.renew(ctx) })
	parts.Go(func() { l.answer(ctx) })
}

// renew reads the records of all groups at every interval, whatever has become of the read before: one whose answer is lost costs
// an interval, and not a lease.
func (l *leases) renew(ctx context.Context) {
	var reads sync.WaitGroup
	defer reads.Wait()
	failed := make(chan struct{}, 1)
	timer := time.NewTimer(l.interval())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.alarm.Rings():
			// The machine was suspended: what is open may have no lease any more, and no timer says so.
			for _, g := range l.groups {
				g.tell(ctx, func() {})
			}
			timer.Reset(0)
		case <-failed:
			timer.Reset(errorPause)
		case <-timer.C:
			every := l.interval()
			timer.Reset(every)
			l.alarm.Set(l.now() + every + overdue)
			reads.Go(func() {
				if !l.confirmed(ctx, 2*every, l.groups) {
					poke(failed)
				}
			})
		}
	}
}

// answer reads the records of the groups that ask.
func (l *leases) answer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
			if !l.confirmed(ctx, 2*l.interval(), l.take()) {
				pauseAfterError(ctx)
			}
		}
	}
}

// confirmed makes one read, and tells whether it was answered.
func (l *leases) confirmed(ctx context.Context, limit time.Duration, groups []*group) bool {
	err := l.once(ctx, limit, groups)
	if err != nil && ctx.Err() == nil {
		l.complain.warn(l.log, "cannot confirm the records", "error", err)
	}
	return err == nil
}

// interval is a quarter of the shortest lease, so that three reads in a row may fail before one ends.
func (l *leases) interval() time.Duration {
	every := time.Second
	for _, g := range l.groups {
		every = min(every, time.Duration(g.fenceAfter.Load())/4)
	}
	return every
}

// once makes one read of the records of some groups. The leases count from before it is sent.
func (l *leases) once(ctx context.Context, limit time.Duration, groups []*group) error {
	if len(groups) == 0 {
		return nil
	}
	names, seen := make([]string, len(groups)), make([]uint64, len(groups))
	for i, g := range groups {
		names[i], seen[i] = g.name, g.recordSeen.Load()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begun := l.now()
	records, err := l.read(ctx, names)
	if err != nil {
		return err
	}
	if !failover.Kept(failover.StampBefore) {
		begun = l.now()
	}
	for i, g := range groups {
		r := records[g.name]
		lease := failover.Lease{Begun: begun, Record: r.Record, Index: r.Index}
		g.hand(ctx, func() bool { return g.takeLease(lease, seen[i]) })
	}
	return nil
}

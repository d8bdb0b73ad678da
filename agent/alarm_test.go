package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

func TestBootAlarm(t *testing.T) {
	a, err := newBootAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	for _, ahead := range []time.Duration{-time.Hour, 0, 20 * time.Millisecond} {
		at := bootNow() + ahead
		a.Set(at + time.Hour)
		a.Set(at)
		<-a.Rings()
		if late := bootNow() - at; late < 0 {
			t.Errorf("rang %s before it was to", -late)
		}
	}
	select {
	case <-a.Rings():
		t.Error("rang for an instant that had been replaced")
	default:
	}
}

// fakeAlarm is rung by the test.
type fakeAlarm struct {
	set   time.Duration
	rings chan struct{}
}

func (a *fakeAlarm) Set(at time.Duration)   { a.set = at }
func (a *fakeAlarm) Rings() <-chan struct{} { return a.rings }

// When the machine was suspended, the groups look at their leases and the records are read at once, and not when the timers would
// have had it.
func TestLeasesAfterSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		began, reads := time.Now(), 0
		alarm := &fakeAlarm{rings: make(chan struct{})}
		g := &group{name: "redis", news: make(chan func() bool, 1)}
		g.fenceAfter.Store(int64(4 * time.Second))
		l := &leases{
			alarm: alarm, groups: []*group{g}, log: hclog.NewNullLogger(), now: func() time.Duration { return time.Since(began) },
			read: func(context.Context, []string) (map[string]catalog.VersionedRecord, error) {
				reads++
				return nil, context.DeadlineExceeded
			},
		}
		ended := make(chan struct{})
		go func() { l.renew(ctx); close(ended) }()
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if late := alarm.set - time.Second; late != time.Second+overdue {
			t.Errorf("at a read, the alarm is set %s ahead, want %s", late, time.Second+overdue)
		}
		before := reads
		alarm.rings <- struct{}{}
		synctest.Wait()
		if len(g.news) != 1 || reads != before+1 {
			t.Errorf("when it rings the group has %d news and %d reads are made, want one of each", len(g.news), reads-before)
		}
		end()
		<-ended
	})
}

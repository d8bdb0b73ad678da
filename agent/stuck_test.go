package agent

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// A node says what becomes of it when it is stuck, and is not to be killed where that cannot be done.
func TestOnStuck(t *testing.T) {
	refused := &withoutRight{errors.New("process 7: operation not permitted")}
	for _, c := range []struct {
		name     string
		killable bool
		proc     Process
		want     string
		kills    bool
	}{
		{"killed", true, process{pid: os.Getpid()}, "kill", true},
		{"left", false, process{pid: os.Getpid()}, "leave", false},
		{"in a container", true, nil, "cannot kill: its process is not known on this machine", false},
		{"of another user", true, refused, "cannot kill: process 7: operation not permitted", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &node{killable: c.killable, find: func(int, time.Duration) Process { return c.proc }}
			n.learn(plugin.Info{RunID: "run"}, &servers{}, time.Hour)
			if got := n.onStuck(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got := n.local(failover.Report{}).Killable; got != c.kills {
				t.Errorf("killable: %v, want %v", got, c.kills)
			}
		})
	}
	n := &node{killable: true, proc: refused, forbidden: refused.err}
	refused.err = nil
	if !n.local(failover.Report{}).Killable {
		t.Error("not to be killed, though the agent was given the right")
	}
}

// withoutRight is a process that this user may not end.
type withoutRight struct{ err error }

func (*withoutRight) Ended() bool                       { return false }
func (*withoutRight) Stat() (byte, time.Duration, bool) { return 0, 0, false }
func (*withoutRight) Kill(context.Context) error        { return nil }
func (p *withoutRight) MayKill() error                  { return p.err }

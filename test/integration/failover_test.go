package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// rounds is how often a fault is repeated where its time is measured: ROUNDS, or few for an everyday run.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil {
		return n
	}
	return 3
}

// A master that is killed is replaced, DNS follows, no acknowledged write is lost that a replica had, and the old
// master returns as a replica.
func TestKilledMaster(t *testing.T) {
	s, state := start(t, sandbox.Options{})
	var outages []time.Duration
	for range rounds() {
		state = counted(t, s)
		old := master(s, state)
		w := s.StartWriter(t.Context(), 0, 2*time.Millisecond)
		defer w.Stop()
		acknowledged(t, w, 50)

		killed := time.Now()
		must(t, old.Kill())
		first := firstAck(t, w, killed, old.Addr())
		outages = append(outages, first.At.Sub(killed))
		w.Stop()

		state = steady(t, s, state.Record.Epoch+1)
		if state.Record.Master == old.Node {
			t.Fatalf("%s was killed and is master again", old.Node)
		}
		must(t, old.Start())
		next := steady(t, s, state.Record.Epoch)
		if next.Record.Epoch != state.Record.Epoch {
			t.Errorf("the return of %s changed the epoch from %d to %d", old.Node, state.Record.Epoch, next.Record.Epoch)
		}
		lost, err := w.Lost(t.Context(), master(s, next))
		must(t, err)
		t.Logf("kill -9 of %s: first acknowledged write after %v, %d acknowledged writes lost", old.Node, outages[len(outages)-1], len(lost))
		// Replication is asynchronous: what the kernel had not sent to a replica yet is lost with the process.
		if len(lost) > 5 {
			t.Errorf("lost %d acknowledged writes: %v", len(lost), lost)
		}
	}
	tell(t, "kill -9", outages)
}

// A master that is stopped is silent: it is replaced after down_after, and never takes a write again as master.
func TestStoppedMaster(t *testing.T) {
	s, state := start(t, sandbox.Options{GroupHCL: "down_after = \"1s\"\ncooldown = \"0s\"\n"})
	var outages []time.Duration
	for range rounds() {
		state = counted(t, s)
		old := master(s, state)
		w := s.StartWriter(t.Context(), 0, 2*time.Millisecond)
		defer w.Stop()
		pinned := pin(t, old, 5*time.Millisecond)
		defer pinned.Stop()
		acknowledged(t, w, 50)
		acknowledged(t, pinned, 20)

		stopped := time.Now()
		must(t, old.Stop())
		first := firstAck(t, w, stopped, old.Addr())
		outages = append(outages, first.At.Sub(stopped))
		_ = old.Cont() // its agent has killed it, if it could not be frozen
		state = steady(t, s, state.Record.Epoch+1)
		w.Stop()
		pinned.Stop()
		late := 0
		for _, a := range pinned.Acks() {
			if a.At.After(first.At) {
				late++
			}
		}
		t.Logf("SIGSTOP of %s: first acknowledged write after %v; a client pinned to it: %d acknowledged, %d of them after the new master opened, last refusal %q",
			old.Node, outages[len(outages)-1], len(pinned.Acks()), late, lastRefusal(pinned))
		if late > 0 {
			t.Errorf("the old master acknowledged %d writes after the new one had opened", late)
		}
		if !old.Running() {
			must(t, old.Start())
		}
		state = steady(t, s, state.Record.Epoch)
	}
	tell(t, "SIGSTOP with down_after 1s", outages)
}

// After a change of master another for the same kind of evidence waits for the cooldown, and for another kind it does not.
func TestCooldown(t *testing.T) {
	s, _ := start(t, sandbox.Options{GroupHCL: "down_after = \"500ms\"\ncooldown = \"60s\"\non_stuck = \"leave\"\n"})
	first := counted(t, s)
	must(t, master(s, first).Stop())
	second := opened(t, s, first.Record.Epoch+1)
	must(t, master(s, second).Stop())
	eventually(t, "a quorum says that the second master is down, too", func(ctx context.Context) error {
		now, err := s.State(ctx)
		if err == nil && !failover.Count(now).Reached() {
			err = errors.New(failover.Count(now).String())
		}
		return err
	})
	time.Sleep(2 * time.Second) // an election would have come within some milliseconds
	now, err := s.State(t.Context())
	must(t, err)
	if now.Record.Epoch != second.Record.Epoch || now.Record.Phase != failover.Steady {
		t.Fatalf("the record is %s in epoch %d, want steady in %d", now.Record.Phase, now.Record.Epoch, second.Record.Epoch)
	}
	must(t, master(s, first).Cont())
	must(t, master(s, second).Kill())
	third := opened(t, s, second.Record.Epoch+1)
	if third.Record.Evidence != failover.Gone {
		t.Errorf("epoch %d came by evidence %q", third.Record.Epoch, third.Record.Evidence)
	}
}

// opened waits until the master of an epoch not below the one given has opened, whoever follows it.
func opened(t *testing.T, s *sandbox.Sandbox, epoch uint64) (state failover.State) {
	t.Helper()
	eventually(t, fmt.Sprintf("epoch %d is open", epoch), func(ctx context.Context) (err error) {
		if state, err = s.State(ctx); err != nil {
			return err
		}
		if _, open := state.Record.Open(); !open || state.Record.Epoch < epoch {
			err = fmt.Errorf("the record is %s in epoch %d", state.Record.Phase, state.Record.Epoch)
		}
		return err
	})
	return state
}

func acknowledged(t *testing.T, w *sandbox.Writer, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d writes are acknowledged", n), func(context.Context) error {
		if got := len(w.Acks()); got < n {
			return fmt.Errorf("%d writes", got)
		}
		return nil
	})
}

func firstAck(t *testing.T, w *sandbox.Writer, after time.Time, notBy string) sandbox.Ack {
	t.Helper()
	var first sandbox.Ack
	eventually(t, "another server acknowledges a write", func(context.Context) error {
		var ok bool
		if first, ok = w.FirstAckAfter(after, notBy); !ok {
			return fmt.Errorf("none yet; last refusal %q", lastRefusal(w))
		}
		return nil
	})
	return first
}

func lastRefusal(w *sandbox.Writer) string {
	all := w.Refusals()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].Err
}

func tell(t *testing.T, what string, outages []time.Duration) {
	sorted := slices.Sorted(slices.Values(outages))
	t.Logf("%s: time to the first acknowledged write through DNS: median %v, longest %v, all %v",
		what, sorted[len(sorted)/2], sorted[len(sorted)-1], outages)
}

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/test/hosts"
)

const (
	downAfter  = time.Second
	fenceAfter = 3 * time.Second
	cutFor     = 6 * time.Second
)

// consulElects is how long the servers of Consul need for a leader when theirs is cut off: they notice after a second or two, and
// the first to do so may not win (raft_multiplier = 1).
const consulElects = 2 * time.Second

// consulWhole waits until every server of Consul keeps up with the leader. One that was cut off may need a while after the heal,
// and until then Consul cannot lose another.
func consulWhole(t *testing.T, h *hosts.Hosts) {
	t.Helper()
	eventually(t, "every server of Consul keeps up", func(ctx context.Context) error {
		health, err := h.Consul(0).Client.Operator().AutopilotServerHealth(nil)
		if err != nil {
			return err
		}
		for _, s := range health.Servers {
			if !s.Healthy || !s.Voter {
				return fmt.Errorf("%s: healthy %v, voter %v", s.Name, s.Healthy, s.Voter)
			}
		}
		if n := len(h.Consuls()); len(health.Servers) != n {
			return fmt.Errorf("%d servers of %d", len(health.Servers), n)
		}
		for _, c := range h.Consuls() { // the leader may think so of one that answers nobody yet
			if err := answers(ctx, c.Client); err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		return nil
	})
}

// answers is nil if a server of Consul answers for itself and for all of Consul without delay.
func answers(ctx context.Context, client *api.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	q := (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
	if _, err := client.Raw().Query("/v1/agent/self", new(any), q); err != nil {
		return err
	}
	_, _, err := client.KV().Keys("redis-sentinel/", "/", q)
	return err
}

func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil {
		return n
	}
	return 1
}

// A master that is cut off, with clients on its side, stops within fence_after, and loses nothing that WAIT 1 acknowledged
// with durability wait:1 (G3, G5). The others go on; after the heal it is a replica again, and what it had besides is in
// a file that history names (G7).
func TestCutMaster(t *testing.T) {
	for i := range rounds() {
		// Each on servers of its own: for half a minute after a heal, Consul's may have connections to each other that wait for
		// a retransmission, and then they elect no leader while another is cut off.
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			h, _ := start(t, hosts.Options{Sandbox: sandbox.Options{
				GroupHCL: fmt.Sprintf("down_after = %q\nfence_after = %q\ncooldown = \"0s\"\ndurability = \"wait:1\"", downAfter, fenceAfter)}})
			cutMaster(t, h)
		})
	}
}

func cutMaster(t *testing.T, h *hosts.Hosts) {
	before := whole(t, h)
	consulWhole(t, h)
	old := h.Of(before.Record.Master)
	leader, err := h.ConsulLeader(t.Context())
	must(t, err)
	var others []int
	for i := range h.Redises() {
		if i != old {
			others = append(others, i)
		}
	}
	name := fmt.Sprintf("e%d", before.Record.Epoch)
	inside := h.StartWriter(t.Context(), hosts.WriterOptions{Name: name + "-inside", From: old, To: h.Pinned(old)})
	waiting := h.StartWriter(t.Context(), hosts.WriterOptions{Name: name + "-waiting", From: old, To: h.Pinned(old), Wait: 1})
	outside := h.StartWriter(t.Context(), hosts.WriterOptions{Name: name + "-outside", From: h.Client, To: h.DNS(h.Client, others...)})
	defer inside.Stop()
	defer waiting.Stop()
	defer outside.Stop()
	for _, w := range []*hosts.Writer{inside, waiting, outside} {
		eventually(t, "writes are acknowledged", func(context.Context) error {
			if n := len(w.Acks()); n < 50 {
				return fmt.Errorf("%s has %d", w.Name, n)
			}
			return nil
		})
	}
	names := watchNames(t.Context(), h, func() bool { return false })
	cut := time.Now()
	must(t, h.Network.Cut(old))
	time.Sleep(cutFor) // how long the cut lasts is the fault itself
	healed := time.Now()
	must(t, h.Network.Heal())
	var after = before
	eventually(t, "the old master is a replica in sync", func(ctx context.Context) error {
		var err error
		if after, err = h.State(ctx); err != nil {
			return err
		}
		r := after.Record
		info, err := h.Redis(old).Info(ctx)
		if err == nil &&
			(info["role"] != "slave" || info["master_link_status"] != "up" || info["master_host"]+":"+info["master_port"] != r.Address) {
			err = fmt.Errorf("it is %s of %s, link %s", info["role"], info["master_host"], info["master_link_status"])
		}
		return err
	})
	inSync := time.Since(healed)
	after = whole(t, h)
	inside.Stop()
	waiting.Stop()
	outside.Stop()
	namesSettle(t, h, after)
	must(t, names())

	last := lastAck(append(inside.Acks(), waiting.Acks()...)).Sub(cut)
	back := firstAck(outside.Acks(), cut, h.Redis(old).Addr())
	master := h.Of(after.Record.Master)
	lostWaited := lost(t, h, master, waited(waiting.Acks()))
	lostInside := lost(t, h, master, inside.Acks())
	// What a client without WAIT was told in the last moment before the cut no replica may have had.
	lostOutside := lost(t, h, master, slices.DeleteFunc(outside.Acks(), func(a hosts.Ack) bool { return a.At.Before(cut) }))
	rescued := rescues(t, h, after.Record.Epoch, h.Redis(old).Node)
	t.Logf("cut, with Consul's leader: %v; last acknowledged on its side after %s; the others write again after %s; in sync %s after the heal; lost %d of %d (WAIT: %d of %d; outside: %d of %d); rescued: %s",
		leader == old, last.Round(time.Millisecond), back.Sub(cut).Round(time.Millisecond), inSync.Round(time.Millisecond), len(lostInside), len(inside.Acks()),
		len(lostWaited), len(waited(waiting.Acks())), len(lostOutside), len(outside.Acks()), rescued)
	if back.IsZero() {
		t.Fatal("nobody outside was acknowledged anything after the cut")
	}
	if last > fenceAfter {
		t.Errorf("the isolated master acknowledged for %s, want %s at most", last, fenceAfter)
	}
	if len(lostWaited) > 0 || len(lostOutside) > 0 {
		t.Errorf("lost %d writes that WAIT had acknowledged, and %d of the clients outside", len(lostWaited), len(lostOutside))
	}
	for _, a := range append(inside.Acks(), waiting.Acks()...) {
		if a.At.After(healed) && a.Addr == h.Redis(old).Addr() {
			t.Fatalf("the old master acknowledged %s after the heal", a.Key())
		}
	}
	again, sync := downAfter+fenceAfter+500*time.Millisecond, 5*time.Second
	if leader == old {
		again += consulElects
	}
	if rounds() < 10 { // not a measurement, but a test on a machine that does other things as well
		again, sync = 2*again, limit
	}
	if back.Sub(cut) > again || inSync > sync {
		t.Errorf("the others wrote again after %s, want %s; the old master was in sync %s after the heal, want %s", back.Sub(cut), again, inSync, sync)
	}
	if len(lostInside) > 0 {
		inFile(t, rescued, lostInside)
	}
}

// namesSettle waits until Consul has every node in its role of this epoch. What a Consul agent had on the way when it was cut off
// has arrived by then: it sends one change after the other.
func namesSettle(t *testing.T, h *hosts.Hosts, state failover.State) {
	t.Helper()
	eventually(t, "Consul has every node in its role", func(context.Context) error {
		r := state.Record
		entries, _, err := h.Consul(h.Of(r.Master)).Client.Health().Service(h.Group(), "", true, &api.QueryOptions{RequireConsistent: true})
		if err == nil && len(entries) != len(h.Redises()) {
			err = fmt.Errorf("%d nodes of %d pass", len(entries), len(h.Redises()))
		}
		for _, e := range entries {
			isMaster, epoch := slices.Contains(e.Service.Tags, "master"), fmt.Sprint(r.Epoch)
			if e.Service.Meta["epoch"] != epoch || isMaster != (e.Service.Meta["node"] == r.Master) {
				err = errors.Join(err, fmt.Errorf("%s has the tags %v in epoch %s of %s", e.Service.ID, e.Service.Tags, e.Service.Meta["epoch"], epoch))
			}
		}
		return err
	})
}

func lastAck(acks []hosts.Ack) (last time.Time) {
	for _, a := range acks {
		if a.At.After(last) {
			last = a.At
		}
	}
	return last
}

// firstAck is the first after a time by another server than the one named.
func firstAck(acks []hosts.Ack, after time.Time, not string) time.Time {
	for _, a := range acks {
		if a.At.After(after) && a.Addr != not {
			return a.At
		}
	}
	return time.Time{}
}

func waited(acks []hosts.Ack) []hosts.Ack {
	return slices.DeleteFunc(slices.Clone(acks), func(a hosts.Ack) bool { return a.Waited < 1 })
}

func lost(t *testing.T, h *hosts.Hosts, on int, acks []hosts.Ack) []hosts.Ack {
	t.Helper()
	l, err := h.Lost(t.Context(), on, acks)
	must(t, err)
	return l
}

// rescues is the file that history names for a node, in an epoch not above the one given.
func rescues(t *testing.T, h *hosts.Hosts, epoch uint64, node string) string {
	t.Helper()
	k, err := h.Catalog(0)
	must(t, err)
	all, err := k.History(t.Context(), h.Group(), 5)
	must(t, err)
	for _, entry := range all {
		for _, r := range entry.Rescued {
			if r.Node == node && entry.Epoch <= epoch {
				return r.File
			}
		}
	}
	return ""
}

// inFile looks for lost writes in what was rescued.
func inFile(t *testing.T, file string, acks []hosts.Ack) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%d writes were lost and nothing was rescued: %v", len(acks), err)
		return
	}
	for _, a := range acks {
		if !strings.Contains(string(data), a.Key()) {
			t.Errorf("%s was lost and is not in %s", a.Key(), file)
			return
		}
	}
}

func eventually(t *testing.T, what string, holds func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	must(t, sandbox.WaitFor(ctx, what, holds))
}

package hosts

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// Network is a number of hosts and the router between them, which is this process's own namespace (see Enter). The
// router is no part of what is cut: from here every host is reached at any time.
type Network struct {
	// Prefix is the first three numbers of all addresses.
	Prefix string

	number int64
	spaces []*namespace
	shaper *shaper

	mu  sync.Mutex
	cut map[link]bool
}

// link is one direction between two hosts.
type link struct{ from, to int }

// networks counts those made by this process, each with addresses and devices of its own.
var networks atomic.Int64

// routerIP is the last number of the router's address.
const routerIP = 254

// NewNetwork makes n hosts with addresses, connected to each other. Close ends it.
func NewNetwork(n int) (*Network, error) {
	number := networks.Add(1)
	w := &Network{Prefix: fmt.Sprintf("10.77.%d", number), number: number, cut: map[link]bool{}}
	if err := w.make(n); err != nil {
		w.Close()
		return nil, fmt.Errorf("make a network of %d hosts: %w", n, err)
	}
	return w, nil
}

func (w *Network) make(n int) error {
	router := fmt.Sprintf("%s.%d", w.Prefix, routerIP)
	if err := ip("addr add " + router + "/32 dev lo"); err != nil {
		return err
	}
	var err error
	if w.shaper, err = newShaper(w); err != nil {
		return err
	}
	for i := range n {
		space, err := newNamespace()
		if err != nil {
			return err
		}
		w.spaces = append(w.spaces, space)
		if err := ip(fmt.Sprintf("link add %s type veth peer name eth0 netns %s", w.device(i), space.path())); err != nil {
			return err
		}
		if err := ipBatch([]string{
			"link set " + w.device(i) + " up",
			"route add " + w.IP(i) + "/32 dev " + w.device(i) + " src " + router,
		}); err != nil {
			return err
		}
		if err := space.do(func() error {
			return ipBatch([]string{
				"link set lo up",
				"addr add " + w.IP(i) + "/32 dev eth0",
				"link set eth0 up",
				"route add default via " + router + " dev eth0 onlink",
			})
		}); err != nil {
			return err
		}
	}
	return nil
}

// device is the router's end of the cable to host i.
func (w *Network) device(i int) string { return fmt.Sprintf("h%d-%d", w.number, i+1) }

// IP is the address of host i.
func (w *Network) IP(i int) string { return fmt.Sprintf("%s.%d", w.Prefix, i+1) }

// Hosts is how many there are.
func (w *Network) Hosts() int { return len(w.spaces) }

// Do runs f on a thread of host i: the sockets that it makes and the processes that it starts are the host's.
func (w *Network) Do(i int, f func() error) error { return w.spaces[i].do(f) }

// Dial connects from host i.
func (w *Network) Dial(ctx context.Context, i int, network, addr string) (net.Conn, error) {
	return w.spaces[i].dial(ctx, network, addr)
}

// Close takes the network down. Processes on it are the caller's to end, before.
func (w *Network) Close() {
	_ = w.Heal()
	for i, space := range w.spaces {
		_ = ip("link del " + w.device(i))
		space.close()
	}
	if w.shaper != nil {
		w.shaper.close()
	}
	_ = ip(fmt.Sprintf("addr del %s.%d/32 dev lo", w.Prefix, routerIP))
}

// CutOneWay drops all packets from one host to another, without a word to either. Its own answers to what the other
// sends are packets as well.
func (w *Network) CutOneWay(from, to int) error { return w.change([]link{{from, to}}, true) }

// CutPair separates two hosts from each other only.
func (w *Network) CutPair(a, b int) error { return w.change([]link{{a, b}, {b, a}}, true) }

// Cut separates a host from all others. What runs on it still reaches itself.
func (w *Network) Cut(i int) error { return w.change(w.linksOf(i), true) }

// HealHost undoes every cut that a host has part in.
func (w *Network) HealHost(i int) error { return w.change(w.linksOf(i), false) }

// HealPair undoes the cuts between two hosts.
func (w *Network) HealPair(a, b int) error { return w.change([]link{{a, b}, {b, a}}, false) }

// Heal undoes every cut and every delay.
func (w *Network) Heal() error {
	w.mu.Lock()
	var all []link
	for l := range w.cut {
		all = append(all, l)
	}
	w.mu.Unlock()
	err := w.change(all, false)
	if w.shaper == nil {
		return err
	}
	if more := w.shaper.clear(); err == nil {
		err = more
	}
	return err
}

func (w *Network) linksOf(i int) []link {
	var all []link
	for j := range w.spaces {
		if j != i {
			all = append(all, link{i, j}, link{j, i})
		}
	}
	return all
}

// IsCut tells whether packets from one host to another are dropped.
func (w *Network) IsCut(from, to int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[link{from, to}]
}

// The routing rules of the router, in the order in which the kernel looks at them. Numbers are below 32766, the rule
// that leads to the main table.
const (
	ruleCut    = 100 // from one host to another: dropped
	ruleShaped = 150 // back from the shaper: the main table
	ruleShape  = 200 // from one host to another: to the shaper
)

// change adds or removes cuts. A rule of the type blackhole drops a packet without telling its sender.
func (w *Network) change(links []link, cut bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	links = slices.DeleteFunc(slices.Clone(links), func(l link) bool { return w.cut[l] == cut })
	verb := "add"
	if !cut {
		verb = "del"
	}
	var lines []string
	for _, l := range links {
		lines = append(lines, fmt.Sprintf("rule %s pref %d from %s to %s blackhole", verb, ruleCut, w.IP(l.from), w.IP(l.to)))
	}
	if err := ipBatch(lines); err != nil {
		return err
	}
	for _, l := range links {
		if cut {
			w.cut[l] = true
		} else {
			delete(w.cut, l)
		}
	}
	return nil
}

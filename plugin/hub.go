package plugin

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Hub keeps the last observation of each server and hands observations to those who observe. A driver pushes into
// it and lets its Observe do the rest. A slow observer loses older observations of a server, never the last, and
// holds up nobody. The zero Hub is ready.
type Hub struct {
	mu        sync.Mutex
	last      map[string]Observation
	observers map[*observer]struct{}
}

// observer is one call of Observe: what it has yet to be told, in order.
type observer struct {
	pending []string // names of servers, each once
	wake    chan struct{}
}

// Push makes o the last observation of its server.
func (h *Hub) Push(o Observation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = map[string]Observation{}
	}
	h.last[o.Server] = o
	for each := range h.observers {
		if !slices.Contains(each.pending, o.Server) {
			each.pending = append(each.pending, o.Server)
		}
		select {
		case each.wake <- struct{}{}:
		default:
		}
	}
}

// Forget drops the last observation of a server: it is told to nobody any more.
func (h *Hub) Forget(server string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.last, server)
}

// Observe is Driver.Observe.
func (h *Hub) Observe(ctx context.Context, observe func(Observation)) error {
	me := &observer{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	if h.observers == nil {
		h.observers = map[*observer]struct{}{}
	}
	h.observers[me] = struct{}{}
	me.pending = slices.Sorted(maps.Keys(h.last))
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.observers, me)
	}()
	for {
		for {
			if ctx.Err() != nil {
				return nil
			}
			o, ok := h.next(me)
			if !ok {
				break
			}
			observe(o)
		}
		select {
		case <-me.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// next takes the observation that an observer is to be told next.
func (h *Hub) next(me *observer) (Observation, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(me.pending) > 0 {
		server := me.pending[0]
		me.pending = me.pending[1:]
		if o, ok := h.last[server]; ok {
			return o, true
		}
	}
	return Observation{}, false
}

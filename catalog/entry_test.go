package catalog

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog/catalogtest"
)

// service is an instance by the name of an entry, with other metadata.
func service(m MasterEntry, meta map[string]string) *api.AgentService {
	return &api.AgentService{ID: m.Service, Service: m.Service, Address: "10.0.0.9", Port: 1, Meta: meta}
}

// What somebody took from the name of the master, or made of it, is put back: but only as the newest record has it.
func TestKeepEntry(t *testing.T) {
	s := catalogtest.StartConsul(t, 1).Servers[0]
	c := leading(t, s, "a")
	ctx := t.Context()
	entry := masterEntry("10.0.0.1", "passing")
	index, err := c.Create(ctx, "redis", record(1, "a"), 0, 0, entry)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := c.KeepEntry(ctx, "redis", index, entry); back || err != nil {
		t.Fatalf("an entry that stands: put back is %v (%v)", back, err)
	}
	k := s.Client().Catalog()
	gone := api.CatalogDeregistration{Node: entry.Node}
	other := api.CatalogRegistration{Node: entry.Node, SkipNodeUpdate: true, Service: service(entry, nil)}
	critical := api.CatalogRegistration{Node: entry.Node, SkipNodeUpdate: true,
		Check: &api.AgentCheck{Node: entry.Node, CheckID: entry.Service, ServiceID: entry.Service, Name: "master", Status: "critical"}}
	for what, disturb := range map[string]func() error{
		"no node":         func() error { _, err := k.Deregister(&gone, nil); return err },
		"no service":      func() error { d := gone; d.ServiceID = entry.Service; _, err := k.Deregister(&d, nil); return err },
		"no check":        func() error { d := gone; d.CheckID = entry.Service; _, err := k.Deregister(&d, nil); return err },
		"another address": func() error { _, err := k.Register(&other, nil); return err },
		"another status":  func() error { _, err := k.Register(&critical, nil); return err },
	} {
		if err := disturb(); err != nil {
			t.Fatal(err)
		}
		if back, err := c.KeepEntry(ctx, "redis", index-1, entry); back || !errors.Is(err, ErrConflict) {
			t.Errorf("%s, and another record: put back is %v (%v), want %v", what, back, err, ErrConflict)
		}
		if back, err := c.KeepEntry(ctx, "redis", index, entry); !back || err != nil {
			t.Errorf("%s: put back is %v (%v)", what, back, err)
		}
		if back, err := c.KeepEntry(ctx, "redis", index, entry); back || err != nil {
			t.Errorf("%s: it is put back a second time: %v (%v)", what, back, err)
		}
		if err := names(s, "redis-master", "10.0.0.1"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}

	// What others have under the name is not fought over.
	foreign := map[string]api.CatalogRegistration{
		"another group":  {Node: entry.Node, SkipNodeUpdate: true, Service: service(entry, map[string]string{"group": "other"})},
		"a later epoch":  {Node: entry.Node, SkipNodeUpdate: true, Service: service(entry, map[string]string{"group": "redis", "epoch": "9"})},
		"another's node": {Node: "web", Address: "10.0.0.8", Service: service(entry, entry.Meta)},
	}
	for what, r := range foreign {
		if _, err := k.Register(&r, nil); err != nil {
			t.Fatal(err)
		}
		if back, err := c.KeepEntry(ctx, "redis", index, entry); back || err == nil || !strings.Contains(err.Error(), r.Node) {
			t.Errorf("%s: put back is %v (%v)", what, back, err)
		}
		if _, err := k.Deregister(&api.CatalogDeregistration{Node: r.Node}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

package catalogtest

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// A server that is killed and started again keeps its data, and one that is wiped does not.
func TestServerLife(t *testing.T) {
	s := StartConsul(t, 1).Servers[0]
	put := func() error {
		_, err := s.Client().KV().Put(&api.KVPair{Key: "k", Value: []byte("v")}, nil)
		return err
	}
	get := func() (pair *api.KVPair) {
		Eventually(t, time.Minute, func() (err error) {
			pair, _, err = s.Client().KV().Get("k", &api.QueryOptions{RequireConsistent: true})
			return err
		})
		return pair
	}
	Eventually(t, time.Minute, put)
	pid := s.PID()
	s.Restart()
	if s.PID() == pid || s.PID() == 0 {
		t.Fatalf("pid is %d after a restart, was %d", s.PID(), pid)
	}
	if get() == nil {
		t.Fatal("the key is gone after a restart")
	}
	s.Kill()
	if s.PID() != 0 {
		t.Fatal("a killed server has a pid")
	}
	s.Wipe()
	s.Start()
	if get() != nil {
		t.Fatal("the key survived a wipe")
	}
}

// Servers and clients know each other when StartConsul returns, and another server leads when the leader is killed.
func TestClusterElectsAnotherLeader(t *testing.T) {
	c := StartConsul(t, 3, WithClients(1))
	first := c.Leader()
	first.Kill()
	if second := c.Leader(); second == first {
		t.Fatal("the killed server still leads")
	}
	// A client may still ask the dead server first.
	Eventually(t, startLimit, func() error {
		_, _, err := c.Clients[0].Client().Catalog().Nodes(nil)
		return err
	})
}

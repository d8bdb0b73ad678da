package plugintest

import (
	"testing"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// Harness is what Run needs.
type Harness struct {
	// Driver returns the driver under test, which is to run in a process of its own: Supervise.
	Driver func(testing.TB) plugin.Driver
	// Server starts a server of the kind that the driver drives. StartRedis when nil.
	Server func(testing.TB, ...RedisOption) *RedisServer
}

// Run runs the tests that every driver must pass.
func Run(t *testing.T, h Harness) {
	if h.Server == nil {
		h.Server = StartRedis
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"it says what it can do", testCapabilities},
		{"what is connected is observed", testObserveUp},
		{"what is disconnected is not", testDisconnect},
		{"a killed server is gone at once, its restart is another run", testGone},
		{"a stopped server is silent after SilentAfter, then back", testSilent},
		{"a server stopped and killed is gone", testSilentThenGone},
		{"an error reply is a sign of life", testNoAuth},
		{"a busy server is alive", testBusy},
		{"a busy server that is asked seldom says so", testBusySeldomAsked},
		{"a remote server is only pinged", testRemote},
		{"a role changed by others is pushed", testForeignRole},
		{"a probe tells up, gone and silent", testProbe},
		{"a password authenticates and is never told", testPassword},
		{"freeze refuses writes and ends clients", testFreeze},
		{"freeze twice is freeze once", testFreezeTwice},
		{"freeze waits for no other call", testFreezeBesideSlowCalls},
		{"freeze outlasts the orders before it", testFreezeAgainstOrders},
		{"open opens the run named and no other", testOpen},
		{"a change of master resyncs partially", testChangeOfMaster},
		{"follow announces", testAnnounce},
		{"follow only from where it stood", testFollowOnlyFromWhereItStood},
		{"persist leaves the role", testPersist},
		{"persist fails without a configuration file", testPersistFails},
		{"pause holds back writes", testPause},
		{"clients are ended", testEndClients},
		{"the replicas that must be connected are read and set", testMinReplicas},
		{"save copies the data set", testSave},
		{"errors keep their identity", testErrors},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, h)
		})
	}
}

// connected starts a server and connects it under a name.
func (h Harness) connected(t testing.TB, d plugin.Driver, name string, opts ...RedisOption) *RedisServer {
	t.Helper()
	s := h.Server(t, opts...)
	h.connect(t, d, Settings(name, s))
	return s
}

func (h Harness) connect(t testing.TB, d plugin.Driver, s plugin.Server) {
	t.Helper()
	if err := d.Connect(Timeout(t), s); err != nil {
		t.Fatalf("connect %q: %v", s.Name, err)
	}
}

// Settings are those that tests use for a server: quick, but with a silence that a busy machine does not cause.
func Settings(name string, s *RedisServer) plugin.Server {
	return plugin.Server{
		Name: name, Address: s.Addr, Password: s.Password,
		PingEvery: 100 * time.Millisecond, SilentAfter: 2 * time.Second, InfoEvery: 500 * time.Millisecond,
	}
}

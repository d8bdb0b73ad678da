package checks

import (
	"math"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// golden is one line of a transcript: a situation and what the check says of it.
type golden struct {
	name string
	got  Result
	want string // status, then output
}

func transcript(t *testing.T, check string, lines []golden) {
	t.Helper()
	for _, g := range lines {
		t.Run(strings.ReplaceAll(g.name, " ", "_"), func(t *testing.T) {
			if got := string(g.got.Status) + ": " + g.got.Output; got != g.want {
				t.Errorf("\n got %s\nwant %s", got, g.want)
			}
			if g.got.Name != check {
				t.Errorf("check is named %q, want %q", g.got.Name, check)
			}
		})
	}
}

// with returns a server that is up and well, changed by edit.
func with(edit func(*Server, *Info)) Server {
	i := Info{
		RunID: "aaaaaaaabbbb", MasterAddress: "10.0.0.1:6379", LinkUp: true, LastIO: 2 * time.Second, Offset: 1000,
		ReplicaReadOnly: true, RDBLastSaveOK: true, AOFLastOK: true, RDBSavedAgo: 90 * time.Second,
		RDBSavedAt: time.Date(2026, 3, 1, 12, 30, 59, 0, time.UTC),
		MemoryUsed: 3 << 29, Fragmentation: 1.1, MemoryPolicy: "noeviction", Clients: 12, ClientsMax: 10000,
	}
	s := Server{Address: "10.0.0.2:6379", Link: LinkUp, Latency: 312 * time.Microsecond, MasterOffset: 1000, Info: &i}
	if edit != nil {
		edit(&s, &i)
	}
	return s
}

func up(edit func(*Info)) Server { return with(func(_ *Server, i *Info) { edit(i) }) }

func link(l Link, cause string, silent time.Duration) Server {
	return with(func(s *Server, _ *Info) { s.Link, s.Cause, s.SilentFor = l, cause, silent })
}

func refuses(cause string) Server {
	return with(func(s *Server, _ *Info) { s.Cause, s.Info = cause, nil })
}

func TestAlive(t *testing.T) {
	alive := func(s Server) Result { return Alive(s, DefaultLatencyLimits()) }
	latency := func(d time.Duration) Server { return with(func(s *Server, _ *Info) { s.Latency = d }) }
	transcript(t, NameAlive, []golden{
		{"well", alive(with(nil)), "passing: PONG within 10 ms"},
		{"at the limit", alive(latency(100 * ms)), "passing: PONG within 100 ms"},
		{"slow", alive(latency(140 * ms)), "warning: PONG in 140 ms, more than 100 ms"},
		{"at the critical limit", alive(latency(time.Second)), "warning: PONG in 1 s, more than 100 ms"},
		{"very slow", alive(latency(1400 * ms)), "critical: PONG in 1.4 s, more than 1 s"},
		{"no limits", Alive(latency(time.Hour), LatencyLimits{}), "passing: PONG within 2 h"},
		{"longer than any", Alive(latency(math.MaxInt64), LatencyLimits{}), "passing: PONG within 106751 days"},
		{"waiting", alive(link(LinkWaiting, "", 40*ms)), "passing: waiting for a reply for 40 ms"},
		{"waiting long", alive(link(LinkWaiting, "dial tcp 10.0.0.2:6379: i/o timeout", 3*time.Second)),
			"critical: waiting for a reply for 3 s (dial tcp 10.0.0.2:6379: i/o timeout)"},
		{"silent", alive(link(LinkSilent, "", 3200*ms)), "critical: no reply for 3.2 s"},
		{"gone", alive(link(LinkGone, "dial tcp 10.0.0.2:6379: connect: connection refused", 0)),
			"critical: connection refused: nothing listens on 10.0.0.2:6379"},
		{"gone from an unknown address", alive(Server{Link: LinkGone, Cause: "refused"}),
			"critical: connection refused: nothing listens (refused)"},
		{"driver down", alive(link(LinkUnknown, "", 0)), "warning: unknown: the driver does not answer"},
		{"nothing known", alive(Server{}), "warning: unknown: the driver does not answer"},
		{"loading", alive(refuses("LOADING Redis is loading the dataset in memory")),
			"critical: it answers -LOADING Redis is loading the dataset in memory: it reads its data set from disk and serves when that is done"},
		{"password changed", alive(refuses("-NOAUTH Authentication required.")),
			"warning: it answers -NOAUTH Authentication required: set the password of this node in the configuration"},
		{"unknown error of two lines", alive(refuses("ERR\nodd")), "warning: it answers -ERR odd"},
	})
}

func TestReplication(t *testing.T) {
	limits := DefaultReplicationLimits()
	a := Expected{Epoch: 3, Master: "redis-a", MasterAddress: "10.0.0.1:6379", RunID: "aaaaaaaabbbb"}
	replica, master, none := a, a, a
	replica.Role, master.Role, none.Role = RoleReplica, RoleMaster, RoleNone
	of := func(e Expected, edit func(*Info)) Result { return Replication(up(edit), e, limits) }
	why := func(e Expected, why string) Expected { e.Why = why; return e }
	behind := func(n int64) Server { return with(func(s *Server, _ *Info) { s.MasterOffset = 1000 + n }) }
	open := func(i *Info) { i.Open, i.Replicas, i.LinkUp, i.MasterAddress = true, 2, false, "" }
	frozen := func(i *Info) { i.Frozen, i.LinkUp, i.LinkDownFor = true, false, 3*time.Second }

	transcript(t, NameReplication, []golden{
		{"replica", of(replica, func(*Info) {}), "passing: follows redis-a (10.0.0.1:6379), 0 B behind, link up"},
		{"replica ahead by the time of reading", Replication(behind(-50), replica, limits),
			"passing: follows redis-a (10.0.0.1:6379), 0 B behind, link up"},
		{"offset of the master not known", Replication(with(func(s *Server, _ *Info) { s.MasterOffset = -1 }), replica, limits),
			"passing: follows redis-a (10.0.0.1:6379), link up"},
		{"behind", Replication(behind(12<<20), replica, limits),
			"warning: follows redis-a (10.0.0.1:6379), 12 MiB behind, more than 10 MiB, link up"},
		{"far behind", Replication(behind(3<<29), replica, limits),
			"critical: follows redis-a (10.0.0.1:6379), 1.5 GiB behind, more than 100 MiB, link up"},
		{"master heard at its ping interval", of(replica, func(i *Info) { i.LastIO = 10 * time.Second }),
			"passing: follows redis-a (10.0.0.1:6379), 0 B behind, link up"},
		{"master not heard", of(replica, func(i *Info) { i.LastIO = 61 * time.Second }),
			"critical: follows redis-a (10.0.0.1:6379), 0 B behind, heard 61 s ago, more than 60 s"},
		{"link down", of(replica, func(i *Info) { i.LinkUp, i.LinkDownFor = false, 4*time.Second }),
			"warning: link to the master redis-a (10.0.0.1:6379) is down for 4 s"},
		{"link down for long", of(replica, func(i *Info) { i.LinkUp, i.LinkDownFor = false, 4*time.Minute }),
			"critical: link to the master redis-a (10.0.0.1:6379) is down for 4 min"},
		{"link never up", of(replica, func(i *Info) { i.LinkUp, i.LinkDownFor = false, -time.Second }),
			"warning: link to the master redis-a (10.0.0.1:6379) is down"},
		{"full resync", of(replica, func(i *Info) { i.LinkUp, i.SyncInProgress = false, true }),
			"warning: full resync from redis-a (10.0.0.1:6379) in progress: its own data is replaced"},
		{"loading", of(replica, func(i *Info) { i.Loading, i.LoadingETA = true, 12*time.Second }),
			"warning: loads its data set from disk, 12 s to go"},
		{"replica of a stranger", of(replica, func(i *Info) { i.MasterAddress = "10.0.0.9:6379" }),
			"critical: follows 10.0.0.9:6379, though the master of epoch 3 is redis-a (10.0.0.1:6379)"},
		{"open without being named", of(replica, open),
			"critical: takes writes, though the master of epoch 3 is redis-a (10.0.0.1:6379): it must be frozen"},
		{"frozen replica", of(why(replica, "parallel_syncs is reached"), frozen),
			"warning: frozen: takes no writes and follows nobody for 3 s: parallel_syncs is reached; the master of epoch 3 is redis-a (10.0.0.1:6379)"},
		{"replica that takes writes", of(replica, func(i *Info) { i.ReplicaReadOnly = false }),
			"critical: follows redis-a (10.0.0.1:6379), 0 B behind, link up; it takes writes as a replica: set replica-read-only yes"},

		{"master", of(master, open), "passing: master of epoch 3 with 2 replicas"},
		{"master with one replica", of(master, func(i *Info) { open(i); i.Replicas = 1 }), "passing: master of epoch 3 with 1 replica"},
		{"master of one that is behind", of(master, func(i *Info) { open(i); i.Behind = 3 << 29 }),
			"warning: master of epoch 3 with 2 replicas, one 1.5 GiB behind, more than 10 MiB"},
		{"master that could not be fenced", of(master, func(i *Info) { open(i); i.ReplicaReadOnly = false }),
			"warning: master of epoch 3 with 2 replicas; it takes writes as a replica: set replica-read-only yes"},
		{"master frozen", of(why(master, "Consul does not answer"), frozen),
			"critical: frozen, though the record names it master of epoch 3: Consul does not answer"},
		{"master follows", of(master, func(i *Info) { i.MasterAddress = "10.0.0.9:6379" }),
			"critical: follows 10.0.0.9:6379, though the record names it master of epoch 3"},
		{"master loads", of(master, func(i *Info) { i.Loading = true }),
			"critical: loads its data set, though the record names it master of epoch 3"},
		{"master started again", of(master, func(i *Info) { open(i); i.RunID = "ccccccccdddd" }),
			"critical: was started again: the master of epoch 3 is run aaaaaaaa, this is run cccccccc; another master is elected"},

		{"frozen while electing", of(none, frozen), "warning: frozen while the master of epoch 3 is changed: no server takes writes until then"},
		{"open while electing", of(none, open), "warning: takes writes while the master of epoch 3 is changed: no server takes writes until then"},
		{"not started", of(Expected{Why: "2 of 3 nodes have reported"}, func(i *Info) { i.MasterAddress = "" }),
			"warning: a replica without a master: the group was not started yet: 2 of 3 nodes have reported"},
		{"the record is gone", of(Expected{Epoch: 7}, frozen),
			"warning: frozen: the record is gone, and epoch 7 was seen: an operator must rule (rescue record)"},
		{"master by name only", of(Expected{Role: RoleReplica, Master: "redis-a", Epoch: 1}, func(*Info) {}),
			"passing: follows redis-a, 0 B behind, link up"},
		{"master not named", of(Expected{Role: RoleReplica, Epoch: 1}, open),
			"critical: takes writes, though the master of epoch 1 is not known: it must be frozen"},

		{"gone", Replication(link(LinkGone, "", 0), replica, limits), `warning: unknown: the server does not answer, see the check "alive"`},
		{"driver down", Replication(link(LinkUnknown, "", 0), replica, limits), "warning: unknown: the driver does not answer"},
		{"not read yet", Replication(refuses(""), replica, limits), "warning: unknown: INFO was not read yet"},
		{"not readable", Replication(refuses("NOPERM no"), replica, limits), "warning: unknown: INFO was not read: NOPERM no"},
	})
}

func TestReadable(t *testing.T) {
	limits := DefaultReplicationLimits()
	replica := Expected{Role: RoleReplica, Epoch: 3, Master: "redis-a", MasterAddress: "10.0.0.1:6379"}
	none := Expected{Role: RoleNone, Epoch: 3, Why: "an election is in progress"}
	of := func(edit func(*Info)) Result { return Readable(up(edit), replica, limits) }
	transcript(t, NameReadable, []golden{
		{"fit", of(func(*Info) {}), "passing: fit to read from: 0 B behind, link up"},
		{"fit while a reply is due", Readable(link(LinkWaiting, "", ms), replica, limits), "passing: fit to read from: 0 B behind, link up"},
		{"late", of(func(i *Info) { i.LastIO = 30 * time.Second }), "warning: fit to read from: 0 B behind, heard 30 s ago, more than 20 s"},
		{"too far behind", Readable(with(func(s *Server, _ *Info) { s.MasterOffset = 1000 + 1<<30 }), replica, limits),
			"critical: not fit to read from: 1 GiB behind, more than 100 MiB, link up"},
		{"link down", of(func(i *Info) { i.LinkUp, i.LinkDownFor = false, time.Second }),
			"critical: not fit to read from: link to the master 10.0.0.1:6379 is down for 1 s"},
		{"syncing", of(func(i *Info) { i.LinkUp, i.SyncInProgress = false, true }),
			"critical: not fit to read from: full resync from 10.0.0.1:6379 in progress"},
		{"loading", of(func(i *Info) { i.Loading = true }), "critical: not fit to read from: loads its data set from disk"},
		{"stray", of(func(i *Info) { i.MasterAddress = "10.0.0.9:6379" }),
			"critical: not fit to read from: it follows 10.0.0.9:6379, the master is redis-a (10.0.0.1:6379)"},
		{"open", of(func(i *Info) { i.Open = true }), "critical: not fit to read from: it takes writes of its own"},
		{"master", Readable(up(func(i *Info) { i.Open = true }), Expected{Role: RoleMaster}, limits),
			"critical: not fit to read from: it is the master; read from it by the name of the master"},
		{"frozen", Readable(up(func(i *Info) { i.Frozen, i.LinkUp = true, false }), none, limits),
			"critical: not fit to read from: frozen, it follows nobody: an election is in progress"},
		{"gone", Readable(link(LinkGone, "", 0), replica, limits),
			"critical: not fit to read from: connection refused: nothing listens on 10.0.0.2:6379"},
		{"silent", Readable(link(LinkSilent, "", 6*time.Second), replica, limits), "critical: not fit to read from: no reply for 6 s"},
		{"driver down", Readable(link(LinkUnknown, "", 0), replica, limits), "warning: unknown: the driver does not answer"},
		{"not read yet", Readable(refuses(""), replica, limits), "warning: unknown: INFO was not read yet"},
		{"password changed", Readable(refuses("NOAUTH no"), replica, limits), "critical: not fit to read from: INFO was not read: NOAUTH no"},
	})
}

func TestPersistence(t *testing.T) {
	of := func(edit func(*Info)) Result { return Persistence(up(edit), DefaultPersistenceLimits()) }
	transcript(t, NamePersistence, []golden{
		{"saved", of(func(*Info) {}), "passing: everything saved at 2026-03-01 12:30 UTC"},
		{"saving", of(func(i *Info) { i.RDBInProgress = true }), "passing: everything saved at 2026-03-01 12:30 UTC, a save is in progress"},
		{"a few changes", of(func(i *Info) { i.RDBChanges = 1 }), "passing: 1 change since the last save at 2026-03-01 12:30 UTC"},
		{"old changes", of(func(i *Info) { i.RDBChanges, i.RDBSavedAgo = 1234, 3*time.Hour }),
			"warning: 1234 changes since the last save at 2026-03-01 12:30 UTC, more than 2 h: a restart loses them; set save, or appendonly yes"},
		{"old changes in the append-only file", of(func(i *Info) { i.AOFEnabled, i.RDBChanges, i.RDBSavedAgo = true, 1234, 72*time.Hour }),
			"passing: append-only file written, 1234 changes since the last save at 2026-03-01 12:30 UTC"},
		{"save failed", of(func(i *Info) { i.RDBLastSaveOK, i.RDBChanges, i.RDBSavedAgo = false, 7, 10*time.Minute }),
			"warning: the last save failed, 7 changes since the last save at 2026-03-01 12:30 UTC: see the disk's space, vm.overcommit_memory and the server's log"},
		{"append-only file failed", of(func(i *Info) { i.AOFEnabled, i.AOFLastOK, i.RDBLastSaveOK = true, false, false }),
			"critical: the last write to the append-only file failed: see the disk's space and the server's log; until it succeeds, no writes are taken"},
		{"append-only file not in use", of(func(i *Info) { i.AOFLastOK = false }), "passing: everything saved at 2026-03-01 12:30 UTC"},
		{"loading", of(func(i *Info) { i.Loading = true }), "warning: loads its data set from disk"},
		{"silent", Persistence(link(LinkSilent, "", 0), PersistenceLimits{}), `warning: unknown: the server does not answer, see the check "alive"`},
	})
}

func TestMemory(t *testing.T) {
	of := func(edit func(*Info)) Result { return Memory(up(edit), DefaultMemoryLimits()) }
	used := func(share int64) func(*Info) {
		return func(i *Info) { i.MemoryUsed, i.MemoryMax = share<<30/100, 1<<30 }
	}
	transcript(t, NameMemory, []golden{
		{"no maxmemory", of(func(*Info) {}), "passing: 1.5 GiB used, maxmemory is not set"},
		{"half", of(func(i *Info) { i.MemoryMax = 3 << 30 }), "passing: 1.5 GiB used of 3 GiB maxmemory (50 %)"},
		{"much", of(used(85)), "warning: 871 MiB used of 1 GiB maxmemory (85 %), more than 80 %: writes are refused when it is full; raise maxmemory or delete keys"},
		{"full", of(used(99)), "critical: 1014 MiB used of 1 GiB maxmemory (99 %), more than 95 %: writes are refused when it is full; raise maxmemory or delete keys"},
		{"a full cache", of(func(i *Info) { used(99)(i); i.MemoryPolicy = "allkeys-lru" }),
			"warning: 1014 MiB used of 1 GiB maxmemory (99 %), more than 95 %: keys are evicted when it is full (allkeys-lru)"},
		{"fragmented", of(func(i *Info) { i.Fragmentation = 2.25 }), "passing: 1.5 GiB used, maxmemory is not set; fragmentation 2.2, activedefrag helps"},
		{"not read yet", Memory(refuses(""), ShareLimits{}), "warning: unknown: INFO was not read yet"},
	})
}

func TestClients(t *testing.T) {
	of := func(edit func(*Info)) Result { return Clients(up(edit), DefaultClientLimits()) }
	transcript(t, NameClients, []golden{
		{"few", of(func(*Info) {}), "passing: 12 clients of 10000 (0 %)"},
		{"blocked", of(func(i *Info) { i.Clients, i.BlockedClients = 1, 1 }), "passing: 1 client of 10000 (0 %), 1 blocked"},
		{"limit not known", of(func(i *Info) { i.ClientsMax = 0 }), "passing: 12 clients"},
		{"many", of(func(i *Info) { i.ClientsMax = 14 }),
			"warning: 12 clients of 14 (86 %), more than 80 %: further ones are refused at the limit; raise maxclients or close idle ones"},
		{"full", of(func(i *Info) { i.ClientsMax = 12 }),
			"critical: 12 clients of 12 (100 %), more than 95 %: further ones are refused at the limit; raise maxclients or close idle ones"},
		{"driver down", Clients(Server{}, ShareLimits{}), "warning: unknown: the driver does not answer"},
	})
}

func TestViewOfMaster(t *testing.T) {
	of := func(edit func(*Watch)) Result {
		w := Watch{Node: "redis-a", Address: "10.0.0.1:6379", Epoch: 3, Latency: 400 * time.Microsecond, Quorum: 2,
			View: MasterView{Link: LinkUp, DownAfter: 5 * time.Second}}
		edit(&w)
		w.Verdict = JudgeMaster(w.View)
		return ViewOfMaster(w)
	}
	const a = "redis-a (10.0.0.1:6379) of epoch 3 "
	transcript(t, NameMaster, []golden{
		{"well", of(func(*Watch) {}), "passing: " + a + "answers within 10 ms"},
		{"an error", of(func(w *Watch) { w.View.Cause = "NOAUTH Authentication required." }),
			"warning: " + a + "is alive and answers -NOAUTH Authentication required."},
		{"a reply is due", of(func(w *Watch) { w.View.Link, w.View.SilentFor = LinkWaiting, 300*ms }), "passing: " + a + "last answered 300 ms ago"},
		{"overdue", of(func(w *Watch) { w.View.Link, w.View.SilentFor = LinkWaiting, 3*time.Second }),
			"warning: " + a + "has not answered for 3 s, down after 5 s"},
		{"silent, not yet down", of(func(w *Watch) { w.View.Link, w.View.SilentFor = LinkSilent, time.Second }),
			"warning: " + a + "has not answered for 1 s, down after 5 s"},
		{"silent", of(func(w *Watch) { w.View.Link, w.View.SilentFor = LinkSilent, 5*time.Second }), "warning: " + a + "is silent: no reply for 5 s"},
		{"busy before it is down", of(func(w *Watch) {
			w.View.Link, w.View.SilentFor, w.Busy = LinkWaiting, 3*time.Second, "busy: its process is running"
		}), "warning: " + a + "is kept by its own agent: busy: its process is running"},
		{"busy and silent", of(func(w *Watch) {
			w.View.Link, w.View.SilentFor, w.Busy = LinkSilent, 6*time.Second, "busy: its process is running"
		}),
			"warning: " + a + "is silent: no reply for 6 s; its own agent vetoes: busy: its process is running"},
		{"gone, voted", of(func(w *Watch) { w.View.Link, w.Votes = LinkGone, []string{"agent-b", "agent-c"} }),
			"warning: " + a + "is gone: connection refused: nothing listens; voted down by agent-b, agent-c (2 of 2 needed)"},
		{"gone, too long ago to count", of(func(w *Watch) { w.View.Link, w.View.ObservedAgo = LinkGone, time.Hour }),
			"warning: " + a + "is unknown: the driver last spoke of it 60 min ago"},
		{"well, voted down by another", of(func(w *Watch) { w.Votes, w.Quorum = []string{"agent-b"}, 0 }),
			"warning: " + a + "answers within 10 ms; voted down by agent-b (1)"},
		{"driver down", of(func(w *Watch) { w.View.Link = LinkUnknown }), "warning: " + a + "is unknown: the driver does not answer"},
		{"gone, not judged yet", ViewOfMaster(Watch{Node: "redis-a", Epoch: 3, View: MasterView{Link: LinkGone, Cause: "refused"}}),
			"warning: redis-a of epoch 3 is gone (refused)"},
		{"electing", of(func(w *Watch) { w.Electing, w.Cause, w.Votes = true, "gone", []string{"agent-b", "agent-c"} }),
			"warning: the master redis-a (10.0.0.1:6379) of epoch 3 is being changed: gone; voted down by agent-b, agent-c (2 of 2 needed)"},
		{"not started", of(func(w *Watch) { w.Node = "" }), "warning: no master: the group was not started yet"},
	})
}

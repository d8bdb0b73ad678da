package checks

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var (
	links = rapid.OneOf(
		rapid.SampledFrom([]Link{LinkUnknown, LinkUp, LinkGone, LinkSilent, LinkWaiting}),
		rapid.Map(rapid.String(), func(s string) Link { return Link(s) }))
	// texts are what a server or the system may say, line ends and broken UTF-8 included.
	texts = rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Just(strings.Repeat("long ", 1000)),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"\n", "\r\n \t", "LOADING\nx", "-NOAUTH\r\n", "\xff\xfe", "a\u2028b\u0085c"}))
	spans = rapid.OneOf(
		rapid.Map(rapid.Int64Range(0, int64(time.Minute)), func(n int64) time.Duration { return time.Duration(n) }),
		rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) }),
		rapid.SampledFrom([]time.Duration{0, math.MinInt64, math.MaxInt64}))
	counts = rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1<<40), rapid.SampledFrom([]int64{-1, 0, 1, math.MinInt64, math.MaxInt64}))
	ratios = rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1)}))
	runs   = rapid.OneOf(rapid.SampledFrom([]string{"", "a", "aaaaaaaabbbb", "ccccccccdddd"}), texts)
	epochs = rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64())
	states = rapid.OneOf(rapid.SampledFrom([]string{"", "open", "paused", "frozen", "following", "syncing", "stray", "loading", "dead", "unknown"}), texts)
)

func drawServer(t *rapid.T) Server {
	s := Server{
		Address: texts.Draw(t, "address"), Link: links.Draw(t, "link"), Cause: texts.Draw(t, "cause"),
		SilentFor: spans.Draw(t, "silent for"), Latency: spans.Draw(t, "latency"), MasterOffset: counts.Draw(t, "master offset"),
	}
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	if flag("info") {
		s.Info = &Info{
			RunID: runs.Draw(t, "run"), Open: flag("open"), Frozen: flag("frozen"), MasterAddress: texts.Draw(t, "master address"),
			LinkUp: flag("link up"), LinkDownFor: spans.Draw(t, "link down for"), SyncInProgress: flag("sync"),
			LastIO: spans.Draw(t, "last io"), Offset: counts.Draw(t, "offset"), Replicas: int(counts.Draw(t, "replicas")), Behind: counts.Draw(t, "behind"),
			ReplicaReadOnly: flag("read only"), Loading: flag("loading"), LoadingETA: spans.Draw(t, "eta"),
			RDBLastSaveOK: flag("saved"), RDBInProgress: flag("saving"), RDBChanges: counts.Draw(t, "changes"),
			RDBSavedAgo: spans.Draw(t, "saved ago"), AOFEnabled: flag("aof"), AOFLastOK: flag("aof ok"),
			MemoryUsed: counts.Draw(t, "used"), MemoryMax: counts.Draw(t, "max"), MemoryPolicy: texts.Draw(t, "policy"),
			Fragmentation: ratios.Draw(t, "fragmentation"), Clients: int(counts.Draw(t, "clients")),
			ClientsMax: int(counts.Draw(t, "clients max")), BlockedClients: int(counts.Draw(t, "blocked")),
		}
	}
	return s
}

func drawView(t *rapid.T) MasterView {
	return MasterView{
		Link: links.Draw(t, "link"), Cause: texts.Draw(t, "cause"), SilentFor: spans.Draw(t, "silent for"),
		ObservedAgo: spans.Draw(t, "observed ago"), DownAfter: spans.Draw(t, "down after"),
		ReportedRunID: runs.Draw(t, "reported run"), ReportedState: states.Draw(t, "state"), ReportedEpoch: epochs.Draw(t, "reported epoch"),
		ReportedFor: spans.Draw(t, "reported for"), RecordRunID: runs.Draw(t, "record run"), Epoch: epochs.Draw(t, "epoch"),
		EpochSeenFor: spans.Draw(t, "epoch seen for"), NotOpened: rapid.Bool().Draw(t, "not opened"), Grace: spans.Draw(t, "grace"),
	}
}

// checkLine fails unless text is one readable line.
func checkLine(t *rapid.T, text string) {
	t.Helper()
	if text == "" || strings.TrimSpace(text) != text || strings.ContainsAny(text, "\n\r\u0085\u2028\u2029") ||
		!utf8.ValidString(text) || utf8.RuneCountInString(text) > maxOutput {
		t.Fatalf("not one readable line: %q", text)
	}
}

// No input makes a check panic or write anything but one line, and its status is one that Consul knows.
func TestEveryResultIsOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawServer(t)
		expect := Expected{
			Role: rapid.SampledFrom([]Role{RoleUndecided, RoleMaster, RoleReplica, RoleNone, "odd"}).Draw(t, "role"), Epoch: epochs.Draw(t, "epoch"),
			Master: texts.Draw(t, "name"), MasterAddress: texts.Draw(t, "named address"), RunID: runs.Draw(t, "named run"), Why: texts.Draw(t, "why"),
		}
		warning, critical := spans.Draw(t, "warning"), spans.Draw(t, "critical")
		replication := ReplicationLimits{counts.Draw(t, "warning bytes"), counts.Draw(t, "critical bytes"), warning, critical}
		shares := ShareLimits{ratios.Draw(t, "warning share"), ratios.Draw(t, "critical share")}
		view := drawView(t)
		watch := Watch{
			Node: texts.Draw(t, "node"), Address: s.Address, Epoch: view.Epoch, Electing: rapid.Bool().Draw(t, "electing"), Cause: s.Cause,
			View: view, Latency: s.Latency, Busy: texts.Draw(t, "busy"), Votes: rapid.SliceOf(texts).Draw(t, "votes"), Quorum: int(counts.Draw(t, "quorum")),
		}
		if rapid.Bool().Draw(t, "judged") {
			watch.Verdict = JudgeMaster(view)
		}
		for _, r := range []Result{
			Alive(s, LatencyLimits{warning, critical}), Replication(s, expect, replication), Readable(s, expect, replication),
			Persistence(s, PersistenceLimits{warning, critical}), Memory(s, shares), Clients(s, shares), ViewOfMaster(watch),
		} {
			checkLine(t, r.Output)
			if !slices.Contains([]Status{Passing, Warning, Critical}, r.Status) || r.Name == "" {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// What the driver does not know is held against nobody: no check is critical and no verdict is down.
func TestUnknownIsNotDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, v := drawServer(t), drawView(t)
		s.Link = rapid.SampledFrom([]Link{"", LinkUnknown}).Draw(t, "unknown")
		v.Link = s.Link
		if got := JudgeMaster(v); got != (Verdict{}) {
			t.Fatalf("down without knowing anything: %+v", got)
		}
		expect, limits := Expected{Role: RoleReplica, Epoch: 1}, DefaultReplicationLimits()
		for _, r := range []Result{
			Alive(s, DefaultLatencyLimits()), Replication(s, expect, limits), Readable(s, expect, limits),
			Persistence(s, DefaultPersistenceLimits()), Memory(s, DefaultMemoryLimits()), Clients(s, DefaultClientLimits()),
		} {
			if r.Status != Warning {
				t.Fatalf("the driver does not answer, and %s is %s: %s", r.Name, r.Status, r.Output)
			}
		}
	})
}

// A verdict is whole or empty, and rests on the evidence it names.
func TestVerdictsRestOnEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t)
		got := JudgeMaster(v)
		if !got.Down {
			if got != (Verdict{}) {
				t.Fatalf("not down, and yet %+v", got)
			}
			return
		}
		checkLine(t, got.Cause)
		thisRun := v.ReportedRunID == v.RecordRunID
		switch got.Evidence {
		case Gone:
			if v.Link != LinkGone && (v.ReportedState != "dead" || !thisRun) {
				t.Fatalf("gone without having ended: %+v", got)
			}
		case Silent:
			if v.Link != LinkSilent || v.SilentFor < v.DownAfter {
				t.Fatalf("silent for less than down_after: %+v", got)
			}
		case NotServing:
			otherRun := v.ReportedRunID != "" && v.RecordRunID != "" && !thisRun
			serving := v.ReportedState == "open" || v.ReportedState == "paused"
			if !otherRun && (serving || v.EpochSeenFor <= v.Grace) {
				t.Fatalf("not serving, but open or within its grace: %+v", got)
			}
		default:
			t.Fatalf("evidence %q", got.Evidence)
		}
	})
}

// Any reply at all means alive: a master that is open by its agent's word is not down while it answers.
func TestAnyReplyMeansAlive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t)
		v.Link, v.ReportedState, v.ReportedRunID = LinkUp, rapid.SampledFrom([]string{"open", "paused"}).Draw(t, "serves"), v.RecordRunID
		if got := JudgeMaster(v); got.Down {
			t.Fatalf("it answers %q and is called down: %+v", v.Cause, got)
		}
	})
}

// A verdict never gets milder by waiting: silence that lasts longer is down as well.
func TestSilenceOnlyGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawView(t)
		before := JudgeMaster(v)
		if v.SilentFor += time.Hour; v.SilentFor < 0 {
			v.SilentFor = math.MaxInt64
		}
		if before.Down && !JudgeMaster(v).Down {
			t.Fatalf("down before, not an hour of silence later: %+v", before)
		}
	})
}

// A veto needs a process that is known to live, and silence for more than half of down_after.
func TestOnlyTheLivingAreBusy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Process{rapid.Bool().Draw(t, "known"), rapid.Byte().Draw(t, "state"), spans.Draw(t, "cpu")}
		silent, downAfter := spans.Draw(t, "silent for"), spans.Draw(t, "down after")
		busy, cause := JudgeBusy(p, silent, downAfter)
		checkLine(t, cause)
		if want := p.Known && !strings.ContainsRune("TtZXx\x00", rune(p.State)) && silent > downAfter/2; busy != want {
			t.Fatalf("busy is %v: %s", busy, cause)
		}
	})
}

func TestSizesAndSpansAreWellFormatted(t *testing.T) {
	for n, want := range map[int64]string{-1: "0 B", 1023: "1023 B", 1024: "1 KiB", 3 << 29: "1.5 GiB", math.MaxInt64: "8 EiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-1: "under 0.1 ms", 300 * time.Microsecond: "0.3 ms", 12 * ms: "12 ms", 3200 * ms: "3.2 s", 12 * time.Second: "12 s",
		5 * time.Minute: "5 min", 3 * time.Hour: "3 h", 72 * time.Hour: "3 days",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestSameWords(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"PONG in 0.3 ms", "PONG in under 0.1 ms", true},
		{"512 B behind, heard 1 s ago", "1.5 MiB behind, heard 2 min ago", true},
		{"1 change since the last save 12 s ago", "40 changes since the last save 2 h ago", true},
		{"14 clients of 10000 (0 %)", "150 clients of 10000 (2 %)", true},
		{"master of epoch 3 with 2 replicas", "master of epoch 4 with 2 replicas", false},
		{"master of epoch 3 with 2 replicas", "master of epoch 3 with 1 replica", false},
		{"no master since epoch 3 says", "no master since epoch 4 says", false},
		{"follows 10.0.0.1:6379", "follows 10.0.0.2:6379", false},
		{"4 clients", "4 clients, 1 blocked", false},
	} {
		if got := SameWords(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

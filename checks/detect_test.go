package checks

import (
	"testing"
	"time"
)

func TestJudgeMaster(t *testing.T) {
	const run, other = "aaaaaaaabbbb", "ccccccccdddd"
	tests := []struct {
		name     string
		edit     func(*MasterView) // of a master that is well
		evidence Evidence          // empty: not down
		cause    string
	}{
		{"well", func(*MasterView) {}, "", ""},

		// What the observer's own connection says.
		{"gone", func(v *MasterView) { v.Link, v.Cause = LinkGone, "dial tcp: connection refused" },
			Gone, "connection refused: nothing listens (dial tcp: connection refused)"},
		{"gone in a new epoch", func(v *MasterView) { v.Link, v.EpochSeenFor = LinkGone, 0 }, Gone, "connection refused: nothing listens"},
		{"silent", func(v *MasterView) { v.Link, v.SilentFor = LinkSilent, 5*time.Second }, Silent, "no reply for 5 s"},
		{"silent, not yet for down_after", func(v *MasterView) { v.Link, v.SilentFor = LinkSilent, 5*time.Second-1 }, "", ""},
		{"waiting for longer than down_after", func(v *MasterView) { v.Link, v.SilentFor = LinkWaiting, time.Minute }, "", ""},
		{"driver down", func(v *MasterView) { v.Link, v.SilentFor = LinkUnknown, time.Hour }, "", ""},
		{"nothing observed", func(v *MasterView) { v.Link = "" }, "", ""},
		{"a link of a newer driver", func(v *MasterView) { v.Link = "odd" }, "", ""},
		{"gone, said by a driver that hangs since", func(v *MasterView) { v.Link, v.ObservedAgo = LinkGone, 15*time.Second+1 }, "", ""},
		{"gone, said a while ago", func(v *MasterView) { v.Link, v.ObservedAgo = LinkGone, 15*time.Second },
			Gone, "connection refused: nothing listens"},
		{"password changed", func(v *MasterView) { v.Cause, v.SilentFor = "NOAUTH Authentication required.", time.Hour }, "", ""},
		{"loading, by its reply", func(v *MasterView) { v.Cause = "LOADING Redis is loading" }, "", ""},
		{"busy, by its reply", func(v *MasterView) { v.Cause = "BUSY Redis is busy running a script" }, "", ""},

		// What its own agent says.
		{"dead", func(v *MasterView) { v.ReportedState = "dead" }, Gone, "its own agent reports that run aaaaaaaa has ended"},
		{"dead in a new epoch", func(v *MasterView) { v.ReportedState, v.EpochSeenFor = "dead", 0 },
			Gone, "its own agent reports that run aaaaaaaa has ended"},
		{"dead and silent", func(v *MasterView) { v.ReportedState, v.Link, v.SilentFor = "dead", LinkSilent, time.Minute },
			Gone, "its own agent reports that run aaaaaaaa has ended"},
		{"dead, of a run not named, in a new epoch", func(v *MasterView) {
			v.ReportedState, v.ReportedRunID, v.EpochSeenFor = "dead", "", 0
		}, "", ""},
		{"started again", func(v *MasterView) { v.ReportedRunID, v.EpochSeenFor, v.ReportedState = other, 0, "loading" },
			NotServing, "it was started again: run cccccccc, the record names run aaaaaaaa"},
		{"started again and silent", func(v *MasterView) { v.ReportedRunID, v.Link, v.SilentFor = other, LinkSilent, time.Minute },
			NotServing, "it was started again: run cccccccc, the record names run aaaaaaaa"},
		{"of another run by a report from before the epoch, in a new epoch", func(v *MasterView) {
			v.ReportedRunID, v.ReportedEpoch, v.EpochSeenFor, v.ReportedState = other, 6, 500*time.Millisecond, "frozen"
		}, "", ""},
		{"of another run by a report from before the epoch", func(v *MasterView) { v.ReportedRunID, v.ReportedEpoch = other, 6 },
			NotServing, "it was started again: run cccccccc, the record names run aaaaaaaa"},
		{"run not reported", func(v *MasterView) { v.ReportedRunID = "" }, "", ""},
		{"run not recorded", func(v *MasterView) { v.RecordRunID = "" }, "", ""},
		{"frozen for want of Consul", func(v *MasterView) { v.ReportedState, v.ReportedFor = "frozen", 501*time.Millisecond },
			NotServing, `not open: its own agent reports "frozen" for 501 ms`},
		{"frozen for a moment", func(v *MasterView) { v.ReportedState, v.ReportedFor = "frozen", 500*time.Millisecond }, "", ""},
		{"frozen in a new epoch", func(v *MasterView) {
			v.ReportedState, v.ReportedFor, v.EpochSeenFor = "frozen", time.Minute, 500*time.Millisecond
		}, "", ""},
		{"follows another", func(v *MasterView) { v.ReportedState, v.ReportedFor = "stray", time.Minute },
			NotServing, `not open: its own agent reports "stray" for 60 s`},
		{"paused for a switchover", func(v *MasterView) { v.ReportedState, v.ReportedFor = "paused", time.Minute }, "", ""},
		{"its agent cannot tell", func(v *MasterView) { v.ReportedState, v.ReportedFor = "unknown", time.Hour }, "", ""},
		{"loads", func(v *MasterView) { v.ReportedState, v.ReportedFor = "loading", time.Hour }, "", ""},

		// What it should have done.
		{"chosen, has not opened", func(v *MasterView) {
			v.ReportedState, v.ReportedEpoch, v.EpochSeenFor, v.NotOpened = "frozen", 6, time.Second, true
		},
			NotServing, `it has not opened for 1 s: its agent last reported "frozen" in epoch 6`},
		{"chosen, has opened by the record, and its agent ended before it could report", func(v *MasterView) {
			v.ReportedState, v.ReportedEpoch = "frozen", 6
		}, "", ""},
		{"chosen just now", func(v *MasterView) {
			v.ReportedState, v.ReportedEpoch, v.EpochSeenFor = "frozen", 6, 500*time.Millisecond
		}, "", ""},
		{"chosen, its driver hangs before it opened", func(v *MasterView) { v.ReportedState, v.NotOpened = "unknown", true },
			NotServing, `it has not opened for 60 min: its agent last reported "unknown" in epoch 7`},
		{"open, and its agent has not entered it yet", func(v *MasterView) { v.NotOpened = true }, "", ""},
		{"nothing reported", func(v *MasterView) { v.ReportedState, v.ReportedRunID, v.ReportedEpoch = "", "", 0 },
			NotServing, "it has not opened for 60 min: its agent reported nothing"},
		{"open by a report of an older epoch", func(v *MasterView) { v.ReportedEpoch = 6 }, "", ""},

		// Both.
		{"frozen and the driver is down", func(v *MasterView) { v.ReportedState, v.ReportedFor, v.Link = "frozen", time.Hour, LinkUnknown }, "", ""},
		{"frozen and gone", func(v *MasterView) { v.ReportedState, v.ReportedFor, v.Link = "frozen", time.Hour, LinkGone },
			Gone, "connection refused: nothing listens"},
		{"open and silent", func(v *MasterView) { v.Link, v.SilentFor, v.Cause = LinkSilent, 6*time.Second, "i/o timeout" },
			Silent, "no reply for 6 s (i/o timeout)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := MasterView{
				Link: LinkUp, DownAfter: 5 * time.Second, Epoch: 7, EpochSeenFor: time.Hour, Grace: 500 * time.Millisecond,
				RecordRunID: run, ReportedRunID: run, ReportedState: "open", ReportedEpoch: 7, ReportedFor: time.Hour,
			}
			tt.edit(&v)
			want := Verdict{Down: tt.evidence != "", Evidence: tt.evidence, Cause: tt.cause}
			if got := JudgeMaster(v); got != want {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestJudgeBusy(t *testing.T) {
	tests := []struct {
		name   string
		p      Process
		silent time.Duration
		busy   bool
		cause  string
	}{
		{"a script", Process{true, 'R', 2900 * ms}, 3 * time.Second, true,
			"busy: no reply for 3 s, but its process is running and used 2.9 s of processor time"},
		{"DEBUG SLEEP", Process{true, 'S', 0}, 3 * time.Second, true,
			"busy: no reply for 3 s, but its process is sleeping and used under 0.1 ms of processor time"},
		{"fsync", Process{true, 'D', ms}, 3 * time.Second, true,
			"busy: no reply for 3 s, but its process is waiting for a disk and used 1 ms of processor time"},
		{"another state", Process{true, 'I', ms}, 3 * time.Second, true,
			"busy: no reply for 3 s, but its process is in state 'I' and used 1 ms of processor time"},
		{"stopped", Process{true, 'T', 0}, 3 * time.Second, false, "not busy: its process is stopped"},
		{"traced", Process{true, 't', 0}, 3 * time.Second, false, "not busy: its process is stopped by a debugger"},
		{"zombie", Process{true, 'Z', 0}, 3 * time.Second, false, "not busy: its process is a zombie"},
		{"gone", Process{true, 'X', 0}, 3 * time.Second, false, "not busy: its process is gone"},
		{"gone, no state", Process{true, 0, 0}, 3 * time.Second, false, "not busy: its process is gone"},
		{"not known", Process{State: 'R'}, 3 * time.Second, false, "not known to be busy: nothing is known of its process"},
		{"half of down_after", Process{true, 'R', 0}, 2500 * ms, false, "not silent for long enough to be called busy: 2.5 s"},
		{"just over half", Process{true, 'R', 0}, 2500*ms + 1, true,
			"busy: no reply for 2.5 s, but its process is running and used under 0.1 ms of processor time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			busy, cause := JudgeBusy(tt.p, tt.silent, 5*time.Second)
			if busy != tt.busy || cause != tt.cause {
				t.Errorf("\n got %v, %s\nwant %v, %s", busy, cause, tt.busy, tt.cause)
			}
		})
	}
}

func TestPingEvery(t *testing.T) {
	for downAfter, want := range map[time.Duration]time.Duration{
		0: 10 * ms, 39 * ms: 10 * ms, 100 * ms: 25 * ms, time.Second: 250 * ms, 4 * time.Second: time.Second, time.Hour: 2 * time.Second,
	} {
		if got := PingEvery(downAfter); got != want {
			t.Errorf("PingEvery(%s) = %s, want %s", downAfter, got, want)
		}
		// The veto is due once half of down_after has passed, and a tick later than that at most. Others may count from as
		// long before the silence as they leave between two questions.
		if down := downAfter; down >= 100*ms && down/2 > down-WatchEvery(down) {
			t.Errorf("with a down_after of %s others vote %s into a silence, before the veto", down, down-WatchEvery(down))
		}
	}
}

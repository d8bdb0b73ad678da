package failover

// Rule is one of the rules that the guarantees rest on, as docs/guarantees.md argues. In a build with the tag rulesout one
// can be taken away, to show that the tests would notice.
type Rule string

// The rules, each with what it says.
const (
	// MastersRun: only the run of the master's server that the record names is master.
	MastersRun Rule = "the master's run"
	// OneAttempt: reports count for the attempt that they were made for, and for no other.
	OneAttempt Rule = "one attempt"
	// CountedRuns: only runs that have caught up since they joined are chosen.
	CountedRuns Rule = "counted runs"
	// LeaderWaits: a leader that hears nothing of the old master waits until its lease has ended.
	LeaderWaits Rule = "the leader waits"
	// StampBefore: a lease counts from before its read was sent.
	StampBefore Rule = "stamped before sending"
	// IndexOrder: an answer that is older than one seen is dropped.
	IndexOrder Rule = "index order"
	// LeaseEnds: a server is frozen when its lease ends.
	LeaseEnds Rule = "the lease ends"
	// WholeSet: all members' agents must promise.
	WholeSet Rule = "promises of all"
	// WaitAfterStart: an agent that has just started opens nothing that an agent before it may have promised not to open.
	WaitAfterStart Rule = "no opening after a start"
	// KeepsPromise: an agent opens nothing while it has promised so.
	KeepsPromise Rule = "a promise is kept"
	// OnlyExtends: a promise extends a lease that has not ended.
	OnlyExtends Rule = "a promise only extends"
	// NoneAfterElecting: nothing is promised once an election was seen.
	NoneAfterElecting Rule = "no promise after electing"
	// OpenByRead: to open takes a consistent read; promises only keep open.
	OpenByRead Rule = "opened by a read"
	// EpochsCount: of two positions that of the later epoch is higher, whatever the offsets.
	EpochsCount Rule = "epochs in positions"
	// OldMasterStays: the old master becomes a member.
	OldMasterStays Rule = "eligible plus the old master"
	// FreezeReplicas: replicas freeze before they report.
	FreezeReplicas Rule = "replicas freeze"
	// KillStuck: a server that does not confirm that it is frozen is killed.
	KillStuck Rule = "stuck servers are killed"
	// ReadOrFreeze: an agent that has started freezes an open server unless a read gives it a lease.
	ReadOrFreeze Rule = "read or freeze"
	// NeedReports: with wait:k, R-k+1 members must have reported.
	NeedReports Rule = "R-k+1 reports"
	// HighestOnly: with wait:k, nobody is chosen who is behind another that reported.
	HighestOnly Rule = "the highest only"
	// SaveFirst: what a full resync discards is saved before.
	SaveFirst Rule = "saved first"
	// StartFrozen: every server's configuration says frozen.
	StartFrozen Rule = "start frozen"
)

// Rules are those of the decision, AgentRules those of the agents that act on it.
var Rules = []Rule{MastersRun, OneAttempt, CountedRuns, LeaderWaits, LeaseEnds, WholeSet, WaitAfterStart, KeepsPromise,
	OnlyExtends, NoneAfterElecting, OpenByRead, EpochsCount, OldMasterStays, FreezeReplicas, KillStuck, ReadOrFreeze,
	NeedReports, HighestOnly, SaveFirst, StartFrozen}
var AgentRules = []Rule{StampBefore, IndexOrder}

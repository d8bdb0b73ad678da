package failover

import "time"

// What the decision waits for, and why so long. Each group's own times stand in Settings.
const (
	// drainFor is how long a replica that is still connected takes what the old master has sent before it
	// freezes. A millisecond is enough on a network that works; where it does not, the wait costs a
	// fiftieth of a second.
	drainFor = 20 * time.Millisecond
	// pauseFor is how long a planned change holds writes back until a replica has everything. Redis
	// clients commonly time out after a second or more.
	pauseFor = 500 * time.Millisecond
	// lookEvery is how often an offset is read while somebody waits for it. Each look costs about as much as it takes.
	lookEvery = 3 * time.Millisecond
	// lookSlowly is how often a replica that is not counted yet looks at its own offset.
	lookSlowly = 500 * time.Millisecond
	// streamStarts is how long after a replica's link came up its master surely sends it the stream of writes. After
	// a full resync Redis begins with the replica's first acknowledgement, and those come once a second; until
	// then the link is up, the offsets are equal on a quiet master, and new writes go nowhere.
	streamStarts = 1500 * time.Millisecond
	// electAfter is by how much each further agent of the quorum holds back from electing, so that they do not
	// all commit at once: the transactions that lose would cost Consul as much as the one that wins. The first of them
	// has just voted, so it is hardly ever waited for.
	electAfter = 250 * time.Millisecond
	// takeAfter is how long the lock for a planned change is left to the agents of those that may take over.
	takeAfter = 100 * time.Millisecond
	// writeAfter is how long a vote that was told to all waits to be written to Consul. When fifty masters die with their
	// machine, their elections take longer than one does, and each vote that is written meanwhile is one more commit, and a
	// conflict with the election that rests on its having been told.
	writeAfter = 300 * time.Millisecond
	// crowdedBy is by how much longer a wait is that may be crowded, for each other group of the agent that is in a change of
	// master too: the changes of all take their time.
	crowdedBy = 20 * time.Millisecond
	// voteAfter is how long an agent that could elect waits for the vote of another that would elect before it. Votes are told
	// within milliseconds of each other where all see the same, and tens of them on a busy machine; a leader whose own node is not the
	// next master costs as much.
	voteAfter = 30 * time.Millisecond
	// openingFor is how long a new master may take to open, and the others to follow, before their agents report that they
	// have not.
	openingFor = 200 * time.Millisecond
	// gatherFor is how long the leader waits for the reports of all eligible nodes once the old master is
	// fenced. A report takes some milliseconds; a node whose agent is dead never sends one.
	gatherFor = 250 * time.Millisecond
	// freezeConfirm is how long the old master of a failure may take to confirm that it is frozen before
	// it is killed. It takes half a millisecond when it runs at all.
	freezeConfirm = 150 * time.Millisecond
	// turnFor is how long a member may take to begin the full resync that it was given the turn for. Redis connects
	// again every second; a disk that is slow to fork or save takes some more.
	turnFor = 15 * time.Second
	// syncFor is how long a full resync keeps its turn. One that takes longer goes on, beside the next; one whose machine
	// has died in the middle would keep it for ever.
	syncFor = 10 * time.Minute
	// maxCooldown is the longest that repeated failures of one kind hold the next change of master back.
	maxCooldown = time.Minute
	// settle is how long a master of priority 0 stays before its place is given on, so that the others
	// can attach to it first.
	settle = time.Second
	// askAgain is how long after a planned change was called off the master's agent asks for it once more. One that leaves waits
	// half a minute for it.
	askAgain = 10 * time.Second
	// driftMargin covers the rates at which two machines' clocks may differ: the leader waits this much
	// longer than a lease lasts. Consumer crystals stay within 0.02 %; a twentieth covers a bad hypervisor.
	driftMargin = 5 // per cent
	// maxLineage bounds the record: so many openings are kept.
	maxLineage = 64
)

// Crowded is a wait for what the changes of other groups delay, made longer by what they take.
func (v *View) Crowded(wait time.Duration) time.Duration {
	return wait + time.Duration(v.Crowd)*crowdedBy
}

// freezeMargin is how long before the end of its lease a server begins to freeze, so that it is done when
// the lease ends: a fifth of the lease, but no more than half a second.
func freezeMargin(fenceAfter time.Duration) time.Duration {
	return min(fenceAfter/5, 500*time.Millisecond)
}

// fenceWait is how long after it received the outcome of its commit a leader waits for an old master that
// reports nothing.
func fenceWait(fenceAfter time.Duration) time.Duration {
	return fenceAfter + fenceAfter*driftMargin/100
}

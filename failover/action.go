package failover

import (
	"fmt"
	"strings"
	"time"
)

// Action is something that an agent should do now. Actions are level-triggered: Decide asks for the same
// one until the view shows that it was done, and whoever carries them out does not start one twice.
type Action interface {
	// Key tells actions apart that may run at the same time.
	Key() string
	fmt.Stringer
}

// Actions on one of the agent's own nodes.
type (
	// Freeze closes a server: for an attempt, or for want of a lease when Attempt is 0.
	Freeze struct {
		Node    string
		Attempt uint64
		Why     string
	}
	// Kill ends the process of a server that did not confirm in time that it is frozen.
	Kill struct {
		Node, RunID, Why string
	}
	// OpenServer makes a server take writes.
	OpenServer struct {
		Node, RunID string
		Epoch       uint64
	}
	// Follow attaches a server to the master, if it is still frozen where it was when that was decided.
	Follow struct {
		Node, RunID string
		At          Position
		Master, Why string
	}
	// Persist writes the frozen configuration of a server.
	Persist struct {
		Node string
	}
	// Pause holds back the writes of a server's clients, for an attempt.
	Pause struct {
		Node    string
		Attempt uint64
		For     time.Duration
	}
	// Rescue saves the data set of a server to a file before a full resync discards it. Bytes is how much of it the
	// group's history does not have; -1 when that is not known.
	Rescue struct {
		Node, RunID, Why string
		Epoch            uint64
		Bytes            int64
	}
	// AskPromises asks the agents of all members to open nothing for the length of a lease, so that a master whose
	// agent does not reach Consul may stay open.
	AskPromises struct {
		Node, RunID string
		Epoch       uint64
		Agents      []string
		For         time.Duration
	}
	// TellVote tells the other agents what this one thinks of the master.
	TellVote struct{ Vote Vote }
	// TellReport tells the leader of a change of master what it waits for.
	TellReport struct {
		Leader string
		Report Report
	}
	// Look reads a server's offset at once.
	Look struct {
		Node string
	}
)

// Actions on the group's state in Consul.
type (
	// PutReport writes nodes/<node>.
	PutReport struct{ Report Report }
	// PutVote writes this agent's vote; DropVote takes it back.
	PutVote  struct{ Vote Vote }
	DropVote struct{ Epoch uint64 }
	// AcquireLock takes the group's lock; ReleaseLock gives it back.
	AcquireLock struct{}
	ReleaseLock struct{ Why string }
	// Confirm reads the record consistently: what loosens anything rests on such a read.
	Confirm struct{}
	// Reread reads the whole group consistently.
	Reread struct{ Why string }
	// Create writes the first record.
	Create struct {
		Record *Record
		// Index is that of the record which it replaces, 0 if there is none.
		Index uint64
		Order uint64
		Why   string
	}
	// Elect commits the phase electing, and takes the lock with it unless the agent holds it.
	Elect struct {
		Record *Record
		Index  uint64
		// Votes are the indexes of the votes that it rests on, by agent: they must still stand. 0 is that of a vote which was
		// told and is not in Consul.
		Votes map[string]uint64
		// Order is the index of the operator's order that this takes up, or 0.
		Order uint64
	}
	// Commit commits the next steady phase, and with it the redis-master service.
	Commit struct {
		Record  *Record
		Index   uint64
		History History
	}
	// Amend writes eligible and lineage of the steady record.
	Amend struct {
		Record *Record
		Index  uint64
		Why    string
	}
	// RefuseOrder answers an operator's order with the reason why it will not be done.
	RefuseOrder struct {
		Order Order
		Index uint64
	}
)

func (a Freeze) Key() string      { return fmt.Sprintf("freeze %s %d", a.Node, a.Attempt) }
func (a Kill) Key() string        { return "kill " + a.Node }
func (a OpenServer) Key() string  { return "role " + a.Node }
func (a Follow) Key() string      { return "role " + a.Node }
func (a Persist) Key() string     { return "role " + a.Node }
func (a Pause) Key() string       { return "pause " + a.Node }
func (a Rescue) Key() string      { return "rescue " + a.Node }
func (a AskPromises) Key() string { return "promises" }
func (a TellVote) Key() string    { return "tell vote" }
func (a TellReport) Key() string  { return "tell " + a.Report.Node }
func (a Look) Key() string        { return "look " + a.Node }
func (a PutReport) Key() string   { return "report " + a.Report.Node }
func (a PutVote) Key() string     { return "vote" }
func (a DropVote) Key() string    { return "vote" }
func (a AcquireLock) Key() string { return "lock" }
func (a ReleaseLock) Key() string { return "lock" }
func (a Confirm) Key() string     { return "confirm" }
func (a Reread) Key() string      { return "reread" }
func (a Create) Key() string      { return "record" }
func (a Elect) Key() string       { return "record" }
func (a Commit) Key() string      { return "record" }
func (a Amend) Key() string       { return "record" }
func (a RefuseOrder) Key() string { return "order" }

func (a Freeze) String() string {
	if a.Attempt == 0 {
		return fmt.Sprintf("freeze %s: %s", a.Node, a.Why)
	}
	return fmt.Sprintf("freeze %s for attempt %d: %s", a.Node, a.Attempt, a.Why)
}
func (a Kill) String() string       { return fmt.Sprintf("kill %s: %s", a.Node, a.Why) }
func (a OpenServer) String() string { return fmt.Sprintf("open %s in epoch %d", a.Node, a.Epoch) }
func (a Follow) String() string     { return fmt.Sprintf("attach %s to %s: %s", a.Node, a.Master, a.Why) }
func (a Persist) String() string {
	return fmt.Sprintf("persist the frozen configuration of %s", a.Node)
}
func (a Pause) String() string { return fmt.Sprintf("pause writes of %s for %s", a.Node, a.For) }
func (a Rescue) String() string {
	return fmt.Sprintf("save the data set of %s before it is discarded: %s", a.Node, a.Why)
}
func (a AskPromises) String() string {
	return fmt.Sprintf("ask %s to open nothing while Consul does not answer", strings.Join(a.Agents, ", "))
}
func (a Look) String() string       { return fmt.Sprintf("look at %s", a.Node) }
func (a TellReport) String() string { return "tell " + a.Leader + ": " + PutReport{a.Report}.String() }
func (a PutReport) String() string {
	s := fmt.Sprintf("report %s %s", a.Report.Node, a.Report.State)
	if a.Report.Attempt != 0 {
		s += fmt.Sprintf(" for attempt %d at %d", a.Report.Attempt, a.Report.Position.Offset)
	}
	return s
}
func (a TellVote) String() string { return "tell all: " + PutVote(a).String() }
func (a PutVote) String() string {
	if a.Vote.Verdict == "" {
		return "take the vote back"
	}
	return fmt.Sprintf("vote that %s of epoch %d is %s: %s", a.Vote.Master, a.Vote.Epoch, a.Vote.Verdict, a.Vote.Cause)
}
func (a DropVote) String() string    { return "drop the vote on an epoch that is past" }
func (a AcquireLock) String() string { return "acquire the lock" }
func (a ReleaseLock) String() string { return "release the lock: " + a.Why }
func (a Confirm) String() string     { return "confirm the record" }
func (a Reread) String() string      { return "read everything again: " + a.Why }
func (a Create) String() string {
	return fmt.Sprintf("start the group with %s as master: %s", a.Record.Master, a.Why)
}
func (a Elect) String() string {
	return fmt.Sprintf("elect: epoch %d, master %s, %s", a.Record.Epoch, a.Record.Master, a.Record.Election.Cause)
}
func (a Commit) String() string {
	return fmt.Sprintf("commit epoch %d with master %s: %s", a.Record.Epoch, a.Record.Master, a.History.Why)
}
func (a Amend) String() string { return "amend the record: " + a.Why }
func (a RefuseOrder) String() string {
	return fmt.Sprintf("refuse the %s: %s", a.Order.Kind, a.Order.Refused)
}

// Decision is what one agent should do now, and what it waits for.
type Decision struct {
	Actions []Action
	// Waits are what is being waited for and what is refused, in words: they stand in the log once per
	// change, and in status.
	Waits []string
	// Wake is when to decide again at the latest, on the boot clock; 0 when only news can change anything.
	Wake time.Duration
}

func (d *Decision) do(a Action) { d.Actions = append(d.Actions, a) }

func (d *Decision) wait(format string, args ...any) {
	d.Waits = append(d.Waits, fmt.Sprintf(format, args...))
}

// wake asks for another decision at t.
func (d *Decision) wake(t time.Duration) {
	if d.Wake == 0 || t < d.Wake {
		d.Wake = t
	}
}

// Package failover decides. It holds the record that orders every change of master, the votes that say a
// master is down, the choice of the next one, and one pure function, Decide, from a view of the world to the
// actions that one agent should take. There is no network here, no clock and no goroutine: time is an
// argument, and what is to be done is a value.
package failover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Phase is where a group stands between two masters.
type Phase string

const (
	// Steady means that the record names a master, which alone may be open.
	Steady Phase = "steady"
	// Electing means that nobody may be open and a leader is choosing the next master.
	Electing Phase = "electing"
)

// Record is the one KV entry that says which epoch it is, who is master, and in which phase a change of
// master is. It is written by compare-and-set only: by the leader, and in the steady phase by the master's
// agent, which keeps Eligible and Lineage.
type Record struct {
	// Epoch grows by one with every change of master.
	Epoch uint64 `json:"epoch"`
	Phase Phase  `json:"phase"`
	// Master is the node that is master of this epoch; while electing, the one that was.
	Master string `json:"master"`
	// RunID is the run of the master's server that the record names. Another run is not master.
	RunID string `json:"run_id"`
	// Agent is that of the master's node when the record named it. What another agent reports of a node of that name is about
	// another server.
	Agent string `json:"agent,omitempty"`
	// Address is where clients reach the master: "host:port".
	Address string `json:"address"`
	// Eligible is the membership of the group: every node other than the master whose acknowledgement a
	// WAIT may have counted.
	Eligible map[string]Member `json:"eligible"`
	// Durability is DurabilityNone or "wait:k": no write that k replicas had acknowledged is lost in a change of
	// master. It follows Settings.Durability as soon as that is safe.
	Durability string `json:"durability"`
	// Forgotten is how many members were forgotten since all were counted last: each may have been one of the k that
	// acknowledged a write, so of the others as many must report as before. Of members that are fewer than k, those that are missing
	// count as forgotten.
	Forgotten int `json:"forgotten,omitempty"`
	// FenceAfter is the length of the master's lease. It follows Settings.FenceAfter.
	FenceAfter Duration `json:"fence_after,omitempty"`
	// Lineage says, for each opening of a master, from which offset on its replication id holds. The
	// newest stands last.
	Lineage []Opening `json:"lineage"`
	// Election is set while Phase is Electing.
	Election *Election `json:"election,omitempty"`
	// Evidence is what the last change of master rested on, empty for an order. Repeats is how many changes in a row
	// before it rested on the same.
	Evidence Evidence `json:"evidence,omitempty"`
	Repeats  int      `json:"repeats,omitempty"`
	// CalledOff is the time of that report of the master's agent by which a planned change was begun and then called off, for
	// want of that agent's word. The same report begins no other.
	CalledOff time.Time `json:"called_off,omitzero"`
	// Since is the wall-clock time of the last change of phase, for people to read. No decision uses it.
	Since time.Time `json:"since"`
}

// Member is a node that may have acknowledged writes.
type Member struct {
	// RunID is the run that is counted: once it has reached the master's offset of that moment. Empty
	// means member, but not counted.
	RunID string `json:"run_id,omitempty"`
	// Syncing is the run that may begin a full resync now; parallel_syncs bounds how many have one.
	Syncing string `json:"syncing,omitempty"`
	// Deposed is the epoch since whose beginning the node may hold writes that the master does not have: as the master
	// until then, or as a replica that had received more than the chosen one. 0 once it has followed.
	Deposed uint64 `json:"deposed,omitempty"`
	// MasterOf is the last epoch in which the node may have been master, 0 if it has not been since it was made a member.
	MasterOf uint64 `json:"master_of,omitempty"`
}

// Opening is the start of one replication id: the server of Epoch's master was opened at Offset and has
// written under ReplID since.
type Opening struct {
	Epoch  uint64 `json:"epoch"`
	ReplID string `json:"replid"`
	Offset int64  `json:"offset"`
	// From is the replication id that it goes on from; not always that of the entry before.
	From string `json:"from,omitempty"`
}

// ElectionKind tells why masters are being changed.
type ElectionKind string

const (
	// ForFailure is an election because a quorum reported the master down.
	ForFailure ElectionKind = "failure"
	// ForOrder is an election because an operator asked for a failover.
	ForOrder ElectionKind = "order"
	// ForSwitchover is a planned change from a living master.
	ForSwitchover ElectionKind = "switchover"
)

// Election is a change of master in progress. The index of the commit that wrote it names the attempt.
type Election struct {
	Kind   ElectionKind `json:"kind"`
	Leader string       `json:"leader"`
	// Evidence is the strongest that the votes rest on; empty for an order.
	Evidence Evidence `json:"evidence,omitempty"`
	// Cause is one line for people: which evidence, or whose order.
	Cause string `json:"cause"`
	// Votes are the agents whose votes made the quorum, Detected is since when the first of them has judged so, by its clock.
	Votes    []string  `json:"votes,omitempty"`
	Detected time.Time `json:"detected,omitzero"`
	// Target is the node wanted by an operator; empty lets the choice fall on the best.
	Target string `json:"target,omitempty"`
	// Deadline is how long after the commit the leader calls the attempt off or tries otherwise.
	Deadline Duration `json:"deadline"`
	// OrderID is the operator's order that this election serves.
	OrderID string `json:"order_id,omitempty"`
	// AcceptLoss is the name of the operator who accepts the loss of writes that the record's durability would
	// keep; empty when nobody does.
	AcceptLoss string `json:"accept_loss,omitempty"`
}

// Open returns the newest opening of the record's epoch, and false while its master has not opened yet.
func (r *Record) Open() (Opening, bool) {
	o, ok := r.newest()
	return o, ok && o.Epoch == r.Epoch
}

// again tells whether the master is the one of the epoch before.
func (r *Record) again() bool {
	for _, m := range r.Eligible {
		if m.MasterOf == r.Epoch-1 {
			return false
		}
	}
	return true
}

// byItsAgent tells whether a report of the master is by the agent that had it when the record named it. Another that has a node of
// that name speaks of another server.
func (r *Record) byItsAgent(rep Report) bool { return r.Agent == "" || rep.Agent == r.Agent }

// reopened tells whether a master that has opened in the record's epoch is, at this position, in an opening of its own
// that the lineage lacks. Replicas are attached to it, and a second one on top of that would be no known history.
func (r *Record) reopened(p Position) bool {
	_, open := r.Open()
	return open && r.opening(p.ReplID) < 0
}

// newest returns the last opening in the lineage.
func (r *Record) newest() (Opening, bool) {
	if n := len(r.Lineage); n > 0 {
		return r.Lineage[n-1], true
	}
	return Opening{}, false
}

// Clone returns a deep copy, to be changed and committed.
func (r *Record) Clone() *Record {
	c := *r
	c.Eligible = make(map[string]Member, len(r.Eligible))
	for name, m := range r.Eligible {
		c.Eligible[name] = m
	}
	c.Lineage = append([]Opening(nil), r.Lineage...)
	if r.Election != nil {
		e := *r.Election
		e.Votes = append([]string(nil), e.Votes...)
		c.Election = &e
	}
	return &c
}

// ErrRecord is wrapped by every error of ParseRecord.
var ErrRecord = errors.New("invalid record")

// ParseRecord reads a record and checks what every reader relies on. Unknown fields are kept out, not
// refused: an older agent must be able to read what a newer one wrote.
func ParseRecord(b []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrRecord, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrRecord, err)
	}
	return &r, nil
}

func (r *Record) check() error {
	switch {
	case r.Epoch == 0:
		return errors.New("epoch is 0, epochs start at 1")
	case r.Master == "":
		return errors.New("master is empty")
	case r.Phase != Steady && r.Phase != Electing:
		return fmt.Errorf("phase is %q, want %q or %q", r.Phase, Steady, Electing)
	case (r.Phase == Electing) != (r.Election != nil):
		return fmt.Errorf("phase is %q and election is %v", r.Phase, r.Election)
	}
	if _, err := ParseDurability(r.Durability); err != nil {
		return err
	}
	for i, o := range r.Lineage {
		if o.Epoch > r.Epoch || o.ReplID == "" || (i > 0 && o.Epoch < r.Lineage[i-1].Epoch) {
			return fmt.Errorf("lineage entry %d is out of order: %+v", i, o)
		}
	}
	return nil
}

// Encode writes the record as the JSON that ParseRecord reads.
func (r *Record) Encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		panic(err) // no field of Record can fail to encode
	}
	return bytes.TrimSpace(b.Bytes())
}

// Duration is a time.Duration that reads and writes as "5s" in JSON.
type Duration time.Duration

// MarshalJSON writes the duration as a string such as "1.5s".
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

// UnmarshalJSON reads a string such as "1.5s".
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration %s: want a string such as \"5s\"", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

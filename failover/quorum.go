package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Tally is the state of the vote on the present master.
type Tally struct {
	Need  int
	Known int
	// Down are the agents whose votes count, in order of name.
	Down []string
	// Evidence is the strongest that the counted votes rest on: gone before not serving before silent.
	Evidence Evidence
	// Cause is the cause given with that evidence.
	Cause string
	// Since is since when the first of them has judged so, by its clock.
	Since time.Time
	// Vetoed says why votes of silence do not count, in words; empty when they do.
	Vetoed string
}

// Reached tells whether the master is objectively down.
func (t Tally) Reached() bool { return t.Need > 0 && len(t.Down) >= t.Need }

func (t Tally) String() string {
	s := fmt.Sprintf("%d of %d votes (%s)", len(t.Down), t.Need, strings.Join(t.Down, ", "))
	if t.Vetoed != "" {
		s += "; " + t.Vetoed
	}
	return s
}

var strength = map[Evidence]int{Silent: 1, NotServing: 2, Gone: 3}

// Count counts the votes of a state: those for the master and the epoch of its record, whose authors' sessions
// live. A master that its own agent knows to be busy is not down for being silent.
func Count(s State) Tally {
	var t Tally
	t.Known = len(s.Agents)
	if s.Settings != nil {
		t.Need = s.Settings.Quorum
	}
	if t.Need <= 0 {
		t.Need = t.Known/2 + 1
	}
	r := s.Record
	if r == nil || r.Phase != Steady {
		return t
	}
	own := s.Nodes[r.Master].Agent
	veto, vetoed := s.Votes[own]
	vetoed = vetoed && veto.Verdict == Busy && veto.Epoch == r.Epoch && veto.Master == r.Master
	for agent, vote := range s.Votes {
		if vote.Epoch != r.Epoch || vote.Master != r.Master || vote.Verdict != Down {
			continue
		}
		if vetoed && vote.Evidence == Silent {
			t.Vetoed = fmt.Sprintf("agent %s vetoes: %s", own, veto.Cause)
			continue
		}
		t.Down = append(t.Down, agent)
	}
	slices.Sort(t.Down)
	for _, agent := range t.Down {
		vote := s.Votes[agent]
		if strength[vote.Evidence] > strength[t.Evidence] {
			t.Evidence, t.Cause = vote.Evidence, vote.Cause
		}
		if t.Since.IsZero() || vote.Since.Before(t.Since) {
			t.Since = vote.Since
		}
	}
	return t
}

// tally counts the votes, without an own one that this agent no longer holds: it takes part in no election then.
func (v *View) tally() Tally {
	s := v.State
	if own, voted := s.Votes[v.Agent]; voted && own.Verdict == Down && !v.against() {
		s.Votes = without(s.Votes, v.Agent)
	}
	return Count(s)
}

// against tells whether this agent has something against the master of the record.
func (v *View) against() bool {
	r, j := v.State.Record, v.Judgement
	return j.Verdict != "" && j.Epoch == r.Epoch && j.Master == r.Master
}

// vote says what this agent thinks of the master, and takes back what it no longer thinks.
func (v *View) vote(d *Decision) {
	r, j := v.State.Record, v.Judgement
	if !v.Session || r.Phase != Steady {
		return
	}
	given, voted := v.State.Votes[v.Agent]
	_, unwritten := v.Heard.votesUnder[v.Agent]
	now := Vote{Epoch: r.Epoch, Master: r.Master, Since: v.Wall}
	if slices.ContainsFunc(v.Local, func(n Local) bool { return n.Name == r.Master && n.RunID == r.RunID && n.Ended }) {
		now.Ended = r.RunID
	}
	_, opened := r.Open()
	switch told := v.Memory.Told.Vote; {
	case v.against():
		now.Verdict, now.Evidence, now.Cause = j.Verdict, j.Evidence, j.Cause
		if !voted || unwritten || !given.same(now) {
			v.put(d, now)
		}
	case !opened:
	case voted && given.Epoch != r.Epoch:
		// An old vote counts for nothing; it is taken back when nobody waits for a write any more.
		if later := v.Memory.EpochSeen + settle; v.Now < later {
			d.wake(later)
			return
		}
		d.do(DropVote{given.Epoch})
	case voted && (given.Verdict != "" || unwritten), !voted && told.Epoch == r.Epoch && told.Verdict != "":
		// Not deleted: whoever heard the vote, and elects, expects none in Consul or the one before it.
		now.Cause = "taken back"
		v.put(d, now)
	}
}

// ended tells whether the master's agent voted because the process of the run that the record names has ended.
func (v *View) ended() bool {
	r := v.State.Record
	vote := v.State.Votes[r.Agent]
	return vote.Ended != "" && vote.Ended == r.RunID && vote.Epoch == r.Epoch
}

// fencing tells whether the old master of the election is fenced, and how, or until when to wait for that. A planned
// change needs the master's own word: an agent that is away may have left it open.
func (v *View) fencing() (fenced bool, how string, until time.Duration) {
	r, attempt := v.State.Record, v.State.RecordIndex
	rep, ok := v.State.Nodes[r.Master]
	if ok && (rep.Attempt == attempt || rep.Attempt > 0 && !Kept(OneAttempt)) {
		switch {
		case rep.State == StateFrozen && rep.RunID == r.RunID:
			return true, fmt.Sprintf("%s is frozen at %d", r.Master, rep.Position.Offset), 0
		case rep.State == StateFrozen && r.byItsAgent(rep):
			return true, fmt.Sprintf("%s was restarted, which starts it frozen", r.Master), 0
		case rep.State == StateDead && rep.RunID == r.RunID && r.byItsAgent(rep):
			// Of another run it says nothing: its agent may not know yet that the server was started again.
			return true, fmt.Sprintf("the server of %s has ended", r.Master), 0
		}
	}
	if v.ended() {
		return true, fmt.Sprintf("the server of %s has ended", r.Master), 0
	}
	until = v.Memory.Seen + fenceWait(r.lease(v.Settings()))
	ended := ok && rep.Attempt == attempt && rep.State == StateDead // in whatever run: its agent is there, and has no lease
	if (v.Now >= until || !Kept(LeaderWaits)) && (r.Election.Kind == ForFailure || ended) {
		return true, fmt.Sprintf("the lease of %s has ended", r.Master), 0
	}
	return false, "", until
}

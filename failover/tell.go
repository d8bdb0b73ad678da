package failover

import (
	"maps"
	"time"
)

// What a change of master waits for is told from agent to agent, and written to Consul a little later, if somebody may still
// wait for it: the way through Consul takes a commit of its servers and an answer to a watch. An election and its outcome are
// commits all the same, which fail if Consul has other votes, another record or another leader.

// Told is what this agent told of itself.
type Told struct {
	// Vote is what was last told of the master, at At, and VotedAt since when it says so. Untold: nobody could be told.
	Vote        Vote
	At, VotedAt time.Duration
	Untold      bool
	// Reports are what was last told of each own node.
	Reports map[string]ToldReport
}

// ToldReport is what was told of a node, to whom and when.
type ToldReport struct {
	Leader string
	Report Report
	At     time.Duration
	// Failed: the leader may not know it, so it is left to Consul.
	Failed bool
}

// Heard is what agents told this one directly, and what it tells itself. It is laid over what Consul has.
type Heard struct {
	votes   map[string]heardVote   // by agent
	reports map[string]heardReport // by node
	// Consul has these where something was laid over them; the zero value is nothing.
	votesUnder   map[string]Vote
	reportsUnder map[string]Report
}

type heardVote struct {
	vote Vote
	at   time.Duration
	over uint64 // the index of the vote that Consul was known to have
}

type heardReport struct {
	report Report
	at     time.Duration
}

// heardFor is how long what was heard holds. Consul has it by then.
const heardFor = time.Second

// overtakes is the most by which a vote is later than one that was told after it. Beyond that, the clock of whoever votes was set back.
const overtakes = 10 * time.Second

// HearVote takes in what another agent, or this one, told of the master.
func (v *View) HearVote(agent string, vote Vote) {
	v.lift()
	for _, newer := range []Vote{v.State.Votes[agent], v.Heard.votes[agent].vote} {
		if by := newer.Since.Sub(vote.Since); by > 0 && by < overtakes {
			return // it was overtaken on its way
		}
	}
	v.Heard.votes = with(v.Heard.votes, agent, heardVote{vote, v.Now, v.State.Votes[agent].Index})
	v.heed()
}

// HearReport takes in what another agent, or this one, told of a node.
func (v *View) HearReport(r Report) {
	if r.At.Before(v.Heard.reports[r.Node].report.At) {
		return // it was overtaken on its way
	}
	v.lift()
	v.Heard.reports = with(v.Heard.reports, r.Node, heardReport{r, v.Now})
	v.heed()
}

// lift takes away what was laid over the state, as far as that has not been read anew.
func (v *View) lift() {
	s, h := &v.State, &v.Heard
	for agent, under := range h.votesUnder {
		if laid := h.votes[agent].vote; s.Votes[agent] == laid {
			s.Votes = restored(s.Votes, agent, under)
		}
	}
	for name, under := range h.reportsUnder {
		if laid := h.reports[name].report; s.Nodes[name] == laid {
			s.Nodes = restored(s.Nodes, name, under)
		}
	}
	h.votesUnder, h.reportsUnder = nil, nil
}

// heed lays what was heard over the state, where Consul has nothing newer. What was heard of a record that is not known yet
// waits for it. While Consul does not answer, votes are worth nothing: they could bring no election.
func (v *View) heed() {
	v.lift()
	s, h := &v.State, &v.Heard
	answers := v.Now < v.Lease.Begun+v.Fence()/2
	for agent, heard := range h.votes {
		known := s.Votes[agent]
		_, counts := s.Agents[agent]
		switch {
		case v.Now >= heard.at+heardFor, known.Index > heard.over:
			h.votes = without(h.votes, agent)
		case answers && counts && s.Record != nil && heard.vote.Epoch == s.Record.Epoch:
			heard.vote.Index = known.Index // the election compares it
			h.votes, h.votesUnder = with(h.votes, agent, heard), with(h.votesUnder, agent, known)
			s.Votes = with(s.Votes, agent, heard.vote)
		}
	}
	for name, heard := range h.reports {
		known, attempt := s.Nodes[name], heard.report.Attempt
		switch {
		case v.Now >= heard.at+heardFor, attempt < s.RecordIndex, known.Attempt == attempt && known.State != StatePaused:
			h.reports = without(h.reports, name)
		case attempt == s.RecordIndex:
			h.reportsUnder = with(h.reportsUnder, name, known)
			s.Nodes = with(s.Nodes, name, heard.report)
		}
	}
}

// forgets wakes the agent when what was heard ceases to hold.
func (v *View) forgets(d *Decision) {
	for agent := range v.Heard.votesUnder {
		d.wake(min(v.Heard.votes[agent].at+heardFor, v.Lease.Begun+v.Fence()/2))
	}
	for name := range v.Heard.reportsUnder {
		d.wake(v.Heard.reports[name].at + heardFor)
	}
}

// put tells a vote to all agents, and writes it when no election has come of it, or at once if others cannot know it otherwise.
func (v *View) put(d *Decision, now Vote) {
	told := v.Memory.Told
	if !told.Vote.same(now) {
		d.do(TellVote{now})
		if now.Verdict == Down {
			return
		}
	}
	later, unheeded := told.VotedAt+v.Crowded(writeAfter), told.VotedAt+v.Crowded(heardFor/2)
	switch mayLead := v.State.Leader == "" || v.leads(); {
	case mayLead && v.turn() == 0: // its own election rests on there being no such vote in Consul, and it elects before all others
		later = unheeded
	case told.Untold:
		later = 0
	case mayLead && v.tally().Reached(): // an election is on its way, and rests on the same
		later = unheeded
	}
	if again := told.At + heardFor/2; now.Verdict == Down && v.Now < later {
		if v.Now >= again { // before it ceases to hold
			d.do(TellVote{told.Vote})
		}
		d.wake(min(later, max(again, v.Now+1)))
		return
	}
	d.do(PutVote{now})
}

// same tells whether two votes say the same.
func (a Vote) same(b Vote) bool { return a.about(b) && a.Evidence == b.Evidence && a.Ended == b.Ended }

func (a Vote) about(b Vote) bool {
	return a.Epoch == b.Epoch && a.Master == b.Master && a.Verdict == b.Verdict
}

// NoteToldVote notes that a vote is being told. It counts for this agent as well.
func (v *View) NoteToldVote(a TellVote) {
	told := &v.Memory.Told
	if !told.Vote.about(a.Vote) {
		told.VotedAt, told.Untold = v.Now, false
	}
	told.Vote, told.At = a.Vote, v.Now
	v.HearVote(v.Agent, a.Vote)
}

// NoteUntold notes that nobody could be told a vote, which is left to Consul then.
func (v *View) NoteUntold(a TellVote) {
	if told := &v.Memory.Told; told.Vote == a.Vote {
		told.Untold = true
	}
}

// tellsReport has a report for an attempt told to the leader, and tells whether it need not be written to Consul yet. A master
// that waits for the others with its writes held back is not told: it looks into Consul. So does whoever may have to choose
// among the halves of resyncs.
func (v *View) tellsReport(d *Decision, n *Local, now Report) bool {
	leader := v.State.Leader
	if now.Attempt == 0 || leader == "" || now.State == StatePaused || now.HalfSynced {
		return false
	}
	master := v.State.Nodes[v.State.Record.Master]
	if holdsBack := master.Attempt == now.Attempt && master.State == StatePaused; holdsBack && master.Node != n.Name {
		return false
	}
	told := v.Memory.Told.Reports[n.Name]
	if now.At = told.Report.At; told.Leader != leader || told.Report != now {
		now.At = v.Wall
		d.do(TellReport{Leader: leader, Report: now})
		return true
	}
	later := told.At + min(v.Crowded(openingFor), heardFor/2)
	if told.Failed || v.Now >= later {
		return false
	}
	d.wake(later)
	return true
}

// NoteToldReport notes what came of telling a report.
func (v *View) NoteToldReport(a TellReport, failed bool) {
	v.Memory.Told.Reports = with(v.Memory.Told.Reports, a.Report.Node, ToldReport{Leader: a.Leader, Report: a.Report, At: v.Now, Failed: failed})
	if a.Leader == v.Agent {
		v.HearReport(a.Report)
	}
}

// WroteReport takes in what this agent has just written.
func (v *View) WroteReport(r Report) { v.State.Nodes = with(v.State.Nodes, r.Node, r) }

// WroteVote is WroteReport for its vote.
func (v *View) WroteVote(vote Vote) { v.State.Votes = with(v.State.Votes, v.Agent, vote) }

// DroppedVote is WroteVote when it was deleted.
func (v *View) DroppedVote() { v.State.Votes = without(v.State.Votes, v.Agent) }

// with, without and restored return changed copies: the maps of a state are shared with its readers.
func with[V any](m map[string]V, key string, value V) map[string]V {
	c := make(map[string]V, len(m)+1)
	maps.Copy(c, m)
	c[key] = value
	return c
}

func without[V any](m map[string]V, key string) map[string]V {
	c := maps.Clone(m)
	delete(c, key)
	return c
}

func restored[V comparable](m map[string]V, key string, value V) map[string]V {
	if value == *new(V) {
		return without(m, key)
	}
	return with(m, key, value)
}

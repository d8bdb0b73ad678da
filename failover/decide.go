package failover

import "fmt"

// Decide says what one agent should do now, and what it waits for. It is the whole of the protocol that acts:
// a pure function of the view. It may be asked at any time and as often as one likes.
func Decide(v *View) Decision {
	var d Decision
	r := v.State.Record
	switch {
	case !v.Read:
		d.wait("Consul has not answered yet")
		v.withoutRecord(&d)
	case v.State.Alarm(v.Highest) != "":
		d.wait("%s", v.State.Alarm(v.Highest))
		v.withoutRecord(&d)
		v.restore(&d)
	case r == nil:
		v.start(&d)
	default:
		v.act(&d)
	}
	return d
}

// seen is the highest epoch that this agent has ever seen, or another that says so because the record is lower.
func (v *View) seen() uint64 { return v.State.seen(v.Highest) }

func (s State) seen(highest uint64) uint64 {
	for _, rep := range s.Nodes {
		highest = max(highest, rep.Highest)
	}
	return highest
}

// Alarm says that the record is gone, or older than the highest epoch that was seen, by whoever asks or by an agent that says
// so in its reports. It is empty while the record may be trusted, and before the group was started.
func (s State) Alarm(highest uint64) string {
	const until = "nothing is done until an operator rules (rescue record)"
	switch seen := s.seen(highest); {
	case s.Record == nil && seen > 0:
		return fmt.Sprintf("ALARM: the record is gone, and epoch %d was seen: %s", seen, until)
	case s.Record != nil && s.Record.Epoch < seen:
		return fmt.Sprintf("ALARM: the record says epoch %d, and epoch %d was seen: %s", s.Record.Epoch, seen, until)
	}
	return ""
}

// act is what is done while there is a record to be trusted.
func (v *View) act(d *Decision) {
	for i := range v.Local {
		v.own(d, &v.Local[i])
		v.unsaved(d, &v.Local[i])
		v.report(d, &v.Local[i])
	}
	v.vote(d)
	v.lead(d)
	v.keep(d)
	v.forgets(d)
}

// withoutRecord is what is done while there is no record to be trusted: an open server loses its lease, and
// nothing is loosened. A group that was never started is left alone.
func (v *View) withoutRecord(d *Decision) {
	if v.Highest == 0 {
		return
	}
	for i := range v.Local {
		n := &v.Local[i]
		if n.State != StateOpen && !n.MaybeOpen {
			continue
		}
		fence := v.Fence()
		until := v.Lease.Until(n.Name, n.RunID, v.Highest, fence)
		closing := until - freezeMargin(fence)
		if v.Now < closing {
			d.wake(closing)
			v.failsafe(d, n)
			continue
		}
		v.freeze(d, n, 0, "there is no record to hold a lease by", until)
	}
}

// Summary is one sentence on where a group stands, as this agent sees it.
func (v *View) Summary() string {
	r := v.State.Record
	switch {
	case !v.Read:
		return "Consul has not answered yet"
	case r == nil && v.seen() > 0:
		return "there is no record"
	case r == nil:
		return "the group has not been started"
	case r.Phase == Electing:
		return fmt.Sprintf("epoch %d, electing (%s), led by %s", r.Epoch, r.Election.Cause, v.State.Leader)
	}
	if _, open := r.Open(); !open {
		return fmt.Sprintf("epoch %d, master %s, not open yet", r.Epoch, r.Master)
	}
	return fmt.Sprintf("epoch %d, master %s", r.Epoch, r.Master)
}

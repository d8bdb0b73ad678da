package failover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// DurabilityNone promises nothing about single writes: the farthest replica is chosen among those that answer.
const DurabilityNone = "none"

// ParseDurability reads "none" or "wait:k" and returns k, 0 for none.
func ParseDurability(s string) (int, error) {
	if s == "" || s == DurabilityNone {
		return 0, nil
	}
	number, ok := strings.CutPrefix(s, "wait:")
	k, err := strconv.Atoi(number)
	if !ok || err != nil || k < 1 || strconv.Itoa(k) != number {
		return 0, fmt.Errorf("durability is %q, want \"none\" or \"wait:k\" where k is the number of replicas that WAIT asks for, 1 or more", s)
	}
	return k, nil
}

// waits is the k of "wait:k" that an election has to keep to, 0 if none.
func (r *Record) waits() int {
	if r.Election != nil && r.Election.AcceptLoss != "" {
		return 0
	}
	k, _ := ParseDurability(r.Durability)
	return k
}

// needs is how many of the members must have reported, counted and frozen, before one of them may be chosen: with R
// members, any R-k+1 of them include one of any k that acknowledged a write. Fewer members than k never acknowledge one,
// unless others were forgotten that did.
func (r *Record) needs() int {
	k := r.waits()
	if k == 0 || !Kept(NeedReports) {
		return 0
	}
	members := len(r.Eligible)
	return max(0, min(members, members+r.Forgotten-k+1))
}

// Forget takes a node out of the members.
func (r *Record) Forget(node string) {
	delete(r.Eligible, node)
	r.Forgotten++
}

// countAnew counts no member until it has reached what the master has then. Fewer than k go on as if the others had been forgotten: what
// was acknowledged until now may be on any of them.
func (r *Record) countAnew(k int) {
	for name, m := range r.Eligible {
		m.RunID = ""
		r.Eligible[name] = m
	}
	r.Forgotten = r.short(k)
}

// short is by how much the members are fewer than k.
func (r *Record) short(k int) int { return max(0, k-len(r.Eligible)) }

// keepDurability lets the record's durability follow the settings. To ask for less of WAIT needs more reports, which is safe
// at once. To ask for more needs fewer: what was acknowledged until now may be on fewer members than that
// relies on, so every member is counted anew, which takes it past all that was written before.
func (v *View) keepDurability(next *Record) (why []string) {
	want := v.Settings().Durability
	now, _ := ParseDurability(next.Durability)
	if now <= 1 {
		next.Forgotten = 0 // one was enough, and it was said of which
	} else if next.Forgotten > next.short(now) && len(next.uncounted()) == 0 {
		next.countAnew(now)
		why = append(why, "all members are counted anew, without those that were forgotten")
	}
	k, err := ParseDurability(want)
	if err != nil || k == now {
		return why
	}
	if now > 0 && k > now {
		if len(next.uncounted()) > 0 {
			return why // while somebody is not counted, the group could lose nobody else
		}
		next.countAnew(k)
	}
	next.Durability = want
	return append(why, fmt.Sprintf("durability is %s", want))
}

// sayDurability says why the record's durability does not follow the settings yet.
func (v *View) sayDurability(d *Decision, next *Record) {
	want := v.Settings().Durability
	now, _ := ParseDurability(next.Durability)
	if next.Forgotten > next.short(now) {
		d.wait("%d member(s) were forgotten: of the others %d must report in an election, until these have caught up or are forgotten: %s",
			next.Forgotten, next.needs(), strings.Join(next.uncounted(), ", "))
	}
	if k, err := ParseDurability(want); err == nil && k != now {
		d.wait("durability stays %s, and does not become %s, until these have caught up or are forgotten: %s", next.Durability, want,
			strings.Join(next.uncounted(), ", "))
	}
}

// uncounted names the members that are not counted.
func (r *Record) uncounted() (names []string) {
	for name, m := range r.Eligible {
		if m.RunID == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

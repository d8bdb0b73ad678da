package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// duel is one case with both systems: a line of the tables.
type duel struct {
	fault     kase
	downAfter ms
	of        map[string]*Series
}

// duels are the cases that were measured, in the order of the list of cases, the longest down_after first.
func (r *Result) duels() (all []duel) {
	for _, c := range cases {
		var mine []duel
		for _, s := range r.Series {
			if s.Case != c.name || slices.ContainsFunc(mine, func(d duel) bool { return d.downAfter == s.DownAfter }) {
				continue
			}
			mine = append(mine, duel{c, s.DownAfter, map[string]*Series{
				ours: r.find(c.name, s.DownAfter, ours), peer: r.find(c.name, s.DownAfter, peer)}})
		}
		slices.SortStableFunc(mine, func(a, b duel) int { return int(b.downAfter - a.downAfter) })
		all = append(all, mine...)
	}
	return all
}

// figures of one system in a duel, ready to be printed; "-" is what was not measured.
type figures struct {
	runs           int
	median, p95    string
	goRedis        string // the median as go-redis' own client saw it
	lost, lostWait string
	changes        string
	middle         float64
}

func (d duel) figures(system string) figures {
	f := figures{median: "-", p95: "-", goRedis: "-", lost: "-", lostWait: "-", changes: "-", middle: math.NaN()}
	s := d.of[system]
	if s == nil || len(s.Runs) == 0 {
		return f
	}
	f.runs = len(s.Runs)
	f.changes = numbers(s.changes())
	if o := s.outages(clientPoll); len(o) > 0 {
		f.middle = median(o)
		f.median, f.p95 = millis(f.middle), millis(quantile(o, 0.95))
		f.lost, f.lostWait = numbers(s.lost(clientPoll)), numbers(s.lost(clientWait))
	}
	if o := s.outages(clientGoRedis); len(o) > 0 {
		f.goRedis = millis(median(o))
	}
	return f
}

// ratio is how many times longer the outage of the peer is.
func (d duel) ratio() string {
	a, b := d.figures(ours).middle, d.figures(peer).middle
	if math.IsNaN(a) || math.IsNaN(b) || a == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", b/a)
}

// millis writes milliseconds: with a decimal only where it says something.
func millis(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case v < 10:
		return fmt.Sprintf("%.1f ms", v)
	default:
		return fmt.Sprintf("%.0f ms", v)
	}
}

// numbers writes the median of counts, and the highest if it is another one.
func numbers(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	m, highest := median(values), slices.Max(values)
	if m == highest {
		return fmt.Sprintf("%.4g", m)
	}
	return fmt.Sprintf("%.4g (at most %.0f)", m, highest)
}

// downAfterText writes a down_after as people configure it.
func downAfterText(d ms) string {
	if d >= 1000 && math.Mod(float64(d), 1000) == 0 {
		return fmt.Sprintf("%.0f s", float64(d)/1000)
	}
	return fmt.Sprintf("%.0f ms", float64(d))
}

// span is a duration of the settings, written for people.
func span(s string) string {
	d, err := time.ParseDuration(s)
	if err != nil {
		return s
	}
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%g s", d.Seconds())
	default:
		return fmt.Sprintf("%g ms", float64(d)/float64(time.Millisecond))
	}
}

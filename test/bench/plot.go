package main

import (
	"fmt"
	"math"
	"os"
	"strings"
)

// The plot: on top writes around a fault, below the outages of all runs. Colours tell the systems apart for people who
// see red and green alike, too.
const (
	plotWidth  = 900
	plotLeft   = 190
	plotRight  = 30
	stripTall  = 46
	rowTall    = 26
	colourOurs = "#0b62a4"
	colourPeer = "#d95f02"
	colourText = "#222222"
	colourLine = "#c8c8c8"
)

// The stretch of time that the upper part shows, in milliseconds around the fault, and its resolution.
const (
	stripFrom, stripTo = -500, 3000
	stripBin           = 10
)

// shown are the cases of the upper part, as far as they were measured.
var shown = []struct {
	fault     string
	downAfter ms
}{{"kill", 500}, {"stop", 500}}

// drawing is an SVG file in the making.
type drawing struct {
	b strings.Builder
	y float64
}

func (d *drawing) addf(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

func (d *drawing) text(x, y float64, anchor, size, text string) {
	text = strings.NewReplacer("&", "&amp;", "<", "&lt;", "`", "").Replace(text)
	d.addf(`<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%s">%s</text>`, x, y, anchor, size, text)
}

func (d *drawing) line(x1, y1, x2, y2 float64, colour string) {
	d.addf(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`, x1, y1, x2, y2, colour)
}

func writePlot(file string, r *Result) error {
	return os.WriteFile(file, []byte(plot(r)), 0o644)
}

// plot draws a result as SVG.
func plot(r *Result) string {
	d := &drawing{y: 10}
	d.legend()
	for _, s := range shown {
		for _, duel := range r.duels() {
			if duel.fault.name == s.fault && duel.downAfter == s.downAfter {
				d.strips(duel)
			}
		}
	}
	d.outages(r)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" font-family="sans-serif" fill="%s">
<rect width="100%%" height="100%%" fill="#ffffff"/>
%s</svg>
`, plotWidth, d.y+10, colourText, d.b.String())
}

func (d *drawing) legend() {
	x := float64(plotLeft)
	for _, s := range []struct{ name, colour string }{{ours, colourOurs}, {peer, colourPeer}} {
		d.addf(`<rect x="%.1f" y="%.1f" width="12" height="12" fill="%s"/>`, x, d.y, s.colour)
		d.text(x+18, d.y+11, "start", "13", s.name)
		x += 210
	}
	d.y += 30
}

// strips shows the acknowledgements of the typical run of each system, a bar for each stretch of stripBin.
func (d *drawing) strips(duel duel) {
	d.text(10, d.y+12, "start", "14", fmt.Sprintf("Acknowledged writes around a fault: %s, down_after %s", duel.fault.title, downAfterText(duel.downAfter)))
	d.y += 22
	x := func(t float64) float64 {
		return plotLeft + (t-stripFrom)/(stripTo-stripFrom)*(plotWidth-plotLeft-plotRight)
	}
	for _, s := range []struct{ system, colour string }{{ours, colourOurs}, {peer, colourPeer}} {
		series := duel.of[s.system]
		if series == nil {
			continue
		}
		run := series.typical(clientPoll)
		if run == nil || len(run.Clients[clientPoll].Acks) == 0 {
			continue
		}
		d.text(plotLeft-10, d.y+stripTall/2, "end", "12", s.system)
		d.text(plotLeft-10, d.y+stripTall/2+15, "end", "12", "outage "+millis(float64(run.Clients[clientPoll].Outage)))
		bins := map[int]int{}
		most := 1
		for _, at := range run.Clients[clientPoll].Acks {
			if at >= stripFrom && at < stripTo {
				bin := int(math.Floor(float64(at) / stripBin))
				bins[bin]++
				most = max(most, bins[bin])
			}
		}
		d.addf(`<g fill="%s">`, s.colour)
		for bin := stripFrom / stripBin; bin < stripTo/stripBin; bin++ {
			if n := bins[bin]; n > 0 {
				left, tall := x(float64(bin*stripBin)), float64(stripTall)*float64(n)/float64(most)
				d.addf(`<rect x="%.2f" y="%.1f" width="%.2f" height="%.1f"/>`, left, d.y+stripTall-tall, x(float64((bin+1)*stripBin))-left, tall)
			}
		}
		d.addf(`</g>`)
		d.line(plotLeft, d.y+stripTall, plotWidth-plotRight, d.y+stripTall, colourLine)
		d.line(x(0), d.y-3, x(0), d.y+stripTall+4, "#b00000")
		d.y += stripTall + 12
	}
	for t := stripFrom; t <= stripTo; t += 500 {
		label := fmt.Sprintf("%g s", float64(t)/1000)
		if t == 0 {
			label = "fault"
		}
		d.text(x(float64(t)), d.y+8, "middle", "11", label)
	}
	d.y += 34
}

// outages shows every run as a dot, on a logarithmic scale, and medians as bars.
func (d *drawing) outages(r *Result) {
	low, high := math.Inf(1), 0.0
	var rows []duel
	for _, duel := range r.duels() {
		measured := false
		for _, s := range duel.of {
			if s == nil {
				continue
			}
			for _, o := range s.outages(clientPoll) {
				low, high, measured = min(low, o), max(high, o), true
			}
		}
		if measured {
			rows = append(rows, duel)
		}
	}
	if len(rows) == 0 {
		return
	}
	from, to := math.Floor(math.Log10(max(low, 1))), math.Ceil(math.Log10(high))
	to = max(to, from+1)
	x := func(v float64) float64 {
		return plotLeft + (math.Log10(max(v, 1))-from)/(to-from)*(plotWidth-plotLeft-plotRight)
	}
	d.text(10, d.y+12, "start", "14", "Write outages of all runs, logarithmic scale; the bars are medians")
	d.y += 22
	top := d.y
	bottom := top + float64(rowTall*len(rows)) + 4
	for decade := from; decade <= to; decade++ {
		v := math.Pow(10, decade)
		d.line(x(v), top, x(v), bottom, colourLine)
		label := fmt.Sprintf("%g ms", v)
		if v >= 1000 {
			label = fmt.Sprintf("%g s", v/1000)
		}
		d.text(x(v), bottom+14, "middle", "11", label)
	}
	for _, duel := range rows {
		d.text(plotLeft-10, d.y+rowTall/2+5, "end", "12", fmt.Sprintf("%s, %s", duel.fault.name, downAfterText(duel.downAfter)))
		for i, s := range []struct{ system, colour string }{{ours, colourOurs}, {peer, colourPeer}} {
			series := duel.of[s.system]
			if series == nil || len(series.outages(clientPoll)) == 0 {
				continue
			}
			y := d.y + 8 + float64(i)*10
			for _, o := range series.outages(clientPoll) {
				d.addf(`<circle cx="%.1f" cy="%.1f" r="3.2" fill="%s" fill-opacity="0.45"/>`, x(o), y, s.colour)
			}
			m := x(median(series.outages(clientPoll)))
			d.addf(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2.5"/>`, m, y-6, m, y+6, s.colour)
		}
		d.y += rowTall
	}
	d.y = bottom + 22
}

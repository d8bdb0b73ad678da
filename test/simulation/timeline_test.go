package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// timeline is what happened, in order. Nothing is formatted unless somebody reads it.
type timeline []moment

type moment struct {
	at     time.Duration
	who    string
	format string
	args   []any
}

// note writes down what happened. The caller holds the world's lock.
func (w *world) note(who, format string, args ...any) {
	w.log = append(w.log, moment{w.now(), who, format, args})
}

// String leaves out what somebody says over and over.
func (t timeline) String() string {
	var b strings.Builder
	said := map[string][]string{}
	for _, m := range t {
		words := m.format
		if len(m.args) > 0 {
			words = fmt.Sprintf(m.format, m.args...)
		}
		if slices.Contains(said[m.who], words) {
			continue
		}
		last := append(said[m.who], words)
		said[m.who] = last[max(0, len(last)-3):]
		fmt.Fprintf(&b, "%10.3f  %-8s %s\n", float64(m.at.Microseconds())/1000, m.who, words)
	}
	return b.String()
}

// logger writes the log of an agent into the timeline.
type logger struct {
	hclog.Logger // for what nobody calls
	l            *life
}

func (l logger) With(...any) hclog.Logger  { return l }
func (l logger) Named(string) hclog.Logger { return l }
func (l logger) Debug(string, ...any)      {}

func (l logger) Info(msg string, args ...any)  { l.write(msg, args) }
func (l logger) Warn(msg string, args ...any)  { l.write(msg, args) }
func (l logger) Error(msg string, args ...any) { l.write(msg, args) }

func (l logger) write(msg string, args []any) {
	w := l.l.m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(args) == 0 {
		w.note(l.l.name(), "%s", msg)
		return
	}
	w.note(l.l.name(), "%s %v", msg, args)
}

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake: where it is, what it is about, what is wrong, and the mend.
type Error struct {
	File string
	Line int
	// Field is such as `node "redis-a": address`; empty when the file as a whole is meant.
	Field   string
	Problem string
	Mend    string
}

// Error is the mistake in one line.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	for _, part := range []string{e.Field, e.Problem} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if e.Mend != "" {
		b.WriteString("; " + e.Mend)
	}
	return b.String()
}

// Errors are all mistakes of a configuration, in the order of their places.
type Errors []Error

// Error is one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field))
	})
}

// place is where something stands in the files.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

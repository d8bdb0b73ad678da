package checks

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
)

// figures are what changes with every look: amounts of bytes, times, shares, and counts of what comes and goes.
var figures = regexp.MustCompile(`(under )?\d+(\.\d+)? (([KMGTPE]i)?B\b|(ms|s|min|h|days|changes?|clients?)\b|%)`)

// SameWords tells whether two outputs differ in their figures at most, which is news to nobody while the status is the same.
func SameWords(a, b string) bool {
	return a == b || figures.ReplaceAllLiteralString(a, "") == figures.ReplaceAllLiteralString(b, "")
}

// size writes bytes for people: "512 B", "1.5 GiB".
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", max(0, bytes))
	}
	value, units := float64(bytes)/1024, "KMGTPE"
	for value >= 1024 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}
	return oneDigit(value) + " " + units[:1] + "iB"
}

// span writes a duration for people, with no more digits than help: "0.3 ms", "3.2 s", "12 s", "5 min".
func span(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return "under 0.1 ms"
	case d < 10*time.Millisecond:
		return oneDigit(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return oneDigit(d.Seconds()) + " s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// atMost rounds a latency up, to 10 ms at least and then to 100 ms and so on: what is well is not to sound different each time.
func atMost(latency time.Duration) time.Duration {
	step := 10 * time.Millisecond
	for step < latency && step <= math.MaxInt64/10 {
		step *= 10
	}
	return max(step, latency)
}

// seconds writes what the server itself counts in whole seconds.
func seconds(d time.Duration) string {
	if d < time.Second {
		return "0 s"
	}
	return span(d)
}

// count writes "1 replica", "2 replicas".
func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// oneDigit writes one digit after the point, and none where it is 0.
func oneDigit(value float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0")
}

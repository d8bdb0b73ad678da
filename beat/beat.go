// Package beat makes what a process does again and again fall on the same instants: to wake up costs an idle process more than
// what it then does.
package beat

import "time"

// first is when this process began. Other machines began at other times, so they do not all ask at once.
var first = time.Now()

// Until is the time until the next beat of those that come so often, which is never 0.
func Until(every time.Duration) time.Duration { return every - time.Since(first)%every }

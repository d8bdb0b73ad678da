//go:build rulesout

package failover

// Removed is the rule that is taken away; empty is none.
var Removed Rule

// Kept tells whether a rule holds.
func Kept(r Rule) bool { return r != Removed }

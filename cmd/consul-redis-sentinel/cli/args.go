package cli

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// longFlag is a flag written with a single dash, as HashiCorp's tools write it: "-config", "-to=redis-2". There are
// no flags of one letter but -h, so nothing else can be meant.
var longFlag = regexp.MustCompile(`^-[a-z][a-z-]+(=|$)`)

// doubleDashes writes flags the way the library wants them.
func doubleDashes(args []string) []string {
	out := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if longFlag.MatchString(arg) {
			arg = "-" + arg
		}
		out = append(out, arg)
	}
	return out
}

// noArguments is for commands that take none; an unknown command comes here as an argument of the root.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasParent() {
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf(", did you mean %s?", strings.Join(near, " or "))
		}
		return usagef(cmd, "unknown command %q%s", args[0], hint)
	}
	return usagef(cmd, "takes no argument, got %q", args[0])
}

// one wants exactly one argument; what says what it is.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usagef(cmd, "%s is missing", what)
		case 1:
			return nil
		}
		return usagef(cmd, "takes one %s, got %d", what, len(args))
	}
}

// two wants exactly two arguments.
func two(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 {
			return nil
		}
		return usagef(cmd, "takes %s and %s, got %d arguments", first, second, len(args))
	}
}

// atMostOne wants one argument or none.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef(cmd, "takes one %s at most, got %d", what, len(args))
		}
		return nil
	}
}

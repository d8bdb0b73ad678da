package cli

import (
	"fmt"
	"slices"
	"strings"
)

// isKnown refuses the name of a group that Consul has nothing of.
func isKnown(group string, known []string) error {
	switch {
	case slices.Contains(known, group):
		return nil
	case len(known) == 0:
		return fmt.Errorf("no group %q in Consul: there is none at all", group)
	}
	return fmt.Errorf("no group %q in Consul, there is: %s", group, strings.Join(known, ", "))
}

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
)

// mustKnow refuses the name of a group that Consul has nothing of.
func mustKnow(ctx context.Context, k *catalog.Catalog, group string) error {
	known, err := k.Groups(ctx)
	if err != nil {
		return err
	}
	return isKnown(group, known)
}

// isKnown is mustKnow for who has read the names.
func isKnown(group string, known []string) error {
	switch {
	case slices.Contains(known, group):
		return nil
	case len(known) == 0:
		return fmt.Errorf("no group %q in Consul: there is none at all", group)
	}
	return fmt.Errorf("no group %q in Consul, there is: %s", group, strings.Join(known, ", "))
}

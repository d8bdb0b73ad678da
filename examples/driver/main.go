// An external driver: Valkey, driven by the built-in Redis driver, with what is different laid over it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/redis"
)

// valkey is a driver of its own: what it does not say otherwise, the embedded driver does.
type valkey struct{ plugin.Driver }

func newDriver(logger hclog.Logger) plugin.Driver { return &valkey{redis.New(logger)} }

// Capabilities names the kind, and offers no saving: who has data that would be discarded then waits for an operator.
func (v *valkey) Capabilities(ctx context.Context) (plugin.Capabilities, error) {
	c, err := v.Driver.Capabilities(ctx)
	c.Name, c.Version, c.Save = "valkey", "0.1.0", false
	return c, err
}

// Save is refused as Capabilities says. The error keeps its identity on the way to the agent.
func (v *valkey) Save(context.Context, string, string) error {
	return fmt.Errorf("save: %w", plugin.ErrUnsupported)
}

func main() {
	logger := plugin.NewLogger("valkey")
	err := plugin.Serve(newDriver(logger), logger)
	if errors.Is(err, plugin.ErrStartedByHand) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

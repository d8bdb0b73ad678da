package plugintest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// serveArgument makes a test binary a driver process. See Main.
const serveArgument = "serve-driver-of-this-test"

// Main is the body of a TestMain whose test binary is to serve as a driver process as well:
//
//	func TestMain(m *testing.M) { plugintest.Main(m, redis.New) }
//
// The tests get at it with Supervise or Command.
func Main(m *testing.M, newDriver func(hclog.Logger) plugin.Driver) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		logger := plugin.NewLogger("driver")
		if err := plugin.Serve(newDriver(logger), logger); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Command runs the test binary as a driver process.
func Command(t testing.TB) []string {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatalf("find the test binary: %v", err)
	}
	return []string{binary, serveArgument}
}

// Supervise starts a driver process and supervises it until the end of the test. Without a command it is the
// test binary.
func Supervise(t testing.TB, command ...string) *plugin.Supervisor {
	t.Helper()
	if len(command) == 0 {
		command = Command(t)
	}
	s, err := plugin.Supervise(t.Context(), plugin.Options{Command: command, Logger: Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Logger writes to the log of the test.
func Logger(t testing.TB) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "test", Level: hclog.Debug, Output: t.Output()})
}

// Timeout is a context with the deadline that tests give to a call.
func Timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

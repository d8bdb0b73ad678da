package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/plugintest"
)

// TestDriver builds the driver as the README says, pins it, and has it pass the harness.
func TestDriver(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "valkey-driver")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	start := func(t testing.TB) plugin.Driver {
		d, err := plugin.Supervise(plugintest.Timeout(t), plugin.Options{
			Command: []string{binary}, SHA256: hex.EncodeToString(sum[:]), Logger: plugintest.Logger(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		return d
	}
	d := start(t)
	if c, err := d.Capabilities(plugintest.Timeout(t)); err != nil || c.Name != "valkey" || c.Save {
		t.Fatalf("capabilities %+v, %v", c, err)
	}
	if err := d.Save(plugintest.Timeout(t), "a", "/tmp/x"); !errors.Is(err, plugin.ErrUnsupported) {
		t.Fatalf("save: %v", err)
	}
	plugintest.Run(t, plugintest.Harness{Driver: start})
}

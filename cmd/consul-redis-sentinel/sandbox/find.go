package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrMissing is wrapped when a server that the sandbox needs is not on this machine. The text says how to get it.
var ErrMissing = errors.New("not found")

// CacheDir is where "make" puts the servers that it builds.
func CacheDir() (string, error) {
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "consul-redis-sentinel", "bin"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".cache", "consul-redis-sentinel", "bin"), nil
}

// FindConsul returns the path of consul: on PATH, or built by "make".
func FindConsul() (string, error) { return findHashiCorp("consul") }

// FindConsulTemplate returns the path of consul-template: on PATH, or built by "make".
func FindConsulTemplate() (string, error) { return findHashiCorp("consul-template") }

func findHashiCorp(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if dir, err := CacheDir(); err == nil {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w: put it on PATH, or build it once with \"make setup\"", name, ErrMissing)
}

// FindRedis returns the path of redis-server, or of valkey-server when there is only that.
func FindRedis() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("redis-server: %w: install it with the system's package manager, or with \"make setup\"", ErrMissing)
}

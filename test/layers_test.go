// Package test holds what concerns the project as a whole.
package test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/consul-redis-sentinel/consul-redis-sentinel/"

// layers are the folders at the top and what each may import of the others; see "Packages" in docs/architecture.md.
var layers = map[string][]string{
	"failover": {},
	"checks":   {},
	"plugin":   {"beat"},
	"config":   {},
	"rescue":   {},
	"peers":    {},
	"beat":     {},
	"catalog":  {"failover", "beat"},
	"sentinel": {"failover"},
	"agent":    {"failover", "checks", "plugin", "config", "catalog", "sentinel", "rescue", "peers"},
	"cmd":      {"failover", "checks", "plugin", "config", "catalog", "sentinel", "rescue", "peers", "agent"},
	"examples": {"plugin"},
}

// TestLayers holds every import to the table: an arrow never runs upward. Tests may use what they need.
func TestLayers(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		from, _, _ := strings.Cut(filepath.ToSlash(strings.TrimPrefix(path, "../")), "/")
		allowed, ok := layers[from]
		if !ok {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			imported, _ := strconv.Unquote(i.Path.Value)
			rest, ours := strings.CutPrefix(imported, module)
			to, _, _ := strings.Cut(rest, "/")
			if !ours {
				continue
			}
			seen++
			if to != from && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: %s may import %v", path, imported, from, allowed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Errorf("only %d imports were looked at", seen)
	}
}

// The decision is pure: no network, no clock, no goroutine.
func TestThePurePackagesArePure(t *testing.T) {
	for _, dir := range []string{"failover", "checks"} {
		files, _ := filepath.Glob("../" + dir + "/*.go")
		if len(files) == 0 {
			t.Fatalf("no files in %s", dir)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range file.Imports {
				switch name, _ := strconv.Unquote(i.Path.Value); name {
				case "net", "os", "context", "sync", "net/http", "os/exec":
					t.Errorf("%s imports %s", path, name)
				}
			}
		}
	}
}

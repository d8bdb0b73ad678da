package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

const (
	docs       = "../docs/configuration.md"
	beginTable = "<!-- begin: generated from config/keys.go -->\n"
	endTable   = "<!-- end -->\n"
)

// The reference in the documentation is made from the keys that are read.
func TestReferenceIsTrue(t *testing.T) {
	b, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), beginTable)
	_, after, ok2 := strings.Cut(rest, endTable)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the reference", docs)
	}
	want := before + beginTable + reference() + endTable + after
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(b) != want {
		t.Errorf("%s is not what the code reads; run: go test ./config -update", docs)
	}
}

// The examples in the documentation are read as they stand.
func TestDocumentedExamplesLoad(t *testing.T) {
	b, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(b), "```hcl\n")[1:] {
		src, _, _ := strings.Cut(block, "```")
		if _, err := Parse(fmt.Sprintf("example-%d.hcl", i+1), []byte(src)); err != nil {
			t.Error(err)
		}
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString("| at the top | default | meaning |\n| --- | --- | --- |\n| `plugin_dir` | none | the folder in which drivers are looked for |\n\n")
	table(&b, "agent", agentKeys)
	table(&b, "consul", consulKeys)
	table(&b, `group "NAME"`, groupKeys)
	table(&b, `node "NAME"`, nodeKeys)
	table(&b, "tls (in a node)", tlsKeys)
	for _, name := range slices.Sorted(maps.Keys(checkKeys)) {
		table(&b, fmt.Sprintf("check %q (in a node)", name), checkKeys[name])
	}
	table(&b, `driver "NAME"`, driverKeys)
	return b.String()
}

func table[T any](b *strings.Builder, block string, keys []key[T]) {
	fmt.Fprintf(b, "| %s | default | meaning |\n| --- | --- | --- |\n", block)
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", k.name, k.def, k.doc)
	}
	b.WriteString("\n")
}

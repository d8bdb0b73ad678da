package config

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
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

// silent says nothing that it need not; the comments are places to say more.
const silent = `
agent {
#agent
}
consul {
#consul
}
group "redis" {
#group
}
node "a" {
  group   = "redis"
  address = "127.0.0.1:6379"
#node
}
`

// A default that the reference gives as a literal is what holds without the line.
func TestReferenceHasTheDefaults(t *testing.T) {
	sameDefaults(t, "#agent", "%s", agentKeys, func(c *Config) *Agent { return &c.Agent })
	sameDefaults(t, "#consul", "%s", consulKeys, func(c *Config) *Consul { return &c.Consul })
	sameDefaults(t, "#group", "%s", groupKeys, func(c *Config) *Group { return &c.Groups[0] })
	sameDefaults(t, "#node", "%s", nodeKeys, func(c *Config) *Node { return &c.Nodes[0] })
	for name, keys := range checkKeys {
		sameDefaults(t, "#node", fmt.Sprintf("check %q {\n%%s}\n", name), keys, func(c *Config) *Checks { return &c.Nodes[0].Checks })
	}
}

var literal = regexp.MustCompile(`^("[^"]*"|[0-9]+|true|false)$`)

func sameDefaults[T any](t *testing.T, place, block string, keys []key[T], of func(*Config) *T) {
	var lines strings.Builder
	for _, k := range keys {
		if literal.MatchString(k.def) {
			fmt.Fprintf(&lines, "%s = %s\n", k.name, k.def)
		}
	}
	var values [2]*T
	for i, src := range []string{silent, strings.Replace(silent, place, fmt.Sprintf(block, lines.String()), 1)} {
		c, err := Parse("defaults.hcl", []byte(src))
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		values[i] = of(c)
	}
	for _, k := range keys {
		is, told := reflect.ValueOf(k.to(values[0])).Elem().Interface(), reflect.ValueOf(k.to(values[1])).Elem().Interface()
		if !reflect.DeepEqual(is, told) {
			t.Errorf("%s %s is %v by default, and %v by the reference", place, k.name, is, told)
		}
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

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// Load reads files and folders (all *.hcl and *.json in them, by name) as one configuration. The error is of type
// Errors and holds every mistake.
func Load(paths ...string) (*Config, error) {
	l := newLoader()
	for _, path := range paths {
		l.path(path)
	}
	return l.finish()
}

// Parse reads one file that is already in memory; name tells its form by its ending, and stands in errors.
func Parse(name string, src []byte) (*Config, error) {
	l := newLoader()
	l.source(name, src)
	return l.finish()
}

type loader struct {
	parser *hclparse.Parser
	config *Config
	errs   Errors
	// given is where each setting and block was given, so that a second one can name the first.
	given map[string]place
}

func newLoader() *loader {
	return &loader{parser: hclparse.NewParser(), config: Default(), given: map[string]place{}}
}

func (l *loader) finish() (*Config, error) {
	if len(l.errs) == 0 {
		l.validate()
	}
	if len(l.errs) > 0 {
		l.errs.sort()
		return nil, l.errs
	}
	return l.config, nil
}

func (l *loader) fail(p place, field, problem, mend string) {
	l.errs = append(l.errs, Error{File: p.file, Line: p.line, Field: field, Problem: problem, Mend: mend})
}

func (l *loader) path(path string) {
	info, err := os.Stat(path)
	if err != nil {
		l.fail(place{file: path}, "", "cannot be read", reason(err))
		return
	}
	if !info.IsDir() {
		l.file(path)
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		l.fail(place{file: path}, "", "cannot be read", reason(err))
		return
	}
	found := false
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".hcl" || ext == ".json") {
			l.file(filepath.Join(path, e.Name()))
			found = true
		}
	}
	if !found {
		l.fail(place{file: path}, "", "holds no configuration", "put a file that ends in .hcl or .json there")
	}
}

func reason(err error) string {
	if os.IsNotExist(err) {
		return "there is no such file or folder"
	}
	if os.IsPermission(err) {
		return "give this user the right to read it"
	}
	return err.Error()
}

func (l *loader) file(path string) {
	src, err := os.ReadFile(path)
	if err != nil {
		l.fail(place{file: path}, "", "cannot be read", reason(err))
		return
	}
	l.source(path, src)
}

func (l *loader) source(name string, src []byte) {
	var f *hcl.File
	var diags hcl.Diagnostics
	if filepath.Ext(name) == ".json" {
		f, diags = l.parser.ParseJSON(src, name)
	} else {
		f, diags = l.parser.ParseHCL(src, name)
	}
	if l.diagnose(name, "", diags) {
		return
	}
	l.root(name, f.Body)
}

// diagnose takes in what the HCL library found wrong, and tells whether it did.
func (l *loader) diagnose(file, field string, diags hcl.Diagnostics) bool {
	for _, d := range diags {
		p := place{file: file, line: 1}
		if d.Subject != nil {
			p.line = d.Subject.Start.Line
		}
		problem, mend, _ := strings.Cut(strings.TrimSpace(d.Detail), " Did you mean ")
		if mend != "" {
			mend = "did you mean " + mend
		}
		if problem == "" {
			problem = d.Summary
		}
		l.fail(p, field, lowerFirst(strings.TrimSuffix(oneLine(problem), ".")), oneLine(mend))
	}
	return diags.HasErrors()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

var rootSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "plugin_dir"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "agent"}, {Type: "consul"}, {Type: "group", LabelNames: []string{"name"}},
		{Type: "node", LabelNames: []string{"name"}}, {Type: "driver", LabelNames: []string{"name"}},
	},
}

func (l *loader) root(file string, body hcl.Body) {
	content, diags := body.Content(rootSchema)
	l.diagnose(file, "", diags)
	if a := content.Attributes["plugin_dir"]; a != nil {
		l.assign(file, "plugin_dir", a, &l.config.PluginDir)
	}
	for _, b := range content.Blocks {
		l.block(file, b)
	}
}

func (l *loader) block(file string, b *hcl.Block) {
	at := place{file, b.DefRange.Start.Line}
	what := b.Type
	if len(b.Labels) > 0 {
		what = fmt.Sprintf("%s %q", b.Type, b.Labels[0])
	}
	if first, ok := l.given[what]; ok {
		l.fail(at, what, fmt.Sprintf("is given twice, first at %s", first), "keep one of them")
		return
	}
	l.given[what] = at
	switch b.Type {
	case "agent":
		settings(l, file, what, b.Body, agentKeys, &l.config.Agent)
	case "consul":
		settings(l, file, what, b.Body, consulKeys, &l.config.Consul)
	case "group":
		g := defaultGroup(b.Labels[0])
		g.place = at
		settings(l, file, what, b.Body, groupKeys, &g)
		if g.MasterService == "" {
			g.MasterService = g.Service + "-master"
		}
		if g.ReplicaService == "" {
			g.ReplicaService = g.Service + "-replica"
		}
		l.config.Groups = append(l.config.Groups, g)
	case "node":
		l.node(file, what, at, b)
	case "driver":
		d := Driver{Name: b.Labels[0], place: at}
		settings(l, file, what, b.Body, driverKeys, &d)
		l.config.Drivers = append(l.config.Drivers, d)
	}
}

func (l *loader) node(file, what string, at place, b *hcl.Block) {
	n := defaultNode(b.Labels[0])
	n.place = at
	blocks := settings(l, file, what, b.Body, nodeKeys, &n,
		hcl.BlockHeaderSchema{Type: "tls"}, hcl.BlockHeaderSchema{Type: "check", LabelNames: []string{"name"}})
	for _, inner := range blocks {
		field := what + ": " + inner.Type
		line := place{file, inner.DefRange.Start.Line}
		if inner.Type == "tls" {
			n.TLS = &TLS{}
			settings(l, file, field, inner.Body, tlsKeys, n.TLS)
			continue
		}
		keys, ok := checkKeys[inner.Labels[0]]
		if !ok {
			l.fail(line, field, fmt.Sprintf("there is no check %q", inner.Labels[0]), "there are alive, replication, persistence, memory and clients")
			continue
		}
		settings(l, file, fmt.Sprintf("%s %q", field, inner.Labels[0]), inner.Body, keys, &n.Checks)
	}
	l.config.Nodes = append(l.config.Nodes, n)
}

// settings reads the settings of a block into v and returns the blocks inside it.
func settings[T any](l *loader, file, field string, body hcl.Body, keys []key[T], v *T, inner ...hcl.BlockHeaderSchema) hcl.Blocks {
	schema := &hcl.BodySchema{Blocks: inner}
	for _, k := range keys {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: k.name})
	}
	content, diags := body.Content(schema)
	known := len(l.errs)
	l.diagnose(file, field, diags)
	for i := known; i < len(l.errs); i++ {
		if e := &l.errs[i]; e.Mend == "" && strings.HasPrefix(e.Problem, "an argument named") {
			e.Mend = "there are " + names(keys)
		}
	}
	for _, k := range keys {
		a := content.Attributes[k.name]
		if a == nil {
			continue
		}
		l.given[field+": "+k.name] = place{file, a.Range.Start.Line}
		l.assign(file, field+": "+k.name, a, k.to(v))
	}
	return content.Blocks
}

func (l *loader) assign(file, field string, a *hcl.Attribute, to any) {
	value, diags := a.Expr.Value(nil)
	if l.diagnose(file, field, diags) {
		return
	}
	if err := assign(to, value); err != nil {
		problem, mend, _ := strings.Cut(err.Error(), "; ")
		l.fail(place{file, a.Range.Start.Line}, field, problem, mend)
	}
}

// at is where a setting was given, or else where its block begins.
func (l *loader) at(block place, field string) place {
	if p, ok := l.given[field]; ok {
		return p
	}
	return block
}

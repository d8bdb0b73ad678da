package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected messages and the reference")

// Every mistake has a file of its own, and its exact message beside it.
func TestMistakes(t *testing.T) {
	files, _ := filepath.Glob("testdata/invalid/*.[hj]*")
	if len(files) < 50 {
		t.Fatalf("found %d files", len(files))
	}
	for _, file := range files {
		if filepath.Ext(file) == ".txt" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file)
			var mistakes Errors
			if !errors.As(err, &mistakes) || len(mistakes) == 0 {
				t.Fatalf("error %v, want the mistake", err)
			}
			for _, m := range mistakes {
				if m.Problem == "" || strings.ContainsAny(m.Error(), "\n") {
					t.Errorf("unclear mistake: %#v", m)
				}
			}
			golden := file + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, rerr := os.ReadFile(golden)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if got := err.Error() + "\n"; got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestSmallestInBothForms(t *testing.T) {
	hcl, err := Load("testdata/valid/smallest.hcl")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := Load("testdata/valid/smallest.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Config{hcl, asJSON} {
		c.Groups[0].place, c.Nodes[0].place = place{}, place{}
	}
	if !reflect.DeepEqual(hcl, asJSON) {
		t.Errorf("HCL gives\n%+v\nJSON gives\n%+v", hcl, asJSON)
	}
	g, n := hcl.Groups[0], hcl.Nodes[0]
	if g.Quorum != 2 || g.DownAfter != 5*time.Second || g.FenceAfter != 3*time.Second || g.MasterService != "redis-master" ||
		g.ReplicaService != "redis-replica" || g.Service != "redis" || g.OnStuck != "kill" || g.ParallelSyncs != 1 {
		t.Errorf("group %+v", g)
	}
	if n.AnnounceAddress != "10.0.0.1:6379" || n.Driver != "redis" || n.Priority != 100 {
		t.Errorf("node %+v", n)
	}
}

func TestWitness(t *testing.T) {
	c, err := Load("testdata/valid/witness.hcl")
	if err != nil || len(c.Nodes) != 0 || len(c.Groups) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestFull(t *testing.T) {
	c, err := Load("testdata/valid/full.hcl")
	if err != nil {
		t.Fatal(err)
	}
	n := c.Nodes[0]
	if n.Password.Reveal() != "hush" {
		t.Errorf("the password file gave %q", n.Password.Reveal())
	}
	if n.TLS == nil || n.TLS.ServerName != "redis.example" || n.Meta["rack"] != "12" || n.Checks.Clients.Warning != 70.5 ||
		n.Checks.ReplicationBytes.Critical != 10<<20 || n.Checks.Persistence.Warning != time.Hour {
		t.Errorf("node %+v", n)
	}
	if got := c.Drivers[0].Command[0]; got != "/bin/true" {
		t.Errorf("the driver's command is %q, want it in plugin_dir", got)
	}
}

func TestFolderAndDuplicatesAcrossFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("10-group.hcl", `group "redis" { quorum = 2 }`)
	write("20-node.json", `{"node": {"redis-a": {"group": "redis", "address": "127.0.0.1:6379"}}}`)
	write("notes.txt", "not read")
	c, err := Load(dir)
	if err != nil || len(c.Nodes) != 1 || len(c.Groups) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "loopback") {
		t.Errorf("warnings %q, want one about the loopback address", c.Warnings)
	}
	write("30-more.hcl", "\n"+`group "redis" {}`)
	_, err = Load(dir)
	want := fmt.Sprintf(`%[1]s/30-more.hcl:2: group "redis": is given twice, first at %[1]s/10-group.hcl:1; keep one of them`, dir)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "holds no configuration") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none.hcl")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestSecretsHideThemselves(t *testing.T) {
	s := Secret("hush")
	b, err := json.Marshal(map[string]any{"password": s})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %s %q %+v %#v %s", s, s, s, struct{ P Secret }{s}, struct{ P Secret }{s}, b)
	if strings.Contains(shown, "hush") {
		t.Errorf("shown: %s", shown)
	}
	if s.Reveal() != "hush" || Secret("").String() != "" {
		t.Error("a secret that nobody can use")
	}
}

func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata/valid", "testdata/invalid"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if b, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				f.Add(strings.HasSuffix(e.Name(), ".json"), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, asJSON bool, src []byte) {
		name := "fuzz.hcl"
		if asJSON {
			name = "fuzz.json"
		}
		c, err := Parse(name, src)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v and error %v", c, err)
		}
		var mistakes Errors
		if err != nil && !errors.As(err, &mistakes) {
			t.Fatalf("error of another kind: %v", err)
		}
		for _, m := range mistakes {
			if m.File == "" || m.Problem == "" || m.File == name && m.Line == 0 {
				t.Errorf("a mistake without its place: %#v", m)
			}
		}
	})
}

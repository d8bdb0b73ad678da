package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// One kill of a master in both systems goes through everything that the benchmark does. What is measured is not judged.
func TestOneRound(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	err := run(t.Context(), []string{"-n", "1", "-case", "kill", "-down-after", "500ms", "-settle", "0", "-tail", "100ms", "-jitter", "0",
		"-json", file("bench.json")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := readResult(file("bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, system := range []string{ours, peer} {
		s := r.find("kill", 500, system)
		if s == nil || len(s.Runs) != 1 {
			t.Fatalf("%s was not measured once: %+v", system, s)
		}
		run := s.Runs[0]
		want := []string{clientPoll, clientWait}
		if system == peer {
			want = []string{clientGoRedis, clientPoll, clientWait}
		}
		if got := strings.Join(run.clientNames(), " "); got != strings.Join(want, " ") {
			t.Errorf("%s: the clients are %s", system, got)
		}
		for name, c := range run.Clients {
			if c.Outage <= 0 || c.Acked < 2*warmUp || len(c.Acks) != c.Acked {
				t.Errorf("%s: %s had an outage of %v, %d acknowledged writes, %d times of them", system, name, c.Outage, c.Acked, len(c.Acks))
			}
		}
		if run.Changes < 1 || len(run.Steps) < 4 {
			t.Errorf("%s: %d changes of master, steps %v", system, run.Changes, run.Steps)
		}
	}

	readme := file("README.md")
	if err := os.WriteFile(readme, []byte("before\n"+readmeBegin+"\nold\n"+readmeEnd+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file("docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"-from", file("bench.json"), "-readme", readme}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(text, "before\n"+readmeBegin+"\n") || !strings.HasSuffix(text, readmeEnd+"\nafter\n") ||
		strings.Contains(text, "\nold\n") || !strings.Contains(text, "| `kill -9` of the master | 500 ms |") {
		t.Errorf("the README is:\n%s", text)
	}
	svg, err := os.Open(file(plotFile))
	if err != nil {
		t.Fatal(err)
	}
	defer svg.Close()
	circles := 0
	for d := xml.NewDecoder(svg); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 2 {
		t.Errorf("the plot has %d runs, want 2", circles)
	}
}

func TestOutage(t *testing.T) {
	fault := time.Now()
	at := func(all ...int) (acks []ack) {
		for _, v := range all {
			acks = append(acks, ack{at: fault.Add(time.Duration(v) * time.Millisecond)})
		}
		return acks
	}
	for _, c := range []struct {
		name string
		acks []ack
		end  int
		want int
		ok   bool
	}{
		{"the gap that the fault made", at(-4, -2, 98, 100), 101, 100, true},
		{"a longer gap before the fault is none of it", at(-900, -2, 98, 100), 101, 100, true},
		{"the second of two gaps", at(-2, 50, 250, 252), 253, 200, true},
		{"never again", at(-2, 50), 5000, 52, false},
		{"nothing at all", nil, 100, 0, false},
	} {
		got, err := outage(c.acks, fault, fault.Add(time.Duration(c.end)*time.Millisecond))
		if got != time.Duration(c.want)*time.Millisecond || (err == nil) != c.ok {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{4, 1, 3, 2, 5}
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.5, 3}, {0.95, 4.8}, {1, 5}} {
		if got := quantile(values, c.q); got != c.want {
			t.Errorf("quantile %v is %v, want %v", c.q, got, c.want)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-case", "earthquake"}, {"-down-after", "soon"}, {"-groups", "0"}, {"-n", "0"}, {"-system", "etcd"}, {"-readme", "README.md"}, {"more"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

// More groups than are watched one by one, all started at once: one of them loses its master, then
// one half all of a machine, then the other half at once.
func TestManyGroups(t *testing.T) {
	const groups = 12
	o, err := parse([]string{"-window", "1s"}, io.Discard)
	if err == nil {
		err = o.findBinary()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer o.removeBinary()
	c, err := measureCost(t.Context(), o, ours, groups)
	if err != nil {
		t.Fatal(err)
	}
	if c.One == 0 || c.Half == 0 || c.HalfGroups < groups/2-1 || c.Killed == 0 || c.KilledGroups < groups/2-1 {
		t.Errorf("%s", c)
	}
	t.Logf("%s", c)
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// ms is a duration in milliseconds, to the microsecond.
type ms float64

func msOf(d time.Duration) ms { return ms(d.Microseconds()) / 1000 }

func (m ms) duration() time.Duration { return time.Duration(float64(m) * float64(time.Millisecond)) }

// Result is all that was measured, as -json writes it.
type Result struct {
	At      time.Time `json:"at"`
	Machine Machine   `json:"machine"`
	Options Settings  `json:"settings"`
	Series  []*Series `json:"series"`
	Costs   []*Cost   `json:"costs,omitempty"`
}

// Machine is where it was measured, and with what.
type Machine struct {
	Cores   int    `json:"cores"`
	CPU     string `json:"cpu"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
	Redis   string `json:"redis"`
	Consul  string `json:"consul"`
	Program string `json:"program,omitempty"`
}

// Settings are those options that the figures depend on.
type Settings struct {
	Every      string `json:"every"`
	Resolve    string `json:"resolve"`
	Jitter     string `json:"jitter"`
	BusyFor    string `json:"busy_for"`
	Durability string `json:"durability"`
	FenceAfter string `json:"fence_after"`
}

// Series are the runs of one case with one system.
type Series struct {
	Case      string `json:"case"`
	DownAfter ms     `json:"down_after_ms"`
	System    string `json:"system"`
	Runs      []*Run `json:"runs"`
	// Refused are runs that were not counted because the machine was too noisy, Failed those that came to no end.
	Refused int `json:"refused,omitempty"`
	Failed  int `json:"failed,omitempty"`
}

// Run is one fault.
type Run struct {
	Clients map[string]*Client `json:"clients,omitempty"`
	// Changes is how often the master changed.
	Changes int `json:"changes"`
	// Calls is how often the master was kept busy.
	Calls int    `json:"calls,omitempty"`
	Steps []step `json:"steps,omitempty"`
	// Jitter is how late at least 1 in 100 sleeps of a millisecond ended.
	Jitter ms `json:"jitter_ms"`
	// Fsync is how long the disk took to keep a page. Consul's servers do so with every commit.
	Fsync ms `json:"fsync_ms,omitempty"`
}

// Client is what one client saw of a fault.
type Client struct {
	Outage ms  `json:"outage_ms"`
	Acked  int `json:"acknowledged"`
	Lost   int `json:"lost"`
	// Until is when the old master acknowledged a write for the last time, negative if that was before the fault.
	Until ms `json:"until_ms"`
	// Acks are the times of all acknowledgements after the fault; those before it are negative.
	Acks []ms `json:"acks_ms,omitempty"`
}

func newRun(jitter time.Duration) *Run {
	return &Run{Clients: map[string]*Client{}, Jitter: msOf(jitter)}
}

func (r *Run) String() string {
	var parts []string
	for _, name := range r.clientNames() {
		c := r.Clients[name]
		parts = append(parts, fmt.Sprintf("%s %.1f ms, lost %d of %d", name, c.Outage, c.Lost, c.Acked))
	}
	if r.Calls > 0 {
		parts = append(parts, fmt.Sprintf("kept busy %d times", r.Calls))
	}
	return fmt.Sprintf("%s; %d change(s) of master; jitter %.1f ms", strings.Join(parts, "; "), r.Changes, r.Jitter)
}

func newResult(o *options) *Result {
	return &Result{At: time.Now().UTC().Truncate(time.Second), Machine: machine(),
		Options: Settings{o.Every.String(), o.Resolve.String(), o.Jitter.String(), o.BusyFor.String(), o.Durability, o.FenceAfter.String()}}
}

// series are the runs of a case, made when there are none yet.
func (r *Result) series(name string, d time.Duration, system string) *Series {
	if s := r.find(name, msOf(d), system); s != nil {
		return s
	}
	s := &Series{Case: name, DownAfter: msOf(d), System: system}
	r.Series = append(r.Series, s)
	return s
}

func (r *Result) find(name string, downAfter ms, system string) *Series {
	for _, s := range r.Series {
		if s.Case == name && s.DownAfter == downAfter && s.System == system {
			return s
		}
	}
	return nil
}

func machine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: cpuModel()}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if path, err := sandbox.FindRedis(); err == nil {
		m.Redis = word(path, 2, "--version")
	}
	if path, err := sandbox.FindConsul(); err == nil {
		m.Consul = word(path, 1, "version")
	}
	return m
}

// program is the commit that a binary was built from.
func program(binary string) string {
	out, err := exec.Command(binary, "version", "-json").Output()
	v := struct{ Commit string }{}
	if err != nil || json.Unmarshal(out, &v) != nil {
		return ""
	}
	return v.Commit
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// word is one word of what a program says of its version.
func word(path string, n int, arg string) string {
	out, err := exec.Command(path, arg).Output()
	words := strings.Fields(string(out))
	if err != nil || len(words) <= n {
		return "unknown"
	}
	return strings.TrimPrefix(words[n], "v=")
}

func readResult(file string) (*Result, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return r, nil
}

func writeResult(file string, r *Result) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

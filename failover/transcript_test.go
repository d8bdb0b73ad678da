package failover

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what the transcripts show now")

// The transcripts in testdata are read like a play: a line that begins with ">" is what happens, what stands below it
// is what the agents did about it.
func TestTranscripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 10 {
		t.Fatalf("found %d transcripts", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(b))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(b) {
				t.Errorf("the transcript is now:\n%s", got)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	var out strings.Builder
	var w *world
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		command, ok := strings.CutPrefix(line, "> ")
		if !ok {
			if strings.HasPrefix(line, "#") || line == "" {
				out.WriteString(line + "\n")
			}
			continue
		}
		out.WriteString(line + "\n")
		f := strings.Fields(command)
		if f[0] == "nodes" {
			w = newWorld(f[1:]...)
			continue
		}
		w.log = nil
		if err := w.command(f); err != nil {
			t.Errorf("%s: %v", command, err)
			w.note("ERROR %v", err)
		}
		for _, l := range w.log {
			out.WriteString(l + "\n")
		}
	}
	return out.String()
}

// command is one line of a transcript.
func (w *world) command(f []string) error {
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	switch f[0] {
	case "whole": // let time pass until the group is whole
		err := w.until(5 * time.Minute)
		w.note("master %s of epoch %d", w.consul.Record.Master, w.consul.Record.Epoch)
		return err
	case "pass": // let time pass
		d, err := time.ParseDuration(arg(1))
		for end := w.now + d; w.now < end; {
			w.tick()
		}
		return err
	case "write": // clients write n times, once a tick
		n := 0
		fmt.Sscan(arg(1), &n)
		for range n {
			w.write()
			w.tick()
		}
	case "kill":
		w.kill(arg(1), arg(2) == "keeping-data")
	case "boot":
		w.boot(arg(1))
	case "restart":
		w.kill(arg(1), arg(2) == "keeping-data")
		w.boot(arg(1))
	case "stop":
		w.servers[arg(1)].stopped = true
	case "continue":
		w.servers[arg(1)].stopped = false
	case "cut":
		a := w.agentOf(arg(1))
		a.cut = true
		w.endSession(a)
	case "heal":
		w.agentOf(arg(1)).cut = false
	case "consul":
		w.down = arg(1) == "down"
	case "kill-agent":
		w.killAgent(w.agentOf(arg(1)))
	case "kill-leader":
		for _, a := range w.agents {
			if a.name == w.consul.Leader {
				w.note("the leader was %s", a.name)
				w.killAgent(a)
				return nil
			}
		}
		return fmt.Errorf("nobody leads")
	case "start-agent":
		w.startAgent(w.agentOf(arg(1)))
	case "order":
		w.index++
		w.consul.Order = &Order{ID: "1", Kind: OrderKind(arg(1)), Target: arg(2), By: "an operator"}
		w.consul.OrderIndex, w.consul.Index = w.index, w.index
	case "set-open": // an installation from before
		s := w.servers[arg(1)]
		s.open, s.master = true, ""
	case "set-following":
		w.servers[arg(1)].master = arg(2)
	case "set-data":
		w.written += 2
		w.servers[arg(1)].data = []int{w.written - 1, w.written}
	case "set-priority":
		w.agentOf(arg(1)).prio = 0
		fmt.Sscan(arg(2), &w.agentOf(arg(1)).prio)
	case "set-zone":
		w.agentOf(arg(1)).zone = arg(2)
	case "join": // a new node, empty unless said otherwise
		w.join(arg(1))
		if arg(2) == "with-data" {
			return w.command([]string{"set-data", arg(1)})
		}
	case "busy": // a long command keeps the server, as its agent can tell
		w.servers[arg(1)].stopped, w.agentOf(arg(1)).busy = true, "runs a script"
	case "idle":
		w.servers[arg(1)].stopped, w.agentOf(arg(1)).busy = false, ""
	case "stubborn": // does not open, whatever it is told
		w.servers[arg(1)].stubborn = true
	case "read-only": // cannot write its configuration file
		w.servers[arg(1)].readOnly = true
	case "pause-group":
		s := *w.consul.Settings
		s.Paused = arg(1) != "off"
		w.consul.Settings = &s
		w.index++
	case "slow-syncs": // a full resync takes so long
		d, err := time.ParseDuration(arg(1))
		w.loads = func() time.Duration { return d }
		return err
	case "lose-record":
		w.index++
		w.consul.Record, w.consul.RecordIndex, w.consul.Index = nil, 0, w.index
	case "waits": // what an agent waits for
		a := w.agentOf(arg(1))
		for _, s := range Decide(&a.view).Waits {
			w.note("%s: %s", a.name, s)
		}
	case "servers":
		for _, s := range w.inOrder {
			w.note("%s: alive %v, open %v, follows %q, %d writes, %d full syncs", s.name, s.alive, s.open, s.master, len(s.data), s.fullSyncs)
		}
	default:
		return fmt.Errorf("no such command")
	}
	return nil
}

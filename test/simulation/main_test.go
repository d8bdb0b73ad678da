package simulation

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	histories = flag.Int("histories", manyHistories, "how many histories are played")
	from      = flag.Uint64("from", 1, "the first seed of them")
	seed      = flag.Uint64("seed", 0, "play the history of this seed alone and print it")
	part      = flag.Int("part", 0, "play every n-th history from this one on, in this process; 0 shares them out among processes")
	parts     = flag.Int("parts", runtime.NumCPU(), "the number of processes")
)

// TestHistories plays first the seeds that found something once, then new ones.
//
// A history runs on one processor, which hands one goroutine after the other what is due: that is twice as fast as on
// two, and much the same each time. So the others are used by processes of their own.
func TestHistories(t *testing.T) {
	switch {
	case *seed != 0:
		onOneProcessor()
		o := inBubble(t, *seed)
		t.Logf("seed %d: %d changes of master, %d writes acknowledged, %d of them by WAIT, in %s\n%s",
			*seed, o.Changes, o.Acked, o.Waited, o.Lasted, o.log)
		if o.err != nil {
			t.Errorf("seed %d: %v", *seed, o.err)
		}
	case *part > 0:
		onOneProcessor()
		playPart(t)
	default:
		share(t)
	}
}

func onOneProcessor() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400) // a history leaves little behind
}

// totals are what a number of histories came to.
type totals struct {
	Histories, Acked, Waited int
	// Changes are those of masters, Planned of them those whose old master stood until the new one was chosen.
	Changes, Planned int
	Lasted           time.Duration
}

const totalsLine = "TOTALS "

// share has the histories played by processes.
func share(t *testing.T) {
	began := time.Now()
	all, broken := playShared(t)
	if broken != "" {
		t.Error(broken)
	}
	took := time.Since(began)
	t.Logf("%d histories of %s of virtual time in %s, %.0f a second: %d changes of master, %d of them planned, %d writes acknowledged, %d of them by WAIT",
		all.Histories, all.Lasted.Round(time.Second), took.Round(time.Millisecond), float64(all.Histories)/took.Seconds(),
		all.Changes, all.Planned, all.Acked, all.Waited)
	if broken == "" && (all.Histories != *histories+len(seeds(t)) || all.Planned == 0 || all.Changes == all.Planned || all.Waited == 0) {
		t.Error("that is not what was to be played")
	}
}

// playShared returns what the processes say of the first history that is broken. They end with it.
func playShared(t *testing.T, more ...string) (all totals, broken string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var processes sync.WaitGroup
	for i := range *parts {
		processes.Go(func() {
			args := append([]string{"-test.run=^TestHistories$", "-test.v", "-test.timeout=0",
				fmt.Sprintf("-histories=%d", *histories), fmt.Sprintf("-from=%d", *from),
				fmt.Sprintf("-part=%d", i+1), fmt.Sprintf("-parts=%d", *parts)}, more...)
			cmd := exec.CommandContext(ctx, os.Args[0], args...)
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			out, err := cmd.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			for line := range strings.Lines(string(out)) {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), totalsLine); ok {
					var n totals
					if err := json.Unmarshal([]byte(rest), &n); err != nil {
						t.Error(err)
					}
					all.add(n)
				}
			}
			if err != nil && broken == "" {
				broken = fmt.Sprintf("%v\n%s", err, out)
				cancel()
			}
		})
	}
	processes.Wait()
	return all, broken
}

func (all *totals) add(n totals) {
	all.Histories += n.Histories
	all.Acked += n.Acked
	all.Waited += n.Waited
	all.Changes += n.Changes
	all.Planned += n.Planned
	all.Lasted += n.Lasted
}

// playPart plays this process' share of the histories, until one is broken.
func playPart(t *testing.T) {
	list := seeds(t)
	for n := range *histories {
		list = append(list, *from+uint64(n))
	}
	var n totals
	enough := make(chan os.Signal, 1)
	signal.Notify(enough, os.Interrupt)
	parent := os.Getppid()
	for i := *part - 1; i < len(list) && len(enough) == 0 && os.Getppid() == parent; i += *parts {
		o := inBubble(t, list[i])
		n.add(o.totals)
		if o.err != nil {
			t.Errorf("\n%s\nseed %d: %v\nplay it again with: go test ./test/simulation -v -seed %d", o.log, list[i], o.err, list[i])
			break
		}
	}
	b, _ := json.Marshal(n)
	fmt.Println(totalsLine + string(b))
}

// inBubble plays one history under virtual time.
func inBubble(t *testing.T, seed uint64) (o outcome) {
	dir, err := os.MkdirTemp(memory(), "simulation")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(*testing.T) { o = play(seed, dir) })
	return o
}

// memory is a folder in memory where there is one, so that nothing waits for a disk.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// seeds are those of testdata/seeds.txt: one on a line, and what it found.
func seeds(t *testing.T) (list []uint64) {
	f, err := os.Open(filepath.Join("testdata", "seeds.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		n, err := strconv.ParseUint(line, 10, 64)
		if err != nil {
			t.Fatal(fmt.Errorf("testdata/seeds.txt: %w", err))
		}
		list = append(list, n)
	}
	return list
}

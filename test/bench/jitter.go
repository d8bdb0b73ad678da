package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// nap is what the jitter probe asks for.
const nap = time.Millisecond

// probe tells how much the machine keeps a program waiting that wants to run: it sleeps and measures how much longer
// that took. A failover of some tens of milliseconds cannot be measured on a machine that does something else meanwhile.
type probe struct {
	quit  chan struct{}
	ended sync.WaitGroup
	late  []time.Duration
}

func startProbe() *probe {
	p := &probe{quit: make(chan struct{})}
	p.ended.Go(func() {
		for {
			select {
			case <-p.quit:
				return
			default:
			}
			begun := time.Now()
			time.Sleep(nap)
			p.late = append(p.late, time.Since(begun)-nap)
		}
	})
	return p
}

// stop ends the probe and returns how late the latest 1 in 100 naps were, at the least.
func (p *probe) stop() time.Duration {
	close(p.quit)
	p.ended.Wait()
	if len(p.late) == 0 {
		return 0
	}
	slices.Sort(p.late)
	return p.late[len(p.late)*99/100]
}

// fsyncTime is how long it takes, in the median of some tries, until the disk of a directory has kept a page.
func fsyncTime(dir string) (time.Duration, error) {
	file := filepath.Join(dir, "fsync")
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer os.Remove(file)
	defer f.Close()
	var took []time.Duration
	page := make([]byte, os.Getpagesize())
	for range 11 {
		if _, err := f.Write(page); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		begun := time.Now()
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// epochs keeps in data_dir the highest epoch that this agent has seen of each group, so that a record which
// went back (a restored snapshot, a deleted prefix) is noticed after a restart too.
type epochs struct {
	path string
	mu   sync.Mutex
	seen map[string]uint64
	// writing is held while the file is written, and mu is not: a slow disk must not hold up whoever asks.
	writing sync.Mutex
}

func openEpochs(dir string) (*epochs, error) {
	e := &epochs{path: filepath.Join(dir, "epochs.json"), seen: map[string]uint64{}}
	b, err := os.ReadFile(e.path)
	switch {
	case os.IsNotExist(err):
		return e, nil
	case err != nil:
		return nil, fmt.Errorf("read the highest epochs seen: %w", err)
	}
	if err := json.Unmarshal(b, &e.seen); err != nil {
		return nil, fmt.Errorf("read the highest epochs seen: %s: %w", e.path, err)
	}
	return e, nil
}

func (e *epochs) get(group string) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[group]
}

// raise notes an epoch and writes the file, durably, when it is a new one.
func (e *epochs) raise(group string, epoch uint64) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	if epoch <= e.get(group) {
		return nil
	}
	next := maps.Clone(e.seen) // which only who writes changes
	next[group] = epoch
	b, _ := json.Marshal(next)
	if err := replaceFile(e.path, b); err != nil {
		return fmt.Errorf("write the highest epochs seen: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = next
	return nil
}

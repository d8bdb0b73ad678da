package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// servers keeps in data_dir which processes the servers are and whether they take writes, so that an agent that starts beside one
// that does not answer can end it. Without it, or when it cannot be read, nothing is known of such a server.
type servers struct {
	path string
	mu   sync.Mutex
	kept keptServers
	// writing is held while the file is written, and mu is not: groups look up what is kept at every step.
	writing sync.Mutex
}

type keptServers struct {
	// Boot is the boot of the machine that the processes are of.
	Boot string                `json:"boot"`
	Runs map[string]keptServer `json:"servers"`
}

type keptServer struct {
	RunID string `json:"run_id"`
	PID   int    `json:"pid"`
	// Started is when the server was started, since the boot; within a second or two.
	Started time.Duration `json:"started_ns"`
	// Open tells that it was ordered to take writes, and has not confirmed since that it takes none.
	Open bool `json:"open,omitempty"`
	// MinReplicas is the server's own min-replicas-to-write, while the agent has set another; nil while it has not.
	MinReplicas *int `json:"min_replicas_to_write,omitempty"`
}

func openServers(dir string) *servers {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	s := &servers{path: filepath.Join(dir, "servers.json")}
	b, err := os.ReadFile(s.path)
	if err == nil {
		err = json.Unmarshal(b, &s.kept)
	}
	if err != nil || s.kept.Boot != string(boot) || s.kept.Runs == nil {
		s.kept = keptServers{Boot: string(boot), Runs: map[string]keptServer{}}
	}
	return s
}

func (s *servers) get(node string) keptServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Runs[node]
}

// put keeps which run a server is and whether it is open, and says whether that is new and to be written.
func (s *servers) put(node string, run keptServer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.kept.Runs[node]
	switch {
	case run.RunID == "" || run.RunID == known.RunID && run.Open == known.Open:
		return false
	case run.RunID == known.RunID:
		known.Open = run.Open
		run = known
	}
	s.kept.Runs[node] = run
	return true
}

// keepMinReplicas keeps what a run had as its own min-replicas-to-write, or nil when it has it again.
func (s *servers) keepMinReplicas(node, runID string, own *int) error {
	s.mu.Lock()
	run := s.kept.Runs[node]
	if run.RunID != runID {
		s.mu.Unlock()
		return fmt.Errorf("%s is another run meanwhile", node)
	}
	run.MinReplicas = own
	s.kept.Runs[node] = run
	s.mu.Unlock()
	return s.write()
}

// write writes what is kept to the file.
func (s *servers) write() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	b, _ := json.Marshal(s.kept)
	s.mu.Unlock()
	return replaceFile(s.path, b)
}

package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
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
	// Group and Address are those of the node.
	Group   string `json:"group,omitempty"`
	Address string `json:"address,omitempty"`
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
	case run.RunID == "":
		return false
	case run.RunID == known.RunID:
		run.PID, run.Started, run.MinReplicas = known.PID, known.Started, known.MinReplicas
	}
	if run == known {
		return false
	}
	s.kept.Runs[node] = run
	return true
}

// abandoned names a server that may be open, and its process, that a configuration does not have, or has in another group or
// at another address; empty when there is none. Nobody would close it any more.
func (s *servers) abandoned(nodes []config.Node, now time.Duration) (node string, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, run := range s.kept.Runs {
		if run.Open && !has(nodes, name, run.Group, run.Address) && findProcess(run.PID, now-run.Started) != nil {
			return name, run.PID
		}
	}
	return "", 0
}

// has tells whether a configuration has a node in that group at that address. An empty address, of what was kept before there was one, is
// any.
func has(nodes []config.Node, name, group, address string) bool {
	return slices.ContainsFunc(nodes, func(c config.Node) bool {
		return c.Name == name && (address == "" || c.Group == group && c.Address == address)
	})
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

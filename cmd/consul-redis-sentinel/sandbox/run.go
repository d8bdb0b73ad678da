package sandbox

import (
	"os"
	"path/filepath"
)

// Run starts a further program on machine i: one that the sandbox knows nothing of. It runs in, and keeps its log in,
// the directory Dir/name, which may hold files already, and it ends with the sandbox.
func (s *Sandbox) Run(i int, name, path string, args ...string) (*Process, error) {
	dir := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := newProcess(s.machine(i), name, dir, path, args...)
	s.more = append(s.more, p)
	return p, p.Start()
}

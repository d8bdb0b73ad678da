package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// endLimit bounds the wait for a process that was sent SIGKILL; only one stuck in the kernel takes so long.
const endLimit = 30 * time.Second

// Process is one program of the sandbox. It may be started again after it has ended.
type Process struct {
	// Name is what people call it: "consul-1", "redis-2".
	Name string
	// LogFile has what it printed, of all its runs.
	LogFile string

	path string
	args []string
	on   func(f func() error) error // runs f on the process's machine
	env  []string                   // nil is this process's
	dir  string

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{}
	groups []int // process groups of all runs: a driver may outlive its agent for a moment
}

func newProcess(on func(func() error) error, name, dir, path string, args ...string) *Process {
	return &Process{Name: name, LogFile: filepath.Join(dir, name+".log"), on: on, path: path, args: args, dir: dir}
}

// Start runs the program. It is an error if it already runs.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("start %s: it already runs as process %d", p.Name, p.cmd.Process.Pid)
	}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, log, log
	// A group of its own keeps Ctrl-C in a terminal from ending it before the sandbox does, and lets the sandbox
	// end its children with it. The death signal ends it if this process is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.on(cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	p.cmd, p.done = cmd, done
	p.groups = append(p.groups, cmd.Process.Pid)
	return nil
}

// spawns are starts to be done on the one thread that lives as long as this process: the death signal of a child is
// sent when the thread that started it ends.
var spawns = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

func spawn(start func() error) error {
	result := make(chan error)
	spawns() <- func() { result <- start() }
	return <-result
}

func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Running tells whether the process runs; a stopped one does.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// PID is the id of the present or last run, 0 before the first.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Done is closed when the present run ends.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Signal sends a signal to the process alone, not to its children. A process that has ended is an error.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("send %v to %s: %w", sig, p.Name, os.ErrProcessDone)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("send %v to %s: %w", sig, p.Name, err)
	}
	return nil
}

// Kill ends the process as "kill -9" does and returns when it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait(endLimit)
}

// Stop halts the process (SIGSTOP); Cont lets it go on.
func (p *Process) Stop() error { return p.Signal(syscall.SIGSTOP) }

// Cont lets a stopped process go on.
func (p *Process) Cont() error { return p.Signal(syscall.SIGCONT) }

// Terminate asks the process to end (SIGTERM), returns when it has, and gives an error if it does not within limit.
func (p *Process) Terminate(limit time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.wait(limit)
}

func (p *Process) wait(limit time.Duration) error {
	done := p.Done()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s (process %d) has not ended within %v", p.Name, p.PID(), limit)
	}
}

// Restart ends the process with SIGKILL if it runs, and starts it again.
func (p *Process) Restart() error {
	if err := p.Kill(); err != nil {
		return err
	}
	return p.Start()
}

// end kills the process and whatever its runs have left, and returns when nothing of it is left.
func (p *Process) end() error {
	p.mu.Lock()
	groups := p.groups
	p.mu.Unlock()
	for _, g := range groups {
		_ = syscall.Kill(-g, syscall.SIGKILL)
	}
	if err := p.wait(endLimit); err != nil {
		return err
	}
	for _, g := range groups {
		for deadline := time.Now().Add(endLimit); syscall.Kill(-g, 0) == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("a child of %s (process group %d) has not ended within %v", p.Name, g, endLimit)
			}
		}
	}
	return nil
}

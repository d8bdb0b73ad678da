package hosts

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ipLimit bounds one call of the command ip, which takes milliseconds.
const ipLimit = 20 * time.Second

// namespace is a network namespace. It has no name and ends with this process, so it cannot be left behind.
type namespace struct {
	file *os.File
	jobs chan func()
}

// newNamespace makes a namespace and the thread that lives in it. The thread starts the processes of the host: the
// death signal of a child is sent when the thread that started it ends.
func newNamespace() (*namespace, error) {
	n := &namespace{jobs: make(chan func())}
	made := make(chan error)
	go func() {
		// The thread is never given back: it ends with the goroutine.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
		for job := range n.jobs {
			job()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// path names the namespace to the command ip.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// do runs f on the thread of the namespace: sockets that it makes and processes that it starts belong there. What
// takes long keeps the others waiting.
func (n *namespace) do(f func() error) error {
	result := make(chan error)
	n.jobs <- func() { result <- f() }
	return <-result
}

// dial connects from within the namespace. Go waits for the connection in any thread; only the socket must be made
// here, so the thread borrowed for it is given back afterwards.
func (n *namespace) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- result{nil, err}
			return
		}
		defer own.Close()
		var r result
		if r.err = unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); r.err == nil {
			r.conn, r.err = new(net.Dialer).DialContext(ctx, network, addr)
		}
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // else the thread ends with this goroutine
		}
		done <- r
	}()
	r := <-done
	return r.conn, r.err
}

func (n *namespace) close() {
	close(n.jobs)
	_ = n.file.Close()
}

// ip runs the command ip where this thread is.
func ip(args string) error {
	ctx, cancel := context.WithTimeout(context.Background(), ipLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ipBatch runs several commands of ip, in order, until one fails.
func ipBatch(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), ipLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %w: %s\n%s", err, strings.TrimSpace(string(out)), strings.Join(lines, "\n"))
	}
	return nil
}

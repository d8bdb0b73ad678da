package hosts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the process that Enter has made of the first one.
const insideEnv = "CRS_TEST_HOSTS_INSIDE"

// ErrUnsupported is wrapped by what Enter returns on a machine that cannot have hosts. The text says what is missing.
var ErrUnsupported = errors.New("hosts need Linux, root, network namespaces, /dev/net/tun and the command ip")

// Enter moves the whole process into a network namespace and a mount namespace of its own, which is the place in the
// middle of all hosts; TestMain calls it first. The process executes itself again, since only so do all its threads
// get there. What is mounted, routed and named there is gone with the process, however it ends.
func Enter() error {
	if os.Getenv(insideEnv) != "" {
		return prepare()
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: not root", ErrUnsupported)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		runtime.UnlockOSThread() // nothing has changed
		return fmt.Errorf("%w: unshare: %w", ErrUnsupported, err)
	}
	// The name stays as it was: "go test" looks for its own flags only in the arguments.
	return fmt.Errorf("execute %s again: %w", self, syscall.Exec(self, os.Args, append(os.Environ(), insideEnv+"=1")))
}

// prepare makes a router of the namespace that Enter has led into.
func prepare() error {
	// What is mounted here is to be seen here alone.
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%w: make the mounts private: %w", ErrUnsupported, err)
	}
	// All hosts have addresses of one network and reach each other through here, so no path looks right to rp_filter;
	// and a redirect would tell them what is not so.
	for _, set := range []struct{ name, value string }{
		{"ip_forward", "1"},
		{"conf/all/rp_filter", "0"}, {"conf/default/rp_filter", "0"},
		{"conf/all/send_redirects", "0"}, {"conf/default/send_redirects", "0"},
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv4", set.name), []byte(set.value), 0); err != nil {
			return fmt.Errorf("%w: make this namespace a router: %w", ErrUnsupported, err)
		}
	}
	return ip("link set lo up")
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// serverProcess is the process of a server, if it is one of this machine.
type serverProcess struct {
	pid int
	// root is put before a path to see what the server sees: it may live in a mount namespace of its own. Empty
	// when this process may not look there.
	root string
	// err says why the process of that number is not the server.
	err error
}

// findServer finds the process that INFO names. A number alone proves nothing: a server in a container counts its own
// processes, and a server on another machine has other ones. So the process must bear the program's name.
func findServer(info map[string]string) serverProcess {
	p := serverProcess{pid: int(number(info["process_id"]))}
	name := filepath.Base(info["executable"])
	comm, err := os.ReadFile(p.proc("comm"))
	switch {
	case p.pid <= 0 || errors.Is(err, os.ErrNotExist):
		p.err = fmt.Errorf("it has no process %d on this machine", p.pid)
		return p
	case err != nil:
		p.err = err
		return p
	}
	// The kernel keeps 15 bytes of the name.
	if found := strings.TrimSpace(string(comm)); found != name[:min(15, len(name))] {
		p.err = fmt.Errorf("process %d of this machine is %s, not %s", p.pid, found, name)
		return p
	}
	if _, err := os.Stat(p.proc("root") + "/"); err == nil {
		p.root = p.proc("root")
	}
	return p
}

func (p serverProcess) proc(file string) string { return fmt.Sprintf("/proc/%d/%s", p.pid, file) }

// path is where this process finds a file of the server.
func (p serverProcess) path(file string) string { return p.root + file }

// owner reads whose process it is; see proc_pid_status(5).
func (p serverProcess) owner() (credentials, error) {
	var c credentials
	b, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return c, err
	}
	ids := func(line string) (all []uint32) {
		for _, word := range strings.Fields(line)[1:] {
			n, _ := strconv.ParseUint(word, 10, 32)
			all = append(all, uint32(n))
		}
		return all
	}
	uids := []uint32(nil)
	for line := range strings.Lines(string(b)) {
		switch {
		case strings.HasPrefix(line, "Uid:"):
			uids = ids(line)
		case strings.HasPrefix(line, "Gid:"), strings.HasPrefix(line, "Groups:"):
			c.groups = append(c.groups, ids(line)...)
		}
	}
	if len(uids) < 2 {
		return c, fmt.Errorf("%s has an unknown form", p.proc("status"))
	}
	c.uid = uids[1] // the effective one
	return c, nil
}

func checkProcess(_ context.Context, p *patient) finding {
	say, mend := bad, `run the agent as root or as the server's user, or set on_stuck = "leave"`
	if p.group.OnStuck != "kill" {
		say, mend = warning, `set on_stuck = "kill", and run the agent as root or as the server's user`
	}
	if p.process.err != nil {
		return say("run the agent where the server's process can be seen: on its machine, in its pid namespace",
			"a server that is stuck cannot be killed: %v", p.process.err)
	}
	if err := unix.Kill(p.process.pid, 0); err != nil {
		return say(mend, "this user may not kill process %d: %v", p.process.pid, err)
	}
	if p.group.OnStuck != "kill" {
		return warning(mend, `on_stuck is %q: a stopped server that goes on may answer what its clients have queued`, p.group.OnStuck)
	}
	return fine("this user may kill process %d", p.process.pid)
}

// checkRescue looks at the way of a data set: from the server's memory to its RDB file to rescue_dir.
func checkRescue(_ context.Context, p *patient) finding {
	dir, ok := p.setting("dir")
	if !ok || p.process.err != nil {
		return finding{} // which the checks of rights and process say
	}
	if status := p.info["rdb_last_bgsave_status"]; status != "ok" {
		return bad("look into the server's log", "the server could not save its data set last time: %s", status)
	}
	if owner, err := p.process.owner(); err == nil {
		if err := owner.mayWrite(p.process.path(dir)); err != nil {
			return bad(fmt.Sprintf("let user %d write there, or set dir", owner.uid), "the server cannot save into %s: %v", dir, err)
		}
	}
	// The agent reads by the path that the server says.
	file := filepath.Join(dir, p.settings["dbfilename"])
	if err := unix.Access(dir, unix.X_OK); err != nil {
		return bad("let the agent's user enter it", "this user may not enter %s, where the server saves: %v", dir, err)
	}
	if err := unix.Access(file, unix.R_OK); err != nil && !errors.Is(err, os.ErrNotExist) {
		return bad("let the agent's user read it, by the server's group and a umask of 027 in its unit", "this user may not read %s: %v", file, err)
	}
	if room, known := freeBytes(p.rescueDir); known && room < number(p.info["used_memory"]) {
		return warning("make room there, or set rescue_dir", "%s has room for %s, the server's data takes up to %s",
			p.rescueDir, size(room), size(number(p.info["used_memory"])))
	}
	return fine("this user can read what the server saves into %s", dir)
}

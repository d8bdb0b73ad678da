package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// configFile is the configuration file of a server, as far as it can be read from here.
type configFile struct {
	path string
	// real is where this process finds it, which is another path when the server lives in a mount namespace.
	real string
	text []byte
	err  error
}

func readConfigFile(path string, process serverProcess) configFile {
	f := configFile{path: path}
	switch {
	case path == "":
		f.err = errors.New("the server was started without a configuration file")
	case process.err != nil:
		f.err = fmt.Errorf("its file %s cannot be looked at: %w", path, process.err)
	default:
		f.real = process.path(path)
		f.text, f.err = os.ReadFile(f.real)
	}
	return f
}

// replicaOf is what the file says of the server's master, "" if nothing. Redis takes the last line.
func (f configFile) replicaOf() string {
	found := ""
	for line := range strings.Lines(string(f.text)) {
		words := strings.Fields(strings.ToLower(line))
		if len(words) >= 3 && (words[0] == "replicaof" || words[0] == "slaveof") {
			found = strings.Trim(words[1], `"'`) + " " + strings.Trim(words[2], `"'`)
		}
	}
	if found == "no one" {
		return ""
	}
	return found
}

// rewritable says why the server cannot rewrite its file: Redis writes a new one beside it and renames it.
func (f configFile) rewritable(process serverProcess) finding {
	if f.path == "" {
		return bad("start the server with a configuration file that says replicaof 127.0.0.1 1",
			"the server was started without a configuration file, so nothing makes it start frozen")
	}
	if process.err != nil {
		return warning("run doctor on the machine of the server",
			"whether the server can rewrite %s cannot be told: %v", f.path, process.err)
	}
	owner, err := process.owner()
	if err != nil {
		return warning("run doctor as root", "whether the server can rewrite %s cannot be told: %v", f.path, err)
	}
	for _, path := range []string{process.path(f.path), process.path(filepath.Dir(f.path))} {
		shown := strings.TrimPrefix(path, process.root)
		err := owner.mayWrite(path)
		switch {
		case errors.Is(err, unix.EROFS):
			return bad("let it be written: ReadWritePaths=-"+filepath.Dir(f.path)+" in the systemd unit, or another mount",
				"the server cannot rewrite %s: the file system of %s is read-only to it", f.path, shown)
		case errors.Is(err, fs.ErrPermission):
			return bad(fmt.Sprintf("chown %d %s, or start it with a file elsewhere: Redis writes a new file beside the old one", owner.uid, shown),
				"the server cannot rewrite %s: its user %d may not write %s", f.path, owner.uid, shown)
		case err != nil:
			return warning("run doctor as root", "whether the server can rewrite %s cannot be told: %v", f.path, err)
		}
	}
	return fine("user %d can rewrite %s", owner.uid, f.path)
}

func checkConfigFile(_ context.Context, p *patient) finding { return p.file.rewritable(p.process) }

func checkFrozen(_ context.Context, p *patient) finding {
	want := strings.ReplaceAll(plugin.FrozenAddress, ":", " ")
	if p.file.path == "" {
		return finding{} // there is no file, as the check of it says
	}
	mend := "write replicaof " + want + " into " + p.file.path
	if p.file.err != nil {
		return warning("run doctor on the machine of the server, as a user who may read the file; or see to it that it has the line replicaof "+want,
			"whether it starts frozen cannot be told: %v", p.file.err)
	}
	switch says := p.file.replicaOf(); {
	case says == want:
		return fine("%s says replicaof %s", p.file.path, want)
	case p.file.rewritable(p.process).Grade == gradeOK && p.rights.has("+config|rewrite"):
		return warning(mend+", or start the agent, which does", "%s does not say frozen, but %s", p.file.path, fileSays(says))
	default:
		return bad(mend, "%s does not say frozen, but %s", p.file.path, fileSays(says))
	}
}

func fileSays(replicaOf string) string {
	if replicaOf == "" {
		return "lets the server start as a master"
	}
	host, port, _ := strings.Cut(replicaOf, " ")
	return "replicaof " + net.JoinHostPort(host, port)
}

// credentials are those of the server's process.
type credentials struct {
	uid    uint32
	groups []uint32
}

// mayWrite tells whether a process with these credentials may write to a file or into a folder. It does not know of
// access control lists and security modules.
func (c credentials) mayWrite(path string) error {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return err
	}
	var fsys unix.Statfs_t
	if err := unix.Statfs(path, &fsys); err == nil && fsys.Flags&unix.ST_RDONLY != 0 {
		return unix.EROFS
	}
	need := uint32(0o2)
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		need = 0o3
	}
	mode := s.Mode
	switch {
	case c.uid == 0:
		return nil
	case s.Uid == c.uid:
		mode >>= 6
	case slices.Contains(c.groups, s.Gid):
		mode >>= 3
	}
	if mode&need != need {
		return fs.ErrPermission
	}
	return nil
}

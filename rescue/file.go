package rescue

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Unknown is File.Beyond when it cannot be known how much a failover discarded.
const Unknown = -1

// ErrNotFound: there is no such data set.
var ErrNotFound = errors.New("there is no such data set")

// File is a data set of a deposed master, and what is known of it. Offsets are replication offsets, in bytes.
type File struct {
	// Name is the RDB file's, without the folder; Path is where it is.
	Name string `json:"name"`
	Path string `json:"-"`

	Group string `json:"group"`
	Node  string `json:"node"`
	// RunID is the run of the server that was deposed.
	RunID string `json:"run_id"`
	// Epoch is the one at whose start it was deposed: the new master is of this epoch.
	Epoch uint64 `json:"epoch"`
	// ReplID is the replication id of the data set's history.
	ReplID string `json:"replication_id"`
	// FirstOffset is the first that is not in the new master's history, LastOffset the data set's last.
	FirstOffset int64 `json:"first_offset"`
	LastOffset  int64 `json:"last_offset"`
	// Beyond is how many bytes of replication stream the new master's history lacks, or Unknown; then Reason says
	// why ("unknown: …"), and FirstOffset means nothing. Bytes are not writes: a master's pings are bytes too.
	Beyond int64  `json:"bytes_beyond"`
	Reason string `json:"reason,omitempty"`
	// Keys in the data set.
	Keys int64 `json:"keys"`

	// Size of the RDB file in bytes, and its SHA-256 in hexadecimal digits.
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"`
	SavedAt time.Time `json:"saved_at"`

	// Problem says what is wrong with the two files, empty when nothing is. It is not kept.
	Problem string `json:"problem,omitempty"`
}

// Verify reads the whole file and compares it with what was saved.
func (f File) Verify() error {
	if f.Problem != "" {
		return errors.New(f.Problem)
	}
	size, sum, err := measure(f.Path)
	switch {
	case err != nil:
		return fmt.Errorf("read the data set: %w", err)
	case size != f.Size || sum != f.SHA256:
		return fmt.Errorf("%s is not what was saved: %d bytes with SHA-256 %s instead of %d with %s", f.Name, size, sum, f.Size, f.SHA256)
	}
	return nil
}

// List is every data set in the folder, the newest first. One whose JSON file is missing or unreadable is among them,
// with Problem set and the time of its file.
func (s *Store) List() ([]File, error) {
	names, err := s.names(dataSuffix)
	if err != nil {
		return nil, fmt.Errorf("list the rescue folder: %w", err)
	}
	files := make([]File, 0, len(names))
	for _, name := range names {
		files = append(files, s.read(name))
	}
	slices.SortFunc(files, func(a, b File) int {
		if c := b.SavedAt.Compare(a.SavedAt); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return files, nil
}

// Find is the data set with that name, or with the only name that begins so. The error is ErrNotFound, or says which
// names begin so.
func (s *Store) Find(name string) (File, error) {
	names, err := s.names(dataSuffix)
	if err != nil {
		return File{}, fmt.Errorf("list the rescue folder: %w", err)
	}
	if slices.Contains(names, name) {
		return s.read(name), nil
	}
	found := slices.DeleteFunc(names, func(n string) bool { return name == "" || !strings.HasPrefix(n, name) })
	switch len(found) {
	case 0:
		return File{}, fmt.Errorf("%w: %q in %s", ErrNotFound, name, s.dir)
	case 1:
		return s.read(found[0]), nil
	}
	return File{}, fmt.Errorf("%q can be any of %s", name, strings.Join(found, ", "))
}

// names are the regular files of the folder with that ending.
func (s *Store) names(suffix string) ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// read reads what is known of the data set with that name.
func (s *Store) read(name string) File {
	path := filepath.Join(s.dir, name)
	f := File{Beyond: Unknown}
	b, err := os.ReadFile(metaPath(path))
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && (f.SHA256 == "" || f.SavedAt.IsZero()) {
		err = errors.New("it says neither what was saved nor when")
	}
	if err != nil {
		f = File{Beyond: Unknown, Problem: fmt.Sprintf("what it is cannot be told: %s: %v", filepath.Base(metaPath(path)), plain(err))}
	}
	f.Name, f.Path = name, path
	info, err := os.Stat(path)
	switch {
	case err != nil && f.Problem == "":
		f.Problem = fmt.Sprintf("the data set cannot be read: %v", plain(err))
	case err == nil && f.Problem != "":
		f.Size, f.SavedAt = info.Size(), info.ModTime().UTC()
	case err == nil && info.Size() != f.Size:
		f.Problem = fmt.Sprintf("the data set has %d bytes, %d were saved", info.Size(), f.Size)
	}
	return f
}

// plain leaves the path out of an error of a file.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func metaPath(data string) string { return strings.TrimSuffix(data, dataSuffix) + metaSuffix }

// maxPart is how long a part of a name may be, so that the whole, with what a driver adds while it writes, stays
// below the 255 bytes that file systems take.
const maxPart = 64

// fileName makes a name that no two data sets share: "redis+redis-1+7+<run id>.rdb".
func fileName(group, node string, epoch uint64, runID string) string {
	return fmt.Sprintf("%s+%s+%d+%s%s", part(group), part(node), epoch, part(runID), dataSuffix)
}

// part writes any string with the letters that are safe in a file name; a long one is cut, and told from others by a
// hash.
func part(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', i > 0 && (c == '-' || c == '.'):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > maxPart {
		return fmt.Sprintf("%s%%%x", b.String()[:maxPart-17], sha256.Sum256([]byte(s)))[:maxPart]
	}
	return b.String()
}

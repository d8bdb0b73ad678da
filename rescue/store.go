// Package rescue keeps the data sets of deposed masters: what a failover discarded is in a file before a resync takes
// it from the server. See "Return" and G7 in docs/architecture.md.
//
// A data set is an RDB file with a JSON file of the same name beside it, which says what it is. The JSON file is
// written last, so where it is, the data set is complete.
package rescue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	dataSuffix = ".rdb"
	metaSuffix = ".json"
	// tempSuffix is in the name of whatever is not complete. A driver may put more after it while it writes.
	tempSuffix = ".tmp"
)

// Store is a folder of data sets. One agent writes to it; its methods may be called from several goroutines as long
// as no two of them commit the same data set.
type Store struct {
	dir  string
	keep time.Duration
}

// Open makes the folder if need be (mode 0700) and removes what a crash left incomplete. It is for the agent alone:
// it would take a file away that another process is writing. Data sets are kept for keep, or for ever when that is 0.
//
// A folder in which other users may write is refused: they could put other data in the place of what was saved.
func Open(dir string, keep time.Duration) (*Store, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("open the rescue folder: %q is not an absolute path", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the rescue folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the rescue folder: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("open the rescue folder: others may write in %s (mode %04o); make it 0700", dir, mode)
	}
	s := &Store{dir: dir, keep: keep}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("open the rescue folder: %w", err)
	}
	return s, nil
}

// View looks into a folder that an agent may be using: it makes and removes nothing, and is not for Commit and Prune.
func View(dir string) (*Store, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the rescue folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open the rescue folder: %s is not a folder", dir)
	}
	return &Store{dir: dir}, nil
}

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

// sweep removes incomplete files.
func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// Only names of ours: the folder may hold files of the operator.
		if e.Type().IsRegular() && (strings.Contains(e.Name(), dataSuffix+tempSuffix) || strings.HasSuffix(e.Name(), metaSuffix+tempSuffix)) {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Path is where the data set of a deposed master is kept in the end, and where it is to be written before Commit. The
// two are in the same folder, and are the same for the same arguments. epoch is the one at whose start the master
// was deposed, runID the run of the server.
func (s *Store) Path(group, node string, epoch uint64, runID string) (final, temporary string) {
	final = filepath.Join(s.dir, fileName(group, node, epoch, runID))
	return final, final + tempSuffix
}

// Commit gives the data set that was written to the temporary path its name, durably, with what f says of it beside
// it, and returns f completed: Name, Path, Size, SHA256, and SavedAt unless it was given. When it returns an error, the
// server must not be resynced. It may be called again after a new save; the new data set takes the place of the old.
// It reads the whole file.
func (s *Store) Commit(f File) (File, error) {
	final, temporary := s.Path(f.Group, f.Node, f.Epoch, f.RunID)
	f.Name, f.Path, f.Problem = filepath.Base(final), final, ""
	if f.SavedAt.IsZero() {
		f.SavedAt = time.Now()
	}
	f.SavedAt = f.SavedAt.UTC().Truncate(time.Millisecond)
	err := seal(temporary)
	if err == nil {
		f.Size, f.SHA256, err = measure(temporary)
	}
	if err != nil {
		return File{}, fmt.Errorf("save %s: %w", f.Name, err)
	}
	if err := s.place(f, temporary); err != nil {
		return File{}, fmt.Errorf("save %s: %w", f.Name, err)
	}
	return f, nil
}

// seal takes a file from the eyes of others and brings it to the disk.
func seal(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Chmod(0o600); err != nil {
		return err
	}
	return file.Sync()
}

func measure(path string) (size int64, sum string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	hash := sha256.New()
	if size, err = io.Copy(hash, file); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(hash.Sum(nil)), nil
}

// place puts both files where they belong. The JSON file of a data set that is replaced goes first, so that no crash
// leaves one that speaks of other data.
func (s *Store) place(f File, temporary string) error {
	meta := metaPath(f.Path)
	if err := os.Remove(meta); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(temporary, f.Path); err != nil {
		return err
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := writeDurably(meta+tempSuffix, append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(meta+tempSuffix, meta); err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func writeDurably(path string, b []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(b); err != nil {
		return err
	}
	return file.Sync()
}

// Prune removes the data sets that were saved longer ago than they are to be kept, and says which. It never removes one
// whose JSON file is missing or cannot be read: only the operator knows what that is. After an error the rest was
// still looked at.
func (s *Store) Prune(now time.Time) ([]File, error) {
	if s.keep <= 0 {
		return nil, nil
	}
	// By JSON files: one that a crash left without its data set goes as well.
	metas, err := s.names(metaSuffix)
	if err != nil {
		return nil, fmt.Errorf("prune the rescue folder: %w", err)
	}
	var removed []File
	var errs []error
	for _, name := range metas {
		f := s.read(strings.TrimSuffix(name, metaSuffix) + dataSuffix)
		if f.SHA256 == "" || now.Sub(f.SavedAt) <= s.keep {
			continue
		}
		// The JSON file last: without it, what remains would never be removed.
		err := os.Remove(f.Path)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			err = os.Remove(metaPath(f.Path))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("prune the rescue folder: %w", err))
			continue
		}
		removed = append(removed, f)
	}
	return removed, errors.Join(errs...)
}

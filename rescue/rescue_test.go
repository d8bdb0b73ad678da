package rescue

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	runA = "3b1f00000000000000000000000000000000000a"
	runB = "3b1f00000000000000000000000000000000000b"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, keep time.Duration) *Store {
	t.Helper()
	s, err := Open(dir, keep)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// save writes a data set as a driver does and commits it.
func save(t *testing.T, s *Store, f File, data string) File {
	t.Helper()
	_, temporary := s.Path(f.Group, f.Node, f.Epoch, f.RunID)
	if err := os.WriteFile(temporary, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := s.Commit(f)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func list(t *testing.T, s *Store) []File {
	t.Helper()
	files, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestCommit(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "deeper", "rescue"), time.Hour)
	f := File{Group: "redis", Node: "redis-1", RunID: runA, Epoch: 7, ReplID: "aa", FirstOffset: 101, LastOffset: 150, Beyond: 50,
		Keys: 3, SavedAt: start}
	saved := save(t, s, f, "REDIS0011")
	if saved.Name != "redis+redis-1+7+"+runA+".rdb" || saved.Path != filepath.Join(s.Dir(), saved.Name) || saved.Size != 9 ||
		saved.SHA256 != "aa0c5ee432abdbcd84e07a173d094cb54ea17c2561aa8a43ec9c214338966573" {
		t.Errorf("saved as %+v", saved)
	}
	if found := list(t, s); len(found) != 1 || found[0] != saved {
		t.Errorf("the list is\n%+v, want\n%+v", found, saved)
	}
	if err := saved.Verify(); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]os.FileMode{s.Dir(): 0o700 | os.ModeDir, saved.Path: 0o600, metaPath(saved.Path): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want mode %v", path, info.Mode(), err, want)
		}
	}
	if _, temporary := s.Path("redis", "redis-1", 7, runA); exists(temporary) || exists(metaPath(saved.Path)+tempSuffix) {
		t.Error("a temporary file is left")
	}

	// Once more, as after a restart of the agent: the new data takes the place of the old.
	again := save(t, s, f, "REDIS0011 and more")
	if found := list(t, s); len(found) != 1 || found[0] != again || again.Size != 18 || again.Verify() != nil {
		t.Errorf("the list is\n%+v, want\n%+v", found, again)
	}
}

func TestTheTimeIsToldWhenItIsNotGiven(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	before := time.Now().Truncate(time.Millisecond)
	f := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Beyond: Unknown, Reason: "unknown: the run is not the one recorded"}, "x")
	if f.SavedAt.Before(before) || f.SavedAt.After(time.Now()) {
		t.Errorf("saved at %v", f.SavedAt)
	}
	if found := list(t, s); len(found) != 1 || found[0] != f {
		t.Errorf("the list is\n%+v, want\n%+v", found, f)
	}
}

func TestNothingIsCommittedWithoutData(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	if _, err := s.Commit(File{Group: "redis", Node: "a", RunID: runA}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if found := list(t, s); len(found) != 0 {
		t.Errorf("the list is %+v", found)
	}
}

// What a crash leaves at any step of a save is swept, or replaced by the next save of the same data; never is it told as
// a complete data set.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, time.Hour)
	f := File{Group: "redis", Node: "a", RunID: runA, Epoch: 2, SavedAt: start}
	kept := save(t, s, File{Group: "redis", Node: "b", RunID: runB, Epoch: 1, SavedAt: start}, "kept")
	final, temporary := s.Path("redis", "a", 2, runA)
	mine := filepath.Join(dir, "notes.tmp")
	for _, path := range []string{temporary, temporary + ".123.part", metaPath(final) + tempSuffix, mine} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if view, err := View(dir); err != nil || len(list(t, view)) != 1 || !exists(temporary) {
		t.Errorf("a view changes what an agent is writing: %v", err)
	}
	s = open(t, dir, time.Hour)
	if exists(temporary) || exists(temporary+".123.part") || exists(metaPath(final)+tempSuffix) {
		t.Error("incomplete files were not swept")
	}
	if !exists(mine) {
		t.Error("a file of somebody else was swept")
	}
	if found := list(t, s); len(found) != 1 || found[0] != kept {
		t.Errorf("the list is %+v", found)
	}

	// The last step, the JSON file, is missing.
	if err := os.WriteFile(final, []byte("whole, but who knows"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, time.Hour)
	if found, err := s.Find(filepath.Base(final)); err != nil || !strings.Contains(found.Problem, "no such file") || found.Verify() == nil {
		t.Errorf("found %+v, %v", found, err)
	}
	if saved := save(t, s, f, "whole"); saved.Verify() != nil || len(list(t, s)) != 2 {
		t.Errorf("not saved anew: %+v", list(t, s))
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, time.Hour)
	old := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 1, SavedAt: start.Add(-time.Hour - time.Second)}, "old")
	young := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 2, SavedAt: start.Add(-time.Hour)}, "young")
	broken := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 3, SavedAt: start.Add(-24 * time.Hour)}, "broken")
	lacking := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 4, SavedAt: start.Add(-24 * time.Hour)}, "lacking")
	empty := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 5, SavedAt: start.Add(-24 * time.Hour)}, "empty")
	moved := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 6, SavedAt: start.Add(-24 * time.Hour)}, "moved")
	if err := errors.Join(os.WriteFile(metaPath(broken.Path), []byte("{"), 0o600), os.Remove(metaPath(lacking.Path)),
		os.WriteFile(metaPath(empty.Path), []byte("{}"), 0o600), os.Remove(moved.Path)); err != nil {
		t.Fatal(err)
	}
	forever := open(t, dir, 0)
	if removed, err := forever.Prune(start); err != nil || len(removed) != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	removed, err := s.Prune(start)
	if err != nil || len(removed) != 2 || removed[0] != old || removed[1].Name != moved.Name {
		t.Errorf("removed %+v, %v", removed, err)
	}
	for _, gone := range []File{old, moved} {
		if exists(gone.Path) || exists(metaPath(gone.Path)) {
			t.Errorf("%s is still there", gone.Name)
		}
	}
	for _, f := range []File{young, broken, lacking, empty} {
		if !exists(f.Path) {
			t.Errorf("%s is gone", f.Name)
		}
	}
	if removed, err := s.Prune(start); err != nil || len(removed) != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
}

func TestListAndFind(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	b := save(t, s, File{Group: "redis", Node: "b", RunID: runB, Epoch: 2, SavedAt: start}, "b")
	a := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 2, SavedAt: start}, "a")
	newest := save(t, s, File{Group: "redis", Node: "a", RunID: runA, Epoch: 3, SavedAt: start.Add(time.Minute)}, "c")
	if found := list(t, s); !slices.Equal(found, []File{newest, a, b}) {
		t.Errorf("the list is %+v", found)
	}
	for name, want := range map[string]File{a.Name: a, "redis+b": b, "redis+a+3": newest} {
		if found, err := s.Find(name); err != nil || found != want {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
	}
	for _, name := range []string{"", "nothing", "../" + a.Name} {
		if _, err := s.Find(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.Find("redis+a"); err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), newest.Name) {
		t.Errorf("ambiguous: %v", err)
	}
}

func TestADataSetThatChanged(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	f := save(t, s, File{Group: "redis", Node: "a", RunID: runA, SavedAt: start}, "abc")
	write := func(text string) File {
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return list(t, s)[0]
	}
	if changed := write("abd"); changed.Problem != "" || changed.Verify() == nil {
		t.Error("the same length with other bytes is taken for what was saved")
	}
	if changed := write("ab"); !strings.Contains(changed.Problem, "has 2 bytes, 3 were saved") {
		t.Errorf("problem: %q", changed.Problem)
	}
}

// Every pair of names gives a file name of its own, in the folder itself, that a file system takes, with what a driver
// adds to it while it writes.
func TestNames(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	names := []string{"redis", "redis+a", "a", "redis/a", "..", ".", "", "-rf", "ä", "a b", "a\x00b", "%2F", "/", "A",
		strings.Repeat("x", 300), strings.Repeat("x", 299), strings.Repeat("/", 64), strings.Repeat("/", 63), strings.Repeat("y", maxPart)}
	seen := map[string]string{}
	for _, group := range names {
		for _, node := range names {
			final, temporary := s.Path(group, node, 1<<64-1, strings.Repeat("é", 99))
			base := filepath.Base(final)
			if filepath.Dir(final) != s.Dir() || filepath.Dir(temporary) != s.Dir() || len(temporary)-len(s.Dir()) > 235 ||
				strings.HasPrefix(base, "-") || strings.HasPrefix(base, ".") {
				t.Fatalf("%q, %q: %s", group, node, final)
			}
			if before, ok := seen[final]; ok {
				t.Errorf("%q, %q and %s have the same name", group, node, before)
			}
			seen[final] = group + ", " + node
		}
	}
	for _, name := range names {
		if f := save(t, s, File{Group: name, Node: name, RunID: name, SavedAt: start}, name); f.Verify() != nil {
			t.Errorf("%q: %v", name, f.Verify())
		}
	}
	if len(list(t, s)) != len(names) {
		t.Errorf("%d data sets instead of %d", len(list(t, s)), len(names))
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	shared, file := filepath.Join(dir, "shared"), filepath.Join(dir, "file")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o770), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"rescue": "not an absolute path", shared: "others may write in", file: "not a directory"} {
		if _, err := Open(path, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{file, filepath.Join(dir, "nothing")} {
		if _, err := View(path); err == nil {
			t.Errorf("%s can be viewed", path)
		}
	}
}

// The JSON file is for scripts too: its names are a promise.
func TestTheNamesInTheJSONFile(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	f := save(t, s, File{Group: "g", Node: "n", RunID: "r", Beyond: Unknown, Reason: "unknown: because", SavedAt: start}, "")
	b, err := os.ReadFile(metaPath(f.Path))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"name", "group", "node", "run_id", "epoch", "replication_id", "first_offset", "last_offset",
		"bytes_beyond", "reason", "keys", "size", "sha256", "saved_at"} {
		if _, ok := m[name]; !ok {
			t.Errorf("%s is missing in %s", name, b)
		}
		delete(m, name)
	}
	if len(m) > 0 {
		t.Errorf("and what are %v?", m)
	}
}

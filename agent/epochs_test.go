package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEpochsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	e, err := openEpochs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []uint64{3, 7, 5} {
		if err := e.raise("redis", epoch); err != nil {
			t.Fatal(err)
		}
	}
	e, err = openEpochs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.get("redis"); got != 7 {
		t.Errorf("highest epoch after a restart = %d, want 7", got)
	}
	if got := e.get("sessions"); got != 0 {
		t.Errorf("highest epoch of a group never seen = %d, want 0", got)
	}
}

func TestEpochsRefuseABrokenFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "epochs.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openEpochs(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name the file %s", err, path)
	}
}

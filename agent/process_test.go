package agent

import (
	"os/exec"
	"testing"
)

func TestProcess(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, ok := findProcess(cmd.Process.Pid)
	if !ok || p.ended() {
		t.Fatalf("findProcess(%d) = %+v, %v: want the living process", cmd.Process.Pid, p, ok)
	}
	if state, _, ok := p.stat(); !ok || state == 'Z' {
		t.Errorf("stat = %c, %v", state, ok)
	}

	other := process{pid: p.pid, start: p.start + 1}
	if !other.ended() {
		t.Error("a process that started at another time has not ended, though its number is another's now")
	}
	if err := other.kill(t.Context()); err != nil || p.ended() {
		t.Errorf("kill of an earlier process: %v, ended the later one: %v", err, p.ended())
	}

	if err := p.kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !p.ended() {
		t.Error("kill returned before the process had ended")
	}
	_ = cmd.Wait()
	if !p.ended() {
		t.Error("a process that was reaped has not ended")
	}
	if (process{}).ended() {
		t.Error("an unknown process has ended")
	}
	if err := (process{}).kill(t.Context()); err == nil {
		t.Error("killed an unknown process")
	}
}

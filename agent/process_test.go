package agent

import (
	"os/exec"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if p := findProcess(cmd.Process.Pid, time.Hour); p != nil {
		t.Errorf("found %+v for a server that has run for an hour", p)
	}
	p, ok := findProcess(cmd.Process.Pid, 0).(process)
	if !ok || p.Ended() {
		t.Fatalf("findProcess(%d) = %+v, %v: want the living process", cmd.Process.Pid, p, ok)
	}
	if state, _, ok := p.Stat(); !ok || state == 'Z' {
		t.Errorf("stat = %c, %v", state, ok)
	}

	other := process{pid: p.pid, start: p.start + 1}
	if !other.Ended() {
		t.Error("a process that started at another time has not ended, though its number is another's now")
	}
	if err := other.Kill(t.Context()); err != nil || p.Ended() {
		t.Errorf("kill of an earlier process: %v, ended the later one: %v", err, p.Ended())
	}

	if err := p.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !p.Ended() {
		t.Error("kill returned before the process had ended")
	}
	_ = cmd.Wait()
	if !p.Ended() {
		t.Error("a process that was reaped has not ended")
	}
	if again := findProcess(cmd.Process.Pid, 0); again != nil {
		t.Errorf("found %+v, which has ended", again)
	}
}

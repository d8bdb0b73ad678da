package plugintest

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestStartRedisKillRestart(t *testing.T) {
	s := StartRedis(t, WithPassword("geheim"))
	first, run := s.PID(), s.Info("run_id")
	if run == "" || s.Info("config_file") != s.ConfigFile() {
		t.Fatalf("run id %q, configuration file %q", run, s.Info("config_file"))
	}
	s.Restart()
	if s.PID() == first || s.Info("run_id") == run {
		t.Fatalf("still process %d and run %s after a restart", first, run)
	}
	s.Stop()
	s.Kill()
	if err := syscall.Kill(s.PID(), 0); !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		t.Fatalf("process %d after Kill: %v", s.PID(), err)
	}
}

func TestStartRedisFrozenWithoutConfigFile(t *testing.T) {
	s := StartRedis(t, Frozen(), WithoutConfigFile())
	if s.Info("role") != "slave" || s.Info("config_file") != "" {
		t.Fatalf("role %q, configuration file %q", s.Info("role"), s.Info("config_file"))
	}
	if _, err := s.Do("SET", "k", "v"); err == nil {
		t.Fatal("a frozen server took a write")
	}
}

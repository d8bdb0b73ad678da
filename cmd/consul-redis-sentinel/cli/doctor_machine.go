package cli

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/config"
)

// existing is the folder itself, or the nearest above it that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// canWrite says whether this user can keep files in a folder, which may yet have to be made.
func canWrite(key, dir string) finding {
	there := existing(dir)
	mend := "let this user write there, or set " + key
	if info, err := os.Stat(there); err == nil && !info.IsDir() {
		return bad("set "+key+" to a folder", "%s is not a folder", there)
	}
	if err := unix.Access(there, unix.W_OK|unix.X_OK); err != nil {
		return bad(mend, "this user may not write in %s: %v", there, err)
	}
	if there != dir {
		return fine("the agent can make %s", dir)
	}
	return fine("this user can write in %s", dir)
}

func checkDataDir(cfg *config.Config) finding { return canWrite("data_dir", cfg.Agent.DataDir) }

func checkRescueDir(cfg *config.Config) finding {
	dir := rescueDir(cfg)
	if f := canWrite("rescue_dir", dir); f.Grade != gradeOK {
		return f
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fine("the agent can make %s", dir)
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		return bad("chmod 700 "+dir, "others may write in %s (mode %04o), so the agent refuses it", dir, mode)
	case mode&0o055 != 0:
		return warning("chmod 700 "+dir, "others may look into %s (mode %04o)", dir, mode)
	}
	return fine("this user can write in %s, and nobody else", dir)
}

// freeBytes is what this user can write into a folder, which may yet have to be made.
func freeBytes(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(existing(dir), &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * s.Bsize, true //nolint:gosec // no file system has 2^63 bytes
}

// The kernel's settings are read below these; tests put others in their place.
var (
	clockSourceFile = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
	overcommitFile  = "/proc/sys/vm/overcommit_memory"
)

func checkClock(*config.Config) finding {
	b, err := os.ReadFile(clockSourceFile)
	if err != nil {
		return fine("the kernel does not say which clock source it has")
	}
	switch source := strings.TrimSpace(string(b)); source {
	case "jiffies", "refined-jiffies":
		return bad("find out why in the kernel's log (dmesg | grep -i clocksource)", "clock source %s counts in steps of some milliseconds", source)
	case "hpet", "acpi_pm", "pit":
		return warning("find out why in the kernel's log (dmesg | grep -i clocksource)", "clock source %s is slow to read: the kernel found the processor's own unreliable", source)
	default:
		return fine("clock source %s", source)
	}
}

func checkOvercommit(*config.Config) finding {
	b, err := os.ReadFile(overcommitFile)
	if err != nil || strings.TrimSpace(string(b)) == "1" {
		return fine("a fork finds its memory")
	}
	return warning("sysctl vm.overcommit_memory=1, and in /etc/sysctl.conf",
		"vm.overcommit_memory is %s: saving may fail when memory is short", strings.TrimSpace(string(b)))
}

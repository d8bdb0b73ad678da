package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// reading is what /proc tells of a process.
type reading struct {
	at  time.Time
	cpu time.Duration
	rss float64 // MiB
	fds int
}

// readings are those of all machines, each by kind of process.
type readings [machines]map[string]reading

func snapshot(f fleet) (all readings) {
	for i := range all {
		all[i] = map[string]reading{}
		for kind, pid := range f.parts(i) {
			if r, err := read(pid); err == nil {
				all[i][kind] = r
			}
		}
	}
	return all
}

// read asks /proc about a process (proc_pid_stat(5), proc_pid_status(5)).
func read(pid int) (reading, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	r := reading{at: time.Now()}
	stat, err := statFields(filepath.Join(dir, "stat"))
	if err != nil {
		return r, err
	}
	const user, system = 11, 12 // utime and stime, counted from the state
	for _, i := range []int{user, system} {
		ticks, err := strconv.Atoi(stat[i])
		if err != nil {
			return r, err
		}
		r.cpu += time.Duration(ticks) * time.Second / ticksPerSecond
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return r, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return r, err
			}
			r.rss = kib / 1024
		}
	}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	r.fds = len(fds)
	return r, err
}

// statFields are the fields of a stat file after the name, which may hold anything: the state first.
func statFields(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return nil, fmt.Errorf("%s has %d fields only", file, len(fields))
	}
	return fields, nil
}

// childOf is the first child of a process, 0 if there is none: the driver of an agent.
func childOf(parent int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		fields, err := statFields(file)
		if err != nil || fields[1] != strconv.Itoa(parent) {
			continue // it has ended meanwhile, or is another's
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		return pid
	}
	return 0
}

// addUsage takes in two readings: of each kind the dearest process.
func (c *Cost) addUsage(begin, end readings) {
	for i := range end {
		for kind, e := range end[i] {
			u := c.Parts[kind]
			if u == nil {
				u = &Usage{}
				c.Parts[kind] = u
			}
			u.RSS, u.FDs = max(u.RSS, e.rss), max(u.FDs, e.fds)
			if b, ok := begin[i][kind]; ok {
				u.CPU = max(u.CPU, 100*(e.cpu-b.cpu).Seconds()/e.at.Sub(b.at).Seconds())
			}
		}
	}
}

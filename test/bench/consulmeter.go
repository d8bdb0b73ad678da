package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// idleWindow is how long Consul is watched alone.
const idleWindow = 10 * time.Second

// consulHCL makes Consul count what it does from its start on, in a form that can be read at any time.
const consulHCL = `telemetry { prometheus_retention_time = "1h" }`

// consulWrites is how many entries a second are added to Consul's log.
func (f *ourFleet) consulWrites(ctx context.Context, window time.Duration) (float64, error) {
	before, err := f.applied(ctx)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	sleep(ctx, window)
	after, err := f.applied(ctx)
	return float64(after-before) / time.Since(begun).Seconds(), err
}

// applied is the index of the newest entry of Consul's log.
func (f *ourFleet) applied(ctx context.Context) (int, error) {
	leader, err := f.s.ConsulLeader(ctx)
	if err != nil {
		return 0, err
	}
	self, err := f.s.Consul(leader).Client.Agent().Self()
	if err != nil {
		return 0, err
	}
	raft, _ := self["Stats"]["raft"].(map[string]any)
	text, _ := raft["applied_index"].(string)
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read Consul's applied_index: %w", err)
	}
	return n, nil
}

// watch measures what the agents make Consul do.
func (f *ourFleet) watch(ctx context.Context, c *Cost, window time.Duration) (err error) {
	before, _, err := f.requests(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	if c.Writes, err = f.consulWrites(ctx, window); err != nil {
		return err
	}
	after, blocking, err := f.requests(ctx)
	c.Requests, c.Blocking = (after-before)/time.Since(begun).Seconds(), blocking
	return err
}

// requests sums up what all Consul servers say of themselves: how many requests they have answered, and how many
// queries are waiting for a change.
func (f *ourFleet) requests(ctx context.Context) (answered, waiting float64, err error) {
	for _, s := range f.s.Consuls() {
		text, err := get(ctx, "http://"+s.HTTPAddr()+"/v1/agent/metrics?format=prometheus")
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			switch {
			case strings.HasPrefix(name, "consul_api_http_count{"):
				answered += v
			case name == "consul_rpc_queries_blocking":
				waiting += v
			}
		}
	}
	return answered, waiting, nil
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s: %s", url, reply.Status, b)
	}
	return string(b), err
}

// goroutine begins each goroutine in what a Go program prints when it is sent SIGQUIT.
var goroutine = regexp.MustCompile(`goroutine \d+ .*\[`)

// driverStarts is more than the start of a driver takes.
const driverStarts = 5 * time.Second

// promises is how long what an agent may have promised before its start holds: fence_after, which is 3 s, and a margin.
const promises = 4 * time.Second

// count counts the goroutines of the second machine's agent and its driver. Nothing else than SIGQUIT tells them, which
// ends the process; the driver's reach the agent's log as lines of the level debug.
func (f *ourFleet) count(ctx context.Context, c *Cost) error {
	const machine = 1
	ctx, cancel := context.WithTimeout(ctx, fleetLimit)
	defer cancel()
	groups, agent := len(f.redises.processes), f.agents[machine]
	if err := f.configure(machine, groups, "debug"); err != nil {
		return err
	}
	seen := len(agent.Log())
	if err := agent.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	err := sandbox.WaitFor(ctx, "the agent has taken in its configuration", func(context.Context) error {
		if !strings.Contains(agent.Log()[seen:], "configuration reloaded") {
			return errors.New("it does not say so")
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A changed configuration starts the driver anew; one that ends before it serves would end the agent.
	driver, since := 0, time.Now()
	err = sandbox.WaitFor(ctx, "the agent keeps its driver", func(context.Context) error {
		if now := childOf(agent.PID()); now != driver {
			driver, since = now, time.Now()
		}
		if kept := time.Since(since); driver == 0 || kept < driverStarts {
			return fmt.Errorf("it has had driver %d for %v only", driver, kept)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.settle(ctx); err != nil {
		return err
	}
	seen = len(agent.Log())
	if err := syscall.Kill(driver, syscall.SIGQUIT); err != nil {
		return fmt.Errorf("end the driver: %w", err)
	}
	err = sandbox.WaitFor(ctx, "the driver has ended", func(context.Context) error {
		if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(driver))); err == nil {
			return errors.New("it runs")
		}
		return nil
	})
	if err != nil {
		return err
	}
	sleep(ctx, 100*time.Millisecond) // the rest of what it printed
	ofDriver := len(goroutine.FindAllString(agent.Log()[seen:], -1))
	// The agent is counted once it has its new driver.
	if err := f.settle(ctx); err != nil {
		return err
	}
	seen = len(agent.Log())
	if err := agent.Signal(syscall.SIGQUIT); err != nil {
		return err
	}
	<-agent.Done()
	c.Parts["driver"].Goroutines = ofDriver
	c.Parts["agent"].Goroutines = len(goroutine.FindAllString(agent.Log()[seen:], -1))
	if err := f.configure(machine, groups, "info"); err != nil {
		return err
	}
	if err := agent.Start(); err != nil {
		return err
	}
	if err := f.settle(ctx); err != nil {
		return err
	}
	sleep(ctx, promises) // it opens nothing for so long, which is not what the faults that follow are about
	return nil
}

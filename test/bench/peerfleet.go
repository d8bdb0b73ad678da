package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/cmd/consul-redis-sentinel/sandbox"
)

// peerFleet is many groups with three sentinels.
type peerFleet struct {
	s         *sandbox.Sandbox
	redises   *servers
	sentinels []*sandbox.Process
}

func groupName(g int) string { return fmt.Sprintf("g%03d", g) }

func startPeerFleet(ctx context.Context, groups int) (f *peerFleet, err error) {
	s, err := sandbox.Start(ctx, sandbox.Options{Consuls: -1, Nodes: -1})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	f = &peerFleet{s: s}
	if f.redises, err = startServers(ctx, s, groups, false); err != nil {
		return nil, err
	}
	var conf strings.Builder
	for g := range groups {
		if err := f.redises.await(ctx, groupName(g)+" replicates", func(ctx context.Context) error { return f.redises.follows(ctx, g) }); err != nil {
			return nil, err
		}
		conf.WriteString(sentinelConf(groupName(g), f.redises.addr(g, g%2), costDownAfter))
	}
	f.sentinels, err = startSentinels(s, conf.String())
	return f, err
}

func (f *peerFleet) servers() *servers { return f.redises }

func (f *peerFleet) settle(ctx context.Context) error {
	for i := range machines {
		c := sentinelClient(sentinelAddr(f.s, i), nil)
		defer c.Close()
		for g := range f.redises.processes {
			err := f.redises.await(ctx, fmt.Sprintf("sentinel %d knows all of %s", i+1, groupName(g)), func(ctx context.Context) error {
				_, err := sentinelWhole(ctx, c, groupName(g), 1)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *peerFleet) finder(g int, ask []int) finder {
	var sentinels []string
	for _, i := range ask {
		sentinels = append(sentinels, sentinelAddr(f.s, i))
	}
	return sentinelFinder(loopback, groupName(g), sentinels)
}

func (f *peerFleet) parts(i int) map[string]int {
	return map[string]int{"sentinel": f.sentinels[i].PID()}
}

func (f *peerFleet) watch(context.Context, *Cost, time.Duration) error { return nil }
func (f *peerFleet) count(context.Context, *Cost) error                { return nil }
func (f *peerFleet) watchers(i int) []*sandbox.Process                 { return []*sandbox.Process{f.sentinels[i]} }

func (f *peerFleet) logs() string {
	lines := strings.Split(strings.TrimSpace(f.sentinels[2].Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

func (f *peerFleet) close() error { return f.s.Close() }

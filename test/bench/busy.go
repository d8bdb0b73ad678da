package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The blocking calls of the case busy: long enough for a short down_after, as slow commands of applications are.
const (
	blockMin, blockMax = 300 * time.Millisecond, 500 * time.Millisecond
	pauseMin, pauseMax = 50 * time.Millisecond, 250 * time.Millisecond
)

// blockScript keeps a server busy for so many microseconds.
const blockScript = `local t = redis.call('TIME')
local stop = t[1] * 1000000 + t[2] + tonumber(ARGV[1])
repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] >= stop
return 'OK'`

// measureBusy counts the changes of master while the master, in good health, is kept busy and so are all processors. Every
// one of them was needless.
func measureBusy(ctx context.Context, m *measurement) (*Run, error) {
	// The noise is made on purpose here, so the machine is judged before.
	jitter := startProbe()
	sleep(ctx, time.Second)
	r := newRun(jitter.stop())
	before, err := m.system.changes(ctx, m.master)
	if err != nil {
		return nil, err
	}
	for i := range runtime.NumCPU() {
		if _, err := m.system.run(0, fmt.Sprintf("load-%d", i+1), "/bin/sh", "-c", "while :; do :; done"); err != nil {
			return nil, err
		}
	}
	busy, cancel := context.WithTimeout(ctx, m.o.BusyFor)
	defer cancel()
	find := m.system.finder(loopback, []int{0, 1, 2})
	for busy.Err() == nil {
		addr, err := find(busy)
		if err != nil {
			sleep(busy, 10*time.Millisecond)
			continue
		}
		if block(busy, addr) == nil {
			r.Calls++
		}
		sleep(busy, pauseMin+rand.N(pauseMax-pauseMin))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	after, err := m.system.changes(ctx, m.master)
	if err != nil {
		return nil, err
	}
	r.Changes = after - before
	if r.Calls == 0 {
		return nil, fmt.Errorf("the master was never kept busy in %v", m.o.BusyFor)
	}
	return r, nil
}

// block keeps a server busy once, in a script or asleep.
func block(ctx context.Context, addr string) error {
	c := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: replyLimit, ReadTimeout: 10 * blockMax})
	defer c.Close()
	d := blockMin + rand.N(blockMax-blockMin)
	if rand.N(2) == 0 {
		return c.Do(ctx, "DEBUG", "SLEEP", fmt.Sprintf("%.3f", d.Seconds())).Err()
	}
	return c.Eval(ctx, blockScript, nil, d.Microseconds()).Err()
}

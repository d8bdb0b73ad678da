package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// resolveEvery is how often a writer asks DNS. An application that resolves on error only sees the same, but
	// for a master that hangs without closing its connections.
	resolveEvery = 3 * time.Millisecond
	// replyLimit is how long a writer waits for one reply before it connects anew.
	replyLimit = 500 * time.Millisecond
)

// Ack is a write that a server has acknowledged: the key is KeyOf(N), the value is N. It was sent after Sent, and the reply was
// read before At.
type Ack struct {
	N        int
	Sent, At time.Time
	Addr     string
}

// Refusal is a write that was not acknowledged: an error reply, a lost connection, no connection.
type Refusal struct {
	N    int
	At   time.Time
	Addr string
	Err  string
}

// Writer is a client as an application may have one: it resolves a name, connects, writes one key after the other,
// and does so again when something fails.
type Writer struct {
	every   time.Duration
	resolve func(context.Context) (string, error)
	prefix  string

	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	addr     string
	conn     net.Conn
	acks     []Ack
	refusals []Refusal
}

// StartWriter begins to write every so often to the master that DNS names, asking Consul server i. Stop ends it.
func (s *Sandbox) StartWriter(ctx context.Context, i int, every time.Duration) *Writer {
	return StartWriterTo(ctx, every, func(ctx context.Context) (string, error) {
		found, err := s.consuls[i].SRV(ctx, s.MasterName())
		if err != nil || len(found) != 1 {
			return "", errors.Join(err, fmt.Errorf("%d answers for %s", len(found), s.MasterName()))
		}
		return found[0].Addr(), nil
	})
}

// StartWriterTo is StartWriter with another way to find the address; a constant one makes a client that is pinned to
// a server.
func StartWriterTo(ctx context.Context, every time.Duration, resolve func(context.Context) (string, error)) *Writer {
	ctx, cancel := context.WithCancel(ctx)
	w := &Writer{every: every, resolve: resolve, cancel: cancel, prefix: fmt.Sprintf("write:%d:", time.Now().UnixNano())}
	w.ended.Go(func() { w.follow(ctx) })
	w.ended.Go(func() { w.run(ctx) })
	return w
}

// Stop ends the writer and returns when it has ended.
func (w *Writer) Stop() {
	w.cancel()
	w.hangUp()
	w.ended.Wait()
}

// KeyOf is the key of write n.
func (w *Writer) KeyOf(n int) string { return w.prefix + strconv.Itoa(n) }

// Acks are the writes acknowledged so far, in their order.
func (w *Writer) Acks() []Ack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Ack(nil), w.acks...)
}

// Refusals are the writes not acknowledged so far, in their order.
func (w *Writer) Refusals() []Refusal {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Refusal(nil), w.refusals...)
}

// FirstAckAfter returns the first write acknowledged after a time by another server than the one named.
func (w *Writer) FirstAckAfter(t time.Time, notBy string) (Ack, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.acks {
		if a.At.After(t) && a.Addr != notBy {
			return a, true
		}
	}
	return Ack{}, false
}

// Outage is the longest time between two acknowledged writes that follow each other, the later one after t.
func (w *Writer) Outage(t time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest time.Duration
	for i := 1; i < len(w.acks); i++ {
		if w.acks[i].At.After(t) {
			longest = max(longest, w.acks[i].At.Sub(w.acks[i-1].At))
		}
	}
	return longest
}

// Lost names the acknowledged writes that a server does not have.
func (w *Writer) Lost(ctx context.Context, r *Redis) ([]int, error) {
	c := r.Client()
	defer c.Close()
	var lost []int
	acks := w.Acks()
	for from := 0; from < len(acks); from += 1000 {
		part := acks[from:min(from+1000, len(acks))]
		keys := make([]string, len(part))
		for i, a := range part {
			keys[i] = w.KeyOf(a.N)
		}
		values, err := c.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, fmt.Errorf("read the writes back from %s: %w", r.Node, err)
		}
		for i, v := range values {
			if v != strconv.Itoa(part[i].N) {
				lost = append(lost, part[i].N)
			}
		}
	}
	return lost, nil
}

// follow asks for the address all the time, and hangs up when it is another one: a server that hangs never would.
func (w *Writer) follow(ctx context.Context) {
	for ctx.Err() == nil {
		addr, err := w.resolve(ctx)
		w.mu.Lock()
		changed := err == nil && addr != w.addr
		if changed {
			w.addr = addr
		}
		w.mu.Unlock()
		if changed {
			w.hangUp()
		}
		sleep(ctx, resolveEvery)
	}
}

func (w *Writer) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

// run connects and writes until ctx ends.
func (w *Writer) run(ctx context.Context) {
	n := 0
	for ctx.Err() == nil {
		conn, addr, err := w.connect(ctx)
		if err != nil {
			if addr != "" {
				w.refused(n, addr, err)
			}
			sleep(ctx, time.Millisecond)
			continue
		}
		r := bufio.NewReader(conn)
		for ctx.Err() == nil {
			n++
			sent := time.Now()
			if err := set(conn, r, w.KeyOf(n), strconv.Itoa(n)); err != nil {
				w.refused(n, addr, err)
				sleep(ctx, time.Millisecond)
				break
			}
			w.mu.Lock()
			w.acks = append(w.acks, Ack{N: n, Sent: sent, At: time.Now(), Addr: addr})
			w.mu.Unlock()
			sleep(ctx, w.every)
		}
		_ = conn.Close()
	}
}

func (w *Writer) connect(ctx context.Context) (net.Conn, string, error) {
	w.mu.Lock()
	addr := w.addr
	w.mu.Unlock()
	if addr == "" {
		return nil, "", errors.New("not resolved yet")
	}
	conn, err := (&net.Dialer{Timeout: replyLimit}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, addr, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.addr != addr || ctx.Err() != nil {
		_ = conn.Close()
		return nil, "", errors.New("resolved to another address meanwhile")
	}
	w.conn = conn
	return conn, addr, nil
}

func (w *Writer) refused(n int, addr string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusals = append(w.refusals, Refusal{N: n, At: time.Now(), Addr: addr, Err: err.Error()})
}

// set sends one SET and reads its reply; anything but OK is an error.
func set(conn net.Conn, r *bufio.Reader, key, value string) error {
	_ = conn.SetDeadline(time.Now().Add(replyLimit))
	if _, err := fmt.Fprintf(conn, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value); err != nil {
		return err
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if line = strings.TrimSpace(line); line != "+OK" {
		return errors.New(line)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

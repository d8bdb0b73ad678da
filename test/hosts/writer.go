package hosts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// resolveEvery is how often a writer asks where the master is.
const resolveEvery = 5 * time.Millisecond

// waitLimit is how long a WAIT may take; a replica that is cut off makes each one last so long.
const waitLimit = 200 * time.Millisecond

// Ack is a write that a server has acknowledged.
type Ack struct {
	Writer string
	// N is the write's number; numbers of a writer grow by one.
	N int
	// Sent and At enclose the moment at which the server did it.
	Sent, At time.Time
	Addr     string
	// Waited is how many replicas the WAIT after it has counted; 0 without WAIT.
	Waited int
}

// Key is where the write is found; its value is the number.
func (a Ack) Key() string { return a.Writer + ":" + strconv.Itoa(a.N) }

// Refusal is a write that was not acknowledged, or an attempt to connect.
type Refusal struct {
	N    int
	At   time.Time
	Addr string
	Err  string
}

// WriterOptions say what kind of client a writer is.
type WriterOptions struct {
	// Name begins all its keys.
	Name string
	// From is the host on which it runs.
	From int
	// To finds the server.
	To Resolver
	// Every is the pause after each write, 5 ms by default.
	Every time.Duration
	// Wait is the number of replicas whose acknowledgement it waits for (WAIT); 0 is none.
	Wait int
}

// Writer is a client that writes one key after the other, and connects anew when something fails or another server is
// to be written to.
type Writer struct {
	WriterOptions
	hosts  *Hosts
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	addr     string
	conn     *Conn
	dialling context.CancelFunc // ends the attempt to connect that is under way
	acks     []Ack
	refusals []Refusal
}

// StartWriter begins to write. Stop ends it.
func (h *Hosts) StartWriter(ctx context.Context, o WriterOptions) *Writer {
	if o.Every == 0 {
		o.Every = 5 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Writer{WriterOptions: o, hosts: h, cancel: cancel}
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

// Acks are the acknowledged writes so far, in their order.
func (w *Writer) Acks() []Ack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Ack(nil), w.acks...)
}

// Refusals are the writes that were not acknowledged so far.
func (w *Writer) Refusals() []Refusal {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Refusal(nil), w.refusals...)
}

func (w *Writer) follow(ctx context.Context) {
	for ctx.Err() == nil {
		addr, err := w.To(ctx)
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
		w.conn.Close()
	}
	if w.dialling != nil {
		w.dialling()
	}
}

func (w *Writer) run(ctx context.Context) {
	for n := 1; ctx.Err() == nil; {
		conn, addr, err := w.connect(ctx)
		for err == nil && ctx.Err() == nil {
			err = w.write(conn, addr, n)
			n++
			sleep(ctx, w.Every)
		}
		if conn != nil {
			conn.Close()
		}
		if err != nil && addr != "" && ctx.Err() == nil {
			w.mu.Lock()
			w.refusals = append(w.refusals, Refusal{N: n, At: time.Now(), Addr: addr, Err: err.Error()})
			w.mu.Unlock()
		}
		sleep(ctx, w.Every)
	}
}

func (w *Writer) connect(ctx context.Context) (*Conn, string, error) {
	dialling, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	addr := w.addr
	w.dialling = cancel
	w.mu.Unlock()
	if addr == "" {
		return nil, "", errors.New("not resolved yet")
	}
	conn, err := w.hosts.Connect(dialling, w.From, addr)
	if err != nil {
		return nil, addr, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.addr != addr || ctx.Err() != nil {
		conn.Close()
		return nil, "", errors.New("another server is to be written to meanwhile")
	}
	w.conn = conn
	return conn, addr, nil
}

// write sends one write, and WAIT with it. What is acknowledged is kept even if WAIT then fails.
func (w *Writer) write(conn *Conn, addr string, n int) error {
	a := Ack{Writer: w.Name, N: n, Sent: time.Now(), Addr: addr}
	commands := [][]string{{"SET", a.Key(), strconv.Itoa(n)}}
	if w.Wait > 0 {
		commands = append(commands, []string{"WAIT", strconv.Itoa(w.Wait), strconv.FormatInt(waitLimit.Milliseconds(), 10)})
	}
	if err := conn.Send(ReplyLimit, commands...); err != nil {
		return err
	}
	reply, err := conn.Reply()
	if err == nil && reply != "OK" {
		err = fmt.Errorf("unexpected reply %q", reply)
	}
	if err != nil {
		return err
	}
	a.At = time.Now()
	if w.Wait > 0 {
		if reply, err = conn.Reply(); err == nil {
			a.Waited, err = strconv.Atoi(reply)
		}
	}
	w.mu.Lock()
	w.acks = append(w.acks, a)
	w.mu.Unlock()
	return err
}

// Lost returns those of some acknowledged writes that host i's Redis does not have.
func (h *Hosts) Lost(ctx context.Context, i int, acks []Ack) ([]Ack, error) {
	c := h.Redis(i).Client()
	defer c.Close()
	var lost []Ack
	for from := 0; from < len(acks); from += 1000 {
		part := acks[from:min(from+1000, len(acks))]
		keys := make([]string, len(part))
		for i, a := range part {
			keys[i] = a.Key()
		}
		values, err := c.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, fmt.Errorf("read the writes back from %s: %w", h.Redis(i).Node, err)
		}
		for i, v := range values {
			if v != strconv.Itoa(part[i].N) {
				lost = append(lost, part[i])
			}
		}
	}
	return lost, nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

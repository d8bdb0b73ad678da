package hosts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// packetSize is more than the largest packet of a link with the usual 1500 bytes.
	packetSize = 2048
	// queueSize is how many packets wait in one direction; more are lost, as in a real queue.
	queueSize = 4096
)

// shaper delays and loses packets between hosts. Not every kernel has netem, so the router sends the packets concerned
// to a TUN device, and this reads them, holds them for their time, and writes them back to be sent on. The order within
// a direction stays.
type shaper struct {
	network *Network
	name    string
	table   int64
	file    *os.File
	ended   sync.WaitGroup

	mu    sync.Mutex
	shape map[link]*shape
}

// shape is what happens to the packets of one direction.
type shape struct {
	delay time.Duration
	loss  float64
	queue chan packet
}

type packet struct {
	due  time.Time
	data []byte
}

func newShaper(w *Network) (*shaper, error) {
	s := &shaper{network: w, name: fmt.Sprintf("shape%d", w.number), table: 1000 + w.number, shape: map[link]*shape{}}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(s.name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make the device %s: %w", s.name, err)
	}
	s.file = os.NewFile(uintptr(fd), s.name)
	if err := ipBatch([]string{
		"link set " + s.name + " up",
		fmt.Sprintf("route add default dev %s table %d", s.name, s.table),
		fmt.Sprintf("rule add pref %d iif %s lookup main", ruleShaped, s.name),
	}); err != nil {
		_ = s.file.Close()
		return nil, err
	}
	s.ended.Go(s.read)
	return s, nil
}

// Delay makes every packet to and from host i take d longer, and loses the given share of them (0 to 1) in each
// direction. A delay of 0 without loss undoes it.
func (w *Network) Delay(i int, d time.Duration, loss float64) error {
	for _, l := range w.linksOf(i) {
		if err := w.shaper.set(l, d, loss); err != nil {
			return fmt.Errorf("delay host %d: %w", i+1, err)
		}
	}
	return nil
}

func (s *shaper) set(l link, d time.Duration, loss float64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.shape[l]
	rule := fmt.Sprintf("pref %d from %s to %s lookup %d", ruleShape, s.network.IP(l.from), s.network.IP(l.to), s.table)
	if d == 0 && loss == 0 {
		if old == nil {
			return nil
		}
		delete(s.shape, l)
		close(old.queue)
		return ip("rule del " + rule)
	}
	if old != nil {
		old.delay, old.loss = d, loss
		return nil
	}
	new := &shape{delay: d, loss: loss, queue: make(chan packet, queueSize)}
	s.shape[l] = new
	s.ended.Go(func() { s.write(new.queue) })
	return ip("rule add " + rule)
}

// clear undoes all delays.
func (s *shaper) clear() error {
	s.mu.Lock()
	var all []link
	for l := range s.shape {
		all = append(all, l)
	}
	s.mu.Unlock()
	var errs []error
	for _, l := range all {
		errs = append(errs, s.set(l, 0, 0))
	}
	return errors.Join(errs...)
}

// read puts what the router sends here into the queue of its direction.
func (s *shaper) read() {
	buf := make([]byte, packetSize)
	for {
		n, err := s.file.Read(buf)
		if err != nil {
			return // closed
		}
		if l, ok := s.linkOf(buf[:n]); ok {
			s.enqueue(l, append([]byte(nil), buf[:n]...))
		}
	}
}

// linkOf reads the addresses of an IPv4 packet (RFC 791); their last numbers tell the hosts.
func (s *shaper) linkOf(p []byte) (link, bool) {
	if len(p) < 20 || p[0]>>4 != 4 {
		return link{}, false
	}
	return link{int(p[15]) - 1, int(p[19]) - 1}, true
}

func (s *shaper) enqueue(l link, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shape := s.shape[l]
	if shape == nil || rand.Float64() < shape.loss {
		return
	}
	select {
	case shape.queue <- packet{time.Now().Add(shape.delay), data}:
	default:
	}
}

// write sends the packets of one direction on, each when it is due.
func (s *shaper) write(queue <-chan packet) {
	for p := range queue {
		time.Sleep(time.Until(p.due))
		_, _ = s.file.Write(p.data) // one that cannot be sent is lost
	}
}

func (s *shaper) close() {
	_ = s.clear()
	_ = s.file.Close()
	s.ended.Wait()
}

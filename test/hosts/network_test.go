package hosts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// unsupported says why there can be no hosts here.
var unsupported error

func TestMain(m *testing.M) {
	if unsupported = Enter(); unsupported != nil && !errors.Is(unsupported, ErrUnsupported) {
		fmt.Fprintln(os.Stderr, unsupported)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func network(t *testing.T, n int) *Network {
	t.Helper()
	if unsupported != nil {
		t.Skip(unsupported)
	}
	w, err := NewNetwork(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// echo answers every datagram with itself, on host i.
func echo(t *testing.T, w *Network, i int) string {
	t.Helper()
	var l net.PacketConn
	if err := w.Do(i, func() (err error) {
		l, err = net.ListenPacket("udp4", w.IP(i)+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = l.WriteTo(buf[:n], from)
		}
	}()
	return l.LocalAddr().String()
}

// roundTrip is how long an answer takes, an error if there is none within the time given.
func roundTrip(w *Network, from int, addr string, within time.Duration) (time.Duration, error) {
	c, err := w.Dial(context.Background(), from, "udp4", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	begun := time.Now()
	_ = c.SetDeadline(begun.Add(within))
	if _, err := c.Write([]byte("hello")); err != nil {
		return 0, err
	}
	_, err = c.Read(make([]byte, 100))
	return time.Since(begun), err
}

const (
	// soon is far more than an answer takes, later than which none is expected.
	soon = 10 * time.Second
	// never is how long an answer that must not come is waited for.
	never = 300 * time.Millisecond
)

func TestCuts(t *testing.T) {
	w := network(t, 3)
	addrs := []string{echo(t, w, 0), echo(t, w, 1), echo(t, w, 2)}
	// reach is what each host (row) reaches (column): "1" yes, "0" no. A one-way cut stops the answers too.
	reach := func(what, want string) {
		t.Helper()
		got := ""
		for from := range 3 {
			if from > 0 {
				got += " "
			}
			for to := range 3 {
				within := never
				if want[from*4+to] == '1' {
					within = soon
				}
				if _, err := roundTrip(w, from, addrs[to], within); err == nil {
					got += "1"
				} else {
					got += "0"
				}
			}
		}
		if got != want {
			t.Errorf("%s: reached %s, want %s", what, got, want)
		}
	}
	reach("whole", "111 111 111")
	must(t, w.Cut(0))
	reach("host 1 cut", "100 011 011")
	must(t, w.HealHost(0))
	reach("healed", "111 111 111")
	must(t, w.CutPair(0, 1))
	reach("hosts 1 and 2 cut from each other", "101 011 111")
	must(t, w.Cut(0))
	must(t, w.Heal())
	reach("healed", "111 111 111")
	must(t, w.CutOneWay(2, 0))
	reach("from 3 to 1 cut", "110 111 011")
	if !w.IsCut(2, 0) || w.IsCut(0, 2) {
		t.Error("only 3 to 1 is cut")
	}
}

// A cut one way lets the packets of the other way through.
func TestCutOneWayLetsTheOtherThrough(t *testing.T) {
	w := network(t, 2)
	addr := echo(t, w, 1)
	must(t, w.CutOneWay(1, 0))
	var l net.PacketConn
	must(t, w.Do(1, func() (err error) {
		l, err = net.ListenPacket("udp4", w.IP(1)+":0")
		return err
	}))
	defer l.Close()
	c, err := w.Dial(t.Context(), 0, "udp4", l.LocalAddr().String())
	must(t, err)
	defer c.Close()
	_, err = c.Write([]byte("hello"))
	must(t, err)
	_ = l.SetReadDeadline(time.Now().Add(soon))
	if _, _, err := l.ReadFrom(make([]byte, 10)); err != nil {
		t.Error("what host 1 sends does not reach host 2:", err)
	}
	if _, err := roundTrip(w, 0, addr, never); err == nil {
		t.Error("host 2 answers though its packets are dropped")
	}
}

func TestDelayAndLoss(t *testing.T) {
	w := network(t, 3)
	addr, other := echo(t, w, 1), echo(t, w, 2)
	const delay = 100 * time.Millisecond
	must(t, w.Delay(1, delay, 0))
	if took, err := roundTrip(w, 0, addr, soon); err != nil || took < 2*delay {
		t.Errorf("an answer of the delayed host took %v, %v; want at least %v", took, err, 2*delay)
	}
	quickest := soon
	for range 20 { // the machine may be busy
		took, err := roundTrip(w, 0, other, soon)
		must(t, err)
		quickest = min(quickest, took)
	}
	if quickest >= delay {
		t.Errorf("an answer of another host took %v", quickest)
	}
	must(t, w.Cut(1))
	if _, err := roundTrip(w, 0, addr, never); err == nil {
		t.Error("a delayed host answers though it is cut off")
	}
	must(t, w.HealHost(1))
	must(t, w.Delay(1, 0, 0.5))
	lost, answered := 0, 0
	for range 40 {
		if _, err := roundTrip(w, 0, addr, never/3); err == nil {
			answered++
		} else {
			lost++
		}
	}
	// A quarter comes through both ways; neither none nor all of 40 is possible but once in 10^5 times.
	if lost == 0 || answered == 0 {
		t.Errorf("%d of 40 answers lost, want about 30", lost)
	}
	must(t, w.Heal())
	if took, err := roundTrip(w, 0, addr, soon); err != nil {
		t.Errorf("after healing: %v, %v", took, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

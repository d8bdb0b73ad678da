package sandbox

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// claimPort is bound on the last address of a sandbox's network for as long as the sandbox lives, so that no other
// sandbox chooses the same network. Any fixed port below the ephemeral ones would do.
const claimPort = 8399

// network is the block of 256 loopback addresses that a sandbox has for itself.
type network struct {
	prefix string
	claim  net.Listener
}

// claimNetwork takes prefix, or a free block when it is empty. A prefix that was asked for may be shared: its
// sandboxes find other ports then.
func claimNetwork(prefix string) (network, error) {
	if prefix != "" {
		return network{prefix: prefix}, nil
	}
	var last error
	for range 50 {
		n := network{prefix: fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), rand.IntN(255))}
		l, err := net.Listen("tcp4", net.JoinHostPort(n.prefix+".254", strconv.Itoa(claimPort)))
		if err == nil {
			n.claim = l
			return n, nil
		}
		last = err
	}
	return network{}, fmt.Errorf("find a free block of loopback addresses: %w", last)
}

func (n network) ip(i int) string { return fmt.Sprintf("%s.%d", n.prefix, i+1) }

func (n network) release() {
	if n.claim != nil {
		_ = n.claim.Close()
	}
}

// freePort is a port of machine i.
func (s *Sandbox) freePort(i, usual int) (port int, err error) {
	err = s.machine(i)(func() error {
		port, err = freePort(s.IP(i), usual)
		return err
	})
	return port, err
}

// freePort returns usual if nothing on ip listens there, for TCP and UDP, otherwise a port that is free now. Usual
// ports are tried first because people know them, and because the kernel never gives them to an outgoing connection.
func freePort(ip string, usual int) (int, error) {
	if portIsFree(ip, usual) {
		return usual, nil
	}
	for range 50 {
		// Below those that the kernel gives to outgoing connections, which could take it before the server does.
		if port := 10000 + rand.IntN(20000); portIsFree(ip, port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port on %s: none that is free for both TCP and UDP", ip)
}

func portIsFree(ip string, port int) bool {
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return false
	}
	_ = l.Close()
	u, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return false
	}
	_ = u.Close()
	return true
}

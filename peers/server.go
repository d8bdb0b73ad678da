package peers

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// firstQuestion is how long a connection may take to prove itself, and idle how long it may then say nothing.
	firstQuestion = 5 * time.Second
	idle          = 10 * time.Minute
	// maxConns bounds what strangers can hold open.
	maxConns = 512
)

// Server answers other agents.
type Server struct {
	conf     Config
	handler  Handler
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
	wg       sync.WaitGroup
}

// Serve listens and answers until Close, or until ctx ends.
func Serve(ctx context.Context, c Config, h Handler) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	secure, err := c.tls()
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for other agents: %w", err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	s := &Server{conf: c, handler: h, listener: l, conns: map[net.Conn]bool{}}
	stop := context.AfterFunc(ctx, s.shut)
	s.wg.Go(func() {
		defer stop()
		s.accept()
	})
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends all conversations and returns when they have.
func (s *Server) Close() {
	s.shut()
	s.wg.Wait()
}

func (s *Server) shut() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of files, perhaps
			continue
		}
		if !s.keep(c) {
			_ = c.Close()
			continue
		}
		s.wg.Go(func() {
			if err := s.converse(c); errors.Is(err, ErrAuth) {
				s.conf.Logger.Warn("a stranger asked", "from", c.RemoteAddr(), "error", err)
			}
			s.drop(c)
		})
	}
}

func (s *Server) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil || len(s.conns) >= maxConns {
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Server) drop(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// converse answers the questions of one connection. One that is not signed as it should be ends it.
func (s *Server) converse(c net.Conn) error {
	challenge := make([]byte, 16)
	_, _ = rand.Read(challenge) // never fails
	_ = c.SetDeadline(time.Now().Add(firstQuestion))
	if err := writeFrame(c, hello{challenge}); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for seq := uint64(1); ; seq++ {
		var q message
		if err := readFrame(r, &q); err != nil {
			return err
		}
		if q.Seq != seq || !q.signed(s.conf.Key, question, challenge) {
			// Not signed: who has no key learns nothing that it could not see.
			_ = writeFrame(c, message{Error: "not authenticated"})
			return ErrAuth
		}
		a := message{Seq: seq, From: s.conf.Agent, To: q.From, Kind: q.Kind, Nonce: q.Nonce}
		if q.To == s.conf.Agent {
			a.Body, a.Error = s.answer(q)
		} else {
			a.Error = fmt.Sprintf("this is agent %s", s.conf.Agent)
		}
		a.sign(s.conf.Key, answer, challenge)
		_ = c.SetDeadline(time.Now().Add(idle))
		if err := writeFrame(c, a); err != nil {
			return err
		}
	}
}

func (s *Server) answer(q message) (json.RawMessage, string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	bad := func(err error) (json.RawMessage, string) { return nil, fmt.Sprintf("%s: %v", q.Kind, err) }
	switch q.Kind {
	case kindIdentity:
		return encode(Identity{s.conf.Agent, s.conf.Version}), ""
	case kindPromise:
		var r PromiseRequest
		if err := json.Unmarshal(q.Body, &r); err != nil {
			return bad(err)
		}
		return encode(s.handler.Promise(ctx, r)), ""
	case kindFrozen:
		var n FrozenNotice
		if err := json.Unmarshal(q.Body, &n); err != nil {
			return bad(err)
		}
		s.handler.Frozen(ctx, n)
		return encode(true), ""
	case kindNews:
		var news []News
		if err := json.Unmarshal(q.Body, &news); err != nil {
			return bad(err)
		}
		refused := make([]string, len(news))
		for i, n := range news {
			if err := s.handler.Tell(ctx, n); err != nil {
				refused[i] = err.Error()
			}
		}
		return encode(refused), ""
	case kindView:
		var group string
		if err := json.Unmarshal(q.Body, &group); err != nil {
			return bad(err)
		}
		b, err := s.handler.View(ctx, group)
		if err == nil && !json.Valid(b) {
			err = errors.New("the answer is no JSON")
		}
		if err != nil {
			return bad(err)
		}
		return encode(json.RawMessage(b)), ""
	}
	return nil, fmt.Sprintf("%q is unknown to version %s", q.Kind, s.conf.Version)
}

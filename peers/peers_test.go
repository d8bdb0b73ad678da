package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// answering is a Handler that gives every promise but for epoch 13.
type answering struct {
	frozen chan FrozenNotice
	news   chan News
}

func (a answering) Promise(_ context.Context, r PromiseRequest) PromiseAnswer {
	if r.Epoch == 13 {
		return PromiseAnswer{Why: "it knows epoch 14"}
	}
	return PromiseAnswer{Given: true}
}

func (a answering) View(_ context.Context, group string) ([]byte, error) {
	if group == "unknown" {
		return nil, errors.New("no such group")
	}
	return []byte(`{ "group": "<` + group + `>" }`), nil
}

func (a answering) Tell(_ context.Context, n News) error {
	if n.Group == "unknown" {
		return errors.New("no such group")
	}
	a.news <- n
	return nil
}

func (a answering) Frozen(_ context.Context, n FrozenNotice) { a.frozen <- n }

var key = bytes.Repeat([]byte("k"), MinKey)

func conf(name string) Config {
	return Config{Listen: "127.0.0.1:0", Key: key, Agent: name, Version: "1.2.3", Logger: hclog.NewNullLogger()}
}

func serve(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := Serve(t.Context(), c, answering{frozen: make(chan FrozenNotice, 8)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, c Config) *Client {
	t.Helper()
	k, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestQuestionsAndAnswers(t *testing.T) {
	h := answering{frozen: make(chan FrozenNotice, 1), news: make(chan News, 1)}
	s, err := Serve(t.Context(), conf("b"), h)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k, ctx := client(t, conf("a")), soon(t)
	for range 3 { // the later ones over the connection of the first
		if a, err := k.Promise(ctx, s.Addr(), "b", PromiseRequest{Group: "redis", Epoch: 7, Master: "m", RunID: "r", For: time.Second}); err != nil || !a.Given {
			t.Errorf("promise: %+v, %v", a, err)
		}
	}
	if a, err := k.Promise(ctx, s.Addr(), "b", PromiseRequest{Epoch: 13}); err != nil || a.Given || a.Why != "it knows epoch 14" {
		t.Errorf("a promise that is refused: %+v, %v", a, err)
	}
	if v, err := k.View(ctx, s.Addr(), "b", "redis"); err != nil || !strings.Contains(string(v), `redis`) {
		t.Errorf("view: %s, %v", v, err)
	}
	if _, err := k.View(ctx, s.Addr(), "b", "unknown"); err == nil || !strings.Contains(err.Error(), "no such group") {
		t.Errorf("view of an unknown group: %v", err)
	}
	if i, err := k.Identity(ctx, s.Addr(), "b"); err != nil || i != (Identity{"b", "1.2.3"}) {
		t.Errorf("identity: %+v, %v", i, err)
	}
	want := FrozenNotice{Group: "redis", Node: "m", RunID: "r", Epoch: 7, Why: "no Consul"}
	if err := k.Frozen(ctx, s.Addr(), "b", want); err != nil {
		t.Error(err)
	}
	if got := <-h.frozen; got != want {
		t.Errorf("told %+v, want %+v", got, want)
	}
	if err := k.Tell(ctx, s.Addr(), "b", News{Group: "redis", Body: []byte(`{"a":1}`)}); err != nil {
		t.Error(err)
	}
	if got := <-h.news; got.Group != "redis" || string(got.Body) != `{"a":1}` {
		t.Errorf("heard %s of %s", got.Body, got.Group)
	}
	if err := k.Tell(ctx, s.Addr(), "b", News{Group: "unknown"}); err == nil || !strings.Contains(err.Error(), "no such group") {
		t.Errorf("news of an unknown group: %v", err)
	}
}

// What fifty groups have to tell at the same moment takes one connection, each has its own outcome, and nothing is told after its
// deadline.
func TestTellsOfManyGroups(t *testing.T) {
	const groups = 50
	h := slow{answering{news: make(chan News, groups)}, make(chan struct{})}
	s, err := Serve(t.Context(), conf("b"), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	k := client(t, conf("a"))
	first := make(chan error)
	go func() { first <- k.Tell(soon(t), s.Addr(), "b", News{Group: "first"}) }()
	if n := <-h.news; n.Group != "first" {
		t.Fatalf("heard of %s", n.Group)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := k.Tell(late, s.Addr(), "b", News{Group: "late"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("news that came too late: %v", err)
	}
	outcomes := make(chan error, groups)
	for i := range groups {
		name := fmt.Sprint(i)
		if i == 7 {
			name = "unknown"
		}
		go func() { outcomes <- k.Tell(soon(t), s.Addr(), "b", News{Group: name}) }()
	}
	waits := func() int {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.mail[recipient{s.Addr(), "b"}])
	}
	for waits() < 1+groups {
		time.Sleep(time.Millisecond)
	}
	close(h.goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
	refused := 0
	for range groups {
		if err := <-outcomes; err != nil {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d of %d groups were refused, want the unknown one", refused, groups)
	}
	for range groups - 1 {
		if n := <-h.news; n.Group == "late" {
			t.Error("news were told after their deadline")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) != 1 {
		t.Errorf("%d connections, want one", len(s.conns))
	}
}

// slow takes news in, and goes on when it is told to.
type slow struct {
	answering
	goOn chan struct{}
}

func (h slow) Tell(ctx context.Context, n News) error {
	err := h.answering.Tell(ctx, n)
	<-h.goOn
	return err
}

func TestWrongKey(t *testing.T) {
	s := serve(t, conf("b"))
	c := conf("a")
	c.Key = bytes.Repeat([]byte("x"), MinKey)
	_, err := client(t, c).Promise(soon(t), s.Addr(), "b", PromiseRequest{})
	if !errors.Is(err, ErrAuth) {
		t.Errorf("a client with another key: %v", err)
	}
	c.Key = key[:MinKey-1]
	if _, err := NewClient(c); err == nil {
		t.Error("a short key was taken")
	}
}

func TestAnotherAgent(t *testing.T) {
	s := serve(t, conf("c"))
	_, err := client(t, conf("a")).Promise(soon(t), s.Addr(), "b", PromiseRequest{})
	if !errors.Is(err, ErrOtherAgent) {
		t.Errorf("an answer by agent c for b: %v", err)
	}
}

// A server that ended and came back is asked over a new connection.
func TestServerComesBack(t *testing.T) {
	s := serve(t, conf("b"))
	k, ctx, at := client(t, conf("a")), soon(t), s.Addr()
	if _, err := k.Promise(ctx, at, "b", PromiseRequest{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	c := conf("b")
	c.Listen = at
	serve(t, c)
	if a, err := k.Promise(ctx, at, "b", PromiseRequest{}); err != nil || !a.Given {
		t.Errorf("after its return: %+v, %v", a, err)
	}
}

// relay passes bytes between a client and the server and keeps what each said.
type relay struct {
	net.Listener
	toServer, toClient bytes.Buffer
	done               chan struct{}
}

func eavesdrop(t *testing.T, server string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, done: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		defer close(r.done)
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		back := make(chan struct{})
		go func() { _, _ = io.Copy(io.MultiWriter(in, &r.toClient), out); close(back) }()
		_, _ = io.Copy(io.MultiWriter(out, &r.toServer), in)
		out.Close()
		<-back
	}()
	return r
}

// What was heard on one connection is of no use on another, nor in the other direction.
func TestReplayAndReflection(t *testing.T) {
	s := serve(t, conf("b"))
	r := eavesdrop(t, s.Addr())
	k := client(t, conf("a"))
	if _, err := k.Promise(soon(t), r.Addr().String(), "b", PromiseRequest{Epoch: 7}); err != nil {
		t.Fatal(err)
	}
	k.Close()
	<-r.done
	for what, said := range map[string][]byte{"a replayed question": r.toServer.Bytes(), "a reflected answer": lastFrame(t, r.toClient.Bytes())} {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		in := bufio.NewReader(c)
		var h hello
		if err := readFrame(in, &h); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(said); err != nil {
			t.Fatal(err)
		}
		var a message
		if err := readFrame(in, &a); err != nil || a.Error == "" || a.Body != nil {
			t.Errorf("%s was answered with %+v, %v", what, a, err)
		}
		if _, err := in.ReadByte(); err == nil {
			t.Errorf("the connection goes on after %s", what)
		}
	}
}

func lastFrame(t *testing.T, b []byte) []byte {
	t.Helper()
	for {
		n := 4 + int(binary.BigEndian.Uint32(b))
		if n == len(b) {
			return b
		}
		b = b[n:]
	}
}

// Whoever answers must have the key: a server that makes its answers up is not believed.
func TestAnswersAreSigned(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			var q message
			_ = writeFrame(c, hello{Challenge: []byte("0123456789abcdef")})
			_ = readFrame(in, &q)
			a := message{Seq: q.Seq, From: "b", To: "a", Kind: q.Kind, Nonce: q.Nonce, Body: encode(PromiseAnswer{Given: true})}
			a.sign(bytes.Repeat([]byte("x"), MinKey), answer, []byte("0123456789abcdef"))
			_ = writeFrame(c, a)
		}
	}()
	if a, err := client(t, conf("a")).Promise(soon(t), l.Addr().String(), "b", PromiseRequest{}); !errors.Is(err, ErrAuth) || a.Given {
		t.Errorf("an impostor's promise: %+v, %v", a, err)
	}
}

// A peer that says nothing is waited for no longer than the context says, and holds nobody else up.
func TestSilentPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := serve(t, conf("b"))
	k := client(t, conf("a"))
	waits, cancel := context.WithCancel(soon(t))
	silent := make(chan error, 1)
	go func() {
		_, err := k.Promise(waits, l.Addr().String(), "c", PromiseRequest{})
		silent <- err
	}()
	asked, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	if a, err := k.Promise(soon(t), s.Addr(), "b", PromiseRequest{}); err != nil || !a.Given {
		t.Errorf("beside a silent peer: %+v, %v", a, err)
	}
	cancel()
	if err := <-silent; !errors.Is(err, context.Canceled) {
		t.Errorf("a silent peer: %v", err)
	}
}

// Anything may come over the wire; none of it is more than an error.
func FuzzFrame(f *testing.F) {
	var good bytes.Buffer
	_ = writeFrame(&good, message{Seq: 1, From: "a", To: "b", Kind: kindPromise, Body: json.RawMessage(`{}`)})
	f.Add(good.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0, 0, 0, 1, '{'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if err := readFrame(bufio.NewReader(bytes.NewReader(b)), &m); err == nil && m.signed(key, question, nil) {
			t.Errorf("%q is signed", b)
		}
	})
}

func BenchmarkPromise(b *testing.B) {
	s, err := Serve(b.Context(), conf("b"), answering{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	k, _ := NewClient(conf("a"))
	defer k.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Promise(b.Context(), s.Addr(), "b", PromiseRequest{Group: "redis", Epoch: 7}); err != nil {
			b.Fatal(err)
		}
	}
}

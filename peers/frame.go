package peers

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// A conversation is a challenge by the server, and then questions and answers in turn. Each is a length of four bytes and
// that much JSON.

// maxFrame is the greatest length of one message; a view of a group is some kilobytes.
const maxFrame = 1 << 20

// message is a question or its answer. Its MAC binds it to the key, to the connection (by the server's challenge), to
// its place in it, to the two agents, and an answer to its question: none can be replayed, turned round, or given
// by somebody else.
type message struct {
	Seq   uint64          `json:"seq"`
	From  string          `json:"from"`
	To    string          `json:"to"`
	Kind  string          `json:"kind"`
	Nonce []byte          `json:"nonce"`
	Body  json.RawMessage `json:"body,omitempty"`
	// Error is an answer that is none.
	Error string `json:"error,omitempty"`
	MAC   []byte `json:"mac"`
}

// hello is the server's challenge.
type hello struct {
	Challenge []byte `json:"challenge"`
}

const (
	question = "question"
	answer   = "answer"
)

func (m *message) mac(key []byte, direction string, challenge []byte) []byte {
	h := hmac.New(sha256.New, key)
	var length [8]byte
	for _, part := range [][]byte{[]byte("consul-redis-sentinel/peers/1"), []byte(direction), challenge, binary.BigEndian.AppendUint64(nil, m.Seq),
		[]byte(m.From), []byte(m.To), []byte(m.Kind), m.Nonce, m.Body, []byte(m.Error)} {
		// With its length before it, no part can be taken for the end of another.
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	return h.Sum(nil)
}

func (m *message) sign(key []byte, direction string, challenge []byte) {
	m.MAC = m.mac(key, direction, challenge)
}

func (m *message) signed(key []byte, direction string, challenge []byte) bool {
	return hmac.Equal(m.MAC, m.mac(key, direction, challenge))
}

func writeFrame(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxFrame {
		return fmt.Errorf("a message of %d bytes is too long", len(b))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func readFrame(r *bufio.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("a message of %d bytes is too long", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

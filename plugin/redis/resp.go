package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// reply is one RESP2 reply. An error reply is a reply like any other: the server is alive.
type reply struct {
	// failed is the server's own words when it replied with an error.
	failed string
	// text is a simple string, a bulk string, or an integer in decimal.
	text string
	// array is set for an array; null for the null reply.
	array []reply
	null  bool
}

// err is the error that the server replied, nil if it did not.
func (r reply) err() error {
	if r.failed == "" {
		return nil
	}
	return errors.New(r.failed)
}

// pairs reads an array of names and values, such as CONFIG GET replies.
func (r reply) pairs() map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(r.array); i += 2 {
		m[r.array[i].text] = r.array[i+1].text
	}
	return m
}

// count reads an integer, 0 if it is none.
func (r reply) count() int {
	n, _ := strconv.Atoi(r.text)
	return n
}

// What is asked for here is short: INFO and CONFIG GET. A reply that claims more than this is not from Redis.
const (
	maxBulk  = 8 << 20
	maxArray = 1 << 16
	maxDepth = 4
)

var errProtocol = errors.New("the reply is not RESP")

// readReply reads one reply.
func readReply(r *bufio.Reader, depth int) (reply, error) {
	line, err := readLine(r)
	if err != nil {
		return reply{}, err
	}
	if line == "" {
		return reply{}, fmt.Errorf("%w: an empty line", errProtocol)
	}
	switch rest := line[1:]; line[0] {
	case '+', ':':
		return reply{text: rest}, nil
	case '-':
		if rest == "" {
			rest = "an error without words"
		}
		return reply{failed: rest}, nil
	case '$':
		return readBulk(r, rest)
	case '*':
		return readArray(r, rest, depth)
	}
	return reply{}, fmt.Errorf("%w: it begins with %q", errProtocol, line[0])
}

// readLine reads up to CRLF, without it.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: a line without end", errProtocol)
	case err != nil:
		return "", err
	}
	return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
}

func readBulk(r *bufio.Reader, size string) (reply, error) {
	n, err := strconv.Atoi(size)
	switch {
	case err != nil || n > maxBulk || n < -1:
		return reply{}, fmt.Errorf("%w: a string of length %.20q", errProtocol, size)
	case n == -1:
		return reply{null: true}, nil
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return reply{}, err
	}
	return reply{text: string(b[:n])}, nil
}

func readArray(r *bufio.Reader, size string, depth int) (reply, error) {
	n, err := strconv.Atoi(size)
	switch {
	case err != nil || n > maxArray || n < -1 || depth >= maxDepth:
		return reply{}, fmt.Errorf("%w: an array of length %.20q", errProtocol, size)
	case n == -1:
		return reply{null: true}, nil
	}
	a := make([]reply, 0, min(n, 64))
	for range n {
		element, err := readReply(r, depth+1)
		if err != nil {
			return reply{}, err
		}
		a = append(a, element)
	}
	return reply{array: a}, nil
}

// appendCommand appends a command in the form in which clients send it.
func appendCommand(b []byte, words []string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(words))
	for _, word := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(word), word)
	}
	return b
}

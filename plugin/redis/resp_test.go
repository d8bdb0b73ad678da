package redis

import (
	"bufio"
	"strings"
	"testing"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

func TestReadReply(t *testing.T) {
	for _, test := range []struct{ in, failed, text string }{
		{"+OK\r\n", "", "OK"},
		{":7\r\n", "", "7"},
		{"-NOAUTH Authentication required.\r\n", "NOAUTH Authentication required.", ""},
		{"$5\r\na\r\nbc\r\n", "", "a\r\nbc"},
		{"$-1\r\n", "", ""},
	} {
		r, err := readReply(bufio.NewReader(strings.NewReader(test.in)), 0)
		if err != nil || r.failed != test.failed || r.text != test.text {
			t.Errorf("%q: %+v, %v", test.in, r, err)
		}
	}
	for _, in := range []string{"", "\r\n", "HTTP/1.1 400 Bad Request\r\n", "$999999999999\r\n", "*99999999\r\n", "$3\r\nab",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "+" + strings.Repeat("x", 1<<20)} {
		if r, err := readReply(bufio.NewReader(strings.NewReader(in)), 0); err == nil {
			t.Errorf("%.40q was taken for %+v", in, r)
		}
	}
}

func TestPositionOfAServerWithoutAHistoryBefore(t *testing.T) {
	f := parseFields("master_replid:abc\r\nmaster_replid2:0000\r\nmaster_repl_offset:42\r\nsecond_repl_offset:-1\r\n")
	if p := f.position(); p != (plugin.Position{ReplID: "abc", Offset: 42}) {
		t.Errorf("position %+v", p)
	}
}

// FuzzServer reads what a server, or whatever answers on its port, may say.
func FuzzServer(f *testing.F) {
	f.Add([]byte("*2\r\n$4\r\ninfo\r\n-ERR no\r\n"))
	f.Add([]byte("$60\r\nrole:slave\r\nmaster_host:h\r\nslave0:ip=1,port=2\r\ndb0:keys=1,x\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bufio.NewReader(strings.NewReader(string(b)))
		for {
			r, err := readReply(in, 0)
			if err != nil {
				break
			}
			r.pairs()
			parseFields(r.text).info(r.text)
		}
		parseFields(string(b)).info("")
	})
}

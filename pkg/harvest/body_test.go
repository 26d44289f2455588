package harvest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/pkg/harvest"
)

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func chunked(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := min(100, len(text))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, text[:n])
		text = text[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// forms are the ways a page comes over the wire.
var forms = map[string]func() (header, body string){
	"length":      func() (string, string) { return length(page), page },
	"chunked":     func() (string, string) { return "Transfer-Encoding: chunked\r\n", chunked(page) },
	"until close": func() (string, string) { return "Connection: close\r\n", page },
	"gzip": func() (string, string) {
		return "Content-Encoding: gzip\r\n" + length(zipped(page)), zipped(page)
	},
	"gzip until close": func() (string, string) {
		return "Content-Encoding: gzip\r\nConnection: close\r\n", zipped(page)
	},
	"gzip chunked": func() (string, string) {
		return "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", chunked(zipped(page))
	},
}

// TestCutAnswer cuts the connection after every byte of an answer, in every form: nothing but the whole is accepted,
// and the next try gets it (H6). A chunked answer may lack what follows its last chunk's size.
func TestCutAnswer(t *testing.T) {
	for name, form := range forms {
		synctest.Test(t, func(t *testing.T) {
			header, body := form()
			whole := answer(header, body)
			cut := 0
			var send string
			c := setup(t, wire(t, func(conn net.Conn) {
				if readRequest(conn) == nil {
					now := send
					send = whole
					_, _ = io.WriteString(conn, now)
				}
			}), func(c *harvest.Config) { c.Limit = 1_000_000; c.Jitter = func() float64 { return 0 }; c.Log = nil })
			accepted := 0
			for ; cut < len(whole); cut++ {
				send = whole[:cut]
				c.attempts = nil
				rows, err := c.users(t.Context())
				if rows != 2 || err != nil {
					t.Fatalf("%s: after %d bytes: %d rows, %v", name, cut, rows, err)
				}
				if len(c.attempts) == 1 {
					accepted++
				}
			}
			if accepted > 0 && !(strings.Contains(name, "chunked") && accepted <= 2) {
				t.Errorf("%s: accepted %d cut answers", name, accepted)
			}
		})
	}
}

func TestWrongLength(t *testing.T) {
	for _, n := range []int{len(page) - 1, len(page) + 1} {
		synctest.Test(t, func(t *testing.T) {
			c := setup(t, lying(n))
			_, err := c.users(t.Context())
			var refused *harvest.BodyError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "cut") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// lying is a transport that announces another length than it sends.
type lying int

func (l lying) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 200, ContentLength: int64(l), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(page)),
	}, nil
}

// TestNotJSON: what is refused although the status is 200 (H5).
func TestNotJSON(t *testing.T) {
	for _, c := range []struct{ header, value, body, want string }{
		{"Content-Type", "text/html; charset=utf-8", "<html>", "an HTML page instead of JSON"},
		{"Content-Type", "text/plain", page, "not JSON"},
		{"Content-Type", "application/octet-stream", page, "not JSON"},
		{"Content-Type", ";;;", page, "not JSON"},
		{"Content-Type", "application/json", "<html>", "is not JSON"},
		{"Content-Type", "application/json", "", "is empty"},
		{"Content-Type", "application/json", "null", "is null"},
		{"Content-Encoding", "br", page, "an encoding no one asked for"},
		{"Content-Encoding", "gzip, gzip", zipped(zipped(page)), "an encoding no one asked for"},
		{"Content-Encoding", "gzip", page, "gzip: "},
		{"Content-Encoding", "gzip", zipped(page)[:50], "gzip: unexpected EOF"},
		{"Content-Encoding", "gzip", zipped(page) + "x", "gzip: "},
		{"Content-Encoding", "", zipped(page), "is not JSON"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, handler(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(c.header, c.value)
				_, _ = io.WriteString(w, c.body)
			}))
			_, err := b.users(t.Context())
			var refused *harvest.BodyError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || harvest.Unavailable(err) {
				t.Errorf("%s %q: got %v, want %q", c.header, c.value, err, c.want)
			}
			if len(b.attempts) != harvest.MaxTries {
				t.Errorf("%q: %d tries", c.value, len(b.attempts))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		for _, media := range []string{"", "application/json", "application/vnd.api+json", "Application/JSON;charset=utf-8"} {
			b := setup(t, handler(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{media}
				_, _ = io.WriteString(w, page)
			}))
			if _, err := b.users(t.Context()); err != nil {
				t.Errorf("%q: %v", media, err)
			}
		}
	})
}

// TestBombs: sizes are bounded before they are memory (M3, M4); what is left of the answer is not even read.
func TestBombs(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	w, err := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, harvest.MaxDecoded/32)
	for range 64 {
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	half := int64(bomb.Len())/2 + 8<<10
	for name, c := range map[string]struct {
		header http.Header
		body   io.Reader
		want   string
		most   int64 // bytes read
	}{
		"gzip":    {http.Header{"Content-Encoding": {"gzip"}}, &bomb, "bytes after gzip", half},
		"endless": {http.Header{}, endless{}, "more than 33554432 bytes", 64 << 20},
	} {
		b := setup(t, &streamer{body: c.body, header: c.header}, func(c *harvest.Config) { c.Jitter = func() float64 { return 0 } })
		_, err := b.users(t.Context())
		if !harvest.IsNotFound(err) || !strings.Contains(b.log.String(), c.want) || b.attempts[0].Bytes > c.most {
			t.Errorf("%s: %d bytes, %v, log %s", name, b.attempts[0].Bytes, err, b.log.String())
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// streamer is a transport that answers with a body, once; then with 404.
type streamer struct {
	body   io.Reader
	header http.Header
	asked  bool
}

func (s *streamer) RoundTrip(*http.Request) (*http.Response, error) {
	status := 200
	if s.asked {
		status = 404
	}
	s.asked = true
	return &http.Response{StatusCode: status, ContentLength: -1, Header: s.header, Body: io.NopCloser(s.body)}, nil
}

// TestSlow: each way of never finishing ends in time (H7, M9).
func TestSlow(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		most  time.Duration // one try's
		want  string
	}{
		"no header": {func(conn net.Conn) { _ = readRequest(conn); <-time.After(time.Hour) }, 11 * time.Second, "timeout awaiting response headers"},
		"no body": {func(conn net.Conn) {
			_ = readRequest(conn)
			_, _ = io.WriteString(conn, answer(length(page), ""))
			<-time.After(time.Hour)
		}, 16 * time.Second, "sent nothing for 15s"},
		"a byte a second": {func(conn net.Conn) {
			_ = readRequest(conn)
			_, _ = io.WriteString(conn, answer(length(page), ""))
			for i := range len(page) {
				time.Sleep(time.Second)
				if _, err := conn.Write([]byte{page[i]}); err != nil {
					return
				}
			}
		}, 61 * time.Second, "took longer than 1m0s"},
		"slow error": {func(conn net.Conn) {
			_ = readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\n")
			<-time.After(time.Hour)
		}, 16 * time.Second, "500 Internal Server Error"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := setup(t, wire(t, c.serve), func(c *harvest.Config) { c.Jitter = func() float64 { return 0 } })
			_, err := b.users(t.Context())
			if !harvest.Unavailable(err) || !strings.Contains(err.Error(), c.want) || len(b.attempts) != harvest.MaxTries {
				t.Errorf("%s: %d tries, %v", name, len(b.attempts), err)
			}
			for _, a := range b.attempts {
				if a.Took > c.most {
					t.Errorf("%s: a try took %v", name, a.Took)
				}
			}
		})
	}
}

func TestHugeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wire(t, func(conn net.Conn) {
			_ = readRequest(conn)
			_, _ = io.WriteString(conn, answer("X: "+strings.Repeat("x", 2*harvest.MaxHeader)+"\r\n"+length(page), page))
		}))
		if _, err := b.users(t.Context()); !harvest.Unavailable(err) {
			t.Errorf("got %v", err)
		}
	})
}

// TestMalformedAnswerIsMasked: net/http quotes what it cannot parse.
func TestMalformedAnswerIsMasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, wire(t, func(conn net.Conn) {
			_ = readRequest(conn)
			_, _ = io.WriteString(conn, "Bearer "+canary+"\r\n\r\n")
		}))
		_, err := b.users(t.Context())
		b.clean(t, err)
	})
}

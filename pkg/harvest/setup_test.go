package harvest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"harveststream/pkg/harvest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "1234567.pt.canary-Secret_0123456789"

// page is one page of users, as Harvest sends it.
const page = `{"users":[{"id":1,"first_name":"User 1"},{"id":2,"first_name":"Us\u0065r 2"}],"per_page":2000,` +
	`"total_pages":1,"total_entries":2,"next_page":null,"previous_page":null,"page":1,` +
	`"links":{"first":"https://api.harvestapp.com/v2/users?page=1&per_page=2000&ref=first","next":null,` +
	`"previous":null,"last":"https://api.harvestapp.com/v2/users?page=1&per_page=2000&ref=last"}}`

// bundle is a client, what it logs, and what its attempts were.
type bundle struct {
	*harvest.Client
	log      lockedBuffer
	attempts []harvest.Attempt
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup returns a client of transport. Its retries wait as long as they may.
func setup(t *testing.T, transport http.RoundTripper, change ...func(*harvest.Config)) *bundle {
	t.Helper()
	b := &bundle{}
	var mu sync.Mutex
	config := harvest.Config{
		BaseURL: "http://127.0.0.1/v2", Token: canary, Account: 42, UserAgent: "test (test@example.com)", Limit: 100,
		Transport: transport,
		Log:       slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Jitter:    func() float64 { return 1 },
		Observe: func(a harvest.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			b.attempts = append(b.attempts, a)
		},
	}
	for _, f := range change {
		f(&config)
	}
	var err error
	if b.Client, err = harvest.New(config); err != nil {
		t.Fatal(err)
	}
	return b
}

// users reads the list of users once and returns how many rows came.
func (b *bundle) users(ctx context.Context) (int, error) {
	rows := 0
	err := b.Do(ctx, harvest.Request{Path: "users"}, func(r *harvest.Response) error {
		rows = 0
		_, err := harvest.ReadPage(r.Body, "users", func(b []byte) (int, error) {
			rows++
			return harvest.Skip(b)
		})
		return err
	})
	return rows, err
}

// handler is a transport that calls an http.Handler, without sockets.
type handler http.HandlerFunc

func (h handler) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	h(w, req)
	return w.Result(), nil
}

func always(status int, body string) handler {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// wire is a transport of the client's own kind whose connections are pipes; each is handed to serve, and closed after.
func wire(t *testing.T, serve func(net.Conn)) *http.Transport {
	t.Helper()
	transport := harvest.NewTransport()
	transport.Proxy = nil
	var group sync.WaitGroup
	transport.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
		if addr != "127.0.0.1:80" {
			t.Errorf("dialled %s", addr)
			return nil, errors.New("refused")
		}
		ours, theirs := net.Pipe()
		group.Go(func() {
			defer theirs.Close()
			serve(theirs)
		})
		return ours, nil
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		group.Wait()
	})
	return transport
}

// readRequest reads a request's header, as far as its empty line.
func readRequest(conn net.Conn) error {
	var seen []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(seen, []byte("\r\n\r\n")) {
		if _, err := conn.Read(one); err != nil {
			return err
		}
		seen = append(seen, one...)
	}
	return nil
}

// answer is a whole answer on the wire.
func answer(header, body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) +
		"\r\n" + header + "\r\n" + body
}

func length(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }

// clean fails when the token is in an error or in the log.
func (b *bundle) clean(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for name, text := range map[string]string{"error": err.Error(), "log": b.log.String()} {
		if strings.Contains(text, canary) || strings.Contains(text, canary[10:20]) {
			t.Errorf("the token is in the %s: %s", name, text)
		}
		if strings.ContainsAny(strings.ReplaceAll(text, "\n", ""), "\x00\x1b\r") {
			t.Errorf("control characters in the %s: %q", name, text)
		}
	}
}

func slogTo(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

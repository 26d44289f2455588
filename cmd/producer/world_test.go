package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"harveststream/pkg/harvest/harvesttest"
)

// The surroundings of a measured producer are a process of their own: this test binary, started again. So what account, broker and
// registry cost is not charged to it.
const surroundings = "HARVESTSTREAM_BENCH_SURROUNDINGS"

func TestMain(m *testing.M) {
	if os.Getenv(surroundings) != "" {
		if err := surround(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	pageRows  = 2000 // Harvest's largest page
	token     = "test-token"
	accountID = 482913
)

// list is an account's time entries: made on the fly, never changing. Everything else is a small simulated account's.
type list struct {
	rest  http.Handler
	rows  int
	whole atomic.Int64 // pages served of the whole list
}

func (l *list) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.URL.Path == "/pages":
		fmt.Fprint(w, l.whole.Load())
	case r.URL.Path != "/v2/time_entries":
		l.rest.ServeHTTP(w, r)
	case q.Has("updated_since") || q.Has("from") || q.Has("is_running"):
		l.page(w, r, 0, 1)
	case q.Get("per_page") == "1": // a probe
		l.page(w, r, min(l.rows, 1), 1)
	default:
		n, err := strconv.Atoi(q.Get("page"))
		if err != nil {
			n = 1
		}
		l.page(w, r, l.rows, n)
		l.whole.Add(1)
	}
}

// page serves one page of the first so many rows.
func (l *list) page(w http.ResponseWriter, r *http.Request, rows, page int) {
	from, to := (page-1)*pageRows, min(page*pageRows, rows)
	body := append(make([]byte, 0, 1200*(to-from)+1000), `{"time_entries":[`...)
	for i := from; i < to; i++ {
		if i > from {
			body = append(body, ',')
		}
		body = harvesttest.AppendTimeEntry(body, i)
	}
	total, next, link := l.rows, "null", "null"
	if rows == 0 {
		total = 0
	}
	if to < rows && rows > 1 {
		next, link = strconv.Itoa(page+1), fmt.Sprintf(`"http://%s/v2/time_entries?page=%d&per_page=%d&ref=next_page"`, r.Host, page+1, pageRows)
	}
	body = fmt.Appendf(body, `],"per_page":%d,"total_pages":%d,"total_entries":%d,"next_page":%s,"page":%d,"previous_page":null,"links":{"first":null,"next":%s,"previous":null,"last":null}}`,
		pageRows, max(1, (rows+pageRows-1)/pageRows), total, next, page, link)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// surround serves an account of so many time entries, a broker and a registry until its input ends, and prints where they are.
func surround() error {
	rows, err := strconv.Atoi(os.Getenv(surroundings))
	if err != nil {
		return err
	}
	bus, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "86400000000", "log.retention.ms": "-1"}))
	if err != nil {
		return err
	}
	defer bus.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	base := "http://" + listener.Addr().String()
	sim := harvesttest.New(harvesttest.Options{Seed: 5, Account: accountID, BaseURL: base + "/v2", NoRequests: true, Limit: 1 << 30,
		Sizes: harvesttest.Sizes{Users: 5, Clients: 2, Projects: 2, Tasks: 2, Invoices: -1, Estimates: -1, Expenses: -1, TimeEntries: -1}})
	server := &http.Server{Handler: &list{rest: sim, rows: rows}, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	registry := httptest.NewServer(srfake.NewRegistry().Handler())
	defer registry.Close()
	fmt.Println(base, strings.Join(bus.ListenAddrs(), ","), registry.URL)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// world is the surroundings and the built program.
type world struct {
	tb      testing.TB
	program string
	base    string
	env     []string
}

func newWorld(tb testing.TB, rows int) *world {
	tb.Helper()
	w := &world{tb: tb, program: tb.TempDir() + "/producer"}
	if out, err := exec.CommandContext(tb.Context(), "go", "build", "-o", w.program, ".").CombinedOutput(); err != nil {
		tb.Fatalf("building the producer: %v\n%s", err, out)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	around := exec.CommandContext(ctx, os.Args[0])
	around.Env = append(os.Environ(), surroundings+"="+strconv.Itoa(rows))
	around.Stderr = os.Stderr
	input, err := around.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	output, err := around.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := around.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = input.Close()
		_ = around.Wait()
		stop()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	where := strings.Fields(line)
	if err != nil || len(where) != 3 {
		tb.Fatalf("the surroundings said %q, %v", line, err)
	}
	w.base = where[0]
	w.env = append(os.Environ(), "GOMAXPROCS=1", "HARVEST_API_KEY="+token, "HARVEST_ACCOUNT_ID="+strconv.Itoa(accountID), "HARVEST_CONTACT=https://example.com",
		"HARVEST_BASE_URL="+w.base+"/v2", "KAFKA_BROKERS="+where[1], "SCHEMA_REGISTRY_URL="+where[2], "HARVEST_ANCHOR_DATE=all", "HARVEST_STREAMS=time_entries",
		"HARVEST_RATE_LIMIT=30000", "KAFKA_COMPRESSION=none", "ADMIN_ADDR=", "LOG_LEVEL=warn")
	return w
}

// command is the producer with some arguments and further variables, not yet started.
func (w *world) command(args []string, more ...string) *exec.Cmd {
	c := exec.CommandContext(w.tb.Context(), w.program, args...)
	c.Env = append(append([]string{}, w.env...), more...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	return c
}

// pages is how many pages of the whole list were served.
func (w *world) pages() int {
	w.tb.Helper()
	r, err := http.NewRequestWithContext(w.tb.Context(), http.MethodGet, w.base+"/pages", nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.tb.Fatal(err)
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		w.tb.Fatal(err)
	}
	return n
}

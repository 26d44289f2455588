package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/ops"
	"harveststream/internal/pgserver"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// output is what a program wrote so far, to be waited for.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // filled by each write
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	select {
	case o.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the pattern is there.
func (o *output) await(t *testing.T, pattern string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // for ever, on a busy machine too
	defer cancel()
	for {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(o.String()); m != nil {
			return m
		}
		select {
		case <-o.more:
		case <-ctx.Done():
			t.Fatalf("%q did not come; there is:\n%s", pattern, o)
		}
	}
}

// start runs quickstart as a process would; wait gives its exit code.
func start(ctx context.Context, environ []string, args ...string) (out *output, wait func() int) {
	out = newOutput()
	code := make(chan int, 1)
	go func() {
		code <- ops.Execute(ctx, ops.Env{Version: "test", Environ: environ, Stdin: strings.NewReader(""), Stdout: out, Stderr: out}, args, command)
	}()
	return out, func() int { return <-code }
}

// private makes the temporary directory one of the test's own and returns what checks that nothing is left in it.
func private(t *testing.T) (empty func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "quickstart-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // under root the database's user has to get in
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return func() {
		t.Helper()
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// Nothing is given: everything is started, compared, and gone afterwards; and once more.
func TestOnce(t *testing.T) {
	empty := private(t)
	for range 2 {
		out, wait := start(t.Context(), nil, "--once", "--entries", "200")
		if code := wait(); code != ops.ExitOK || !strings.Contains(out.String(), "All 21 tables equal the account") {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
		empty()
	}
}

// Until it is interrupted it follows the account; the queries it proposes answer something; then nothing is left.
func TestUntilInterrupted(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	empty := private(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, wait := start(ctx, nil, "--entries", "2000", "--log", log)
	url := out.await(t, `psql '(\S+)'`)[1]
	shown := out.await(t, `(?s)\n-- .*Ctrl-C`)[0]
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	statements := regexp.MustCompile(`(?ms)^SELECT.*?;$`).FindAllString(shown, -1)
	if len(statements) != 3 {
		t.Errorf("%d queries are shown, want 3:\n%s", len(statements), shown)
	}
	for _, sql := range statements {
		rows, err := db.Query(t.Context(), sql)
		if err != nil {
			t.Fatalf("%v in %s", err, sql)
		}
		if all, err := pgx.CollectRows(rows, pgx.RowToMap); err != nil || len(all) == 0 {
			t.Errorf("%d rows, %v, from %s", len(all), err, sql)
		}
	}
	_ = db.Close(t.Context())
	interrupt()
	if code := wait(); code != ops.ExitOK {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	empty()
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "program=producer") {
		t.Errorf("the log file holds %.200q, %v", text, err)
	}
}

// A given database keeps the tables, takes a second start, and is not touched where it is not ours.
func TestGivenDatabase(t *testing.T) {
	t.Parallel()
	url := pgserver.Database(t)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	file := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(file, []byte("defaults: {object: \"work.my_{stream_name}\"}\nstreams: {'*': , clients: {object: other.firms}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"DATABASE_URL=" + url, "REPLICATION_FILE=" + file, "SINK_DELETE_MODE=soft", "KAFKA_PARTITIONS=3", "SINK_SCHEMA=Mine"}
	for range 2 {
		if out, wait := start(t.Context(), environ, "--once", "--entries", "100"); wait() != ops.ExitOK {
			t.Fatalf("%s", out)
		}
		var n int
		if err := db.QueryRow(t.Context(), "SELECT count(*) FROM work.my_time_entries").Scan(&n); err != nil || n < 100 {
			t.Errorf("%d rows stay, %v", n, err)
		}
	}
	if _, err := db.Exec(t.Context(), "COMMENT ON SCHEMA other IS NULL"); err != nil {
		t.Fatal(err)
	}
	out, wait := start(t.Context(), environ, "--once", "--entries", "100")
	if code := wait(); code != ops.ExitConfig || !strings.Contains(out.String(), "schema other exists") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// With a token the account is whatever answers at HARVEST_BASE_URL, counted as it counts itself.
func TestRealAccount(t *testing.T) {
	t.Parallel()
	base, stop, err := serve(newSimulation(100), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	environ := []string{"DATABASE_URL=" + pgserver.Database(t), "HARVEST_API_KEY=" + simulatedToken, fmt.Sprint("HARVEST_ACCOUNT_ID=", simulatedAccount),
		"HARVEST_BASE_URL=" + base + "/v2", "HARVEST_STREAMS=company,clients,time_entries", "HARVEST_CONTACT=https://example.com"}
	out, wait := start(t.Context(), environ, "--once")
	if code := wait(); code != ops.ExitOK || !strings.Contains(out.String(), "3 tables are complete") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	const canary = "canary-7b2e90"
	out, wait = start(t.Context(), append(environ, "HARVEST_API_KEY="+canary), "--once")
	if code := wait(); code != ops.ExitPermission || !strings.Contains(out.String(), "HARVEST_API_KEY") || strings.Contains(out.String(), canary) {
		t.Errorf("with a wrong token: exit code %d:\n%s", code, out)
	}
}

func TestCensus(t *testing.T) {
	t.Parallel()
	sim := newSimulation(100)
	base, stop, err := serve(sim, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	set, err := load(ops.Env{Environ: []string{"HARVEST_BASE_URL=" + base + "/v2", "HARVEST_API_KEY=" + simulatedToken, fmt.Sprint("HARVEST_ACCOUNT_ID=", simulatedAccount)}},
		nil, []string{"KAFKA_BROKERS=localhost:1", "SCHEMA_REGISTRY_URL=http://localhost:1", "DATABASE_URL=postgres:///x"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCensus(set.producer)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range set.streams[:4] { // the first requests do not wait for the limiter
		n, err := c.count(t.Context(), st)
		if err != nil || n != sim.Count(st.Name) {
			t.Errorf("%s: counted %d, there are %d, %v", st.Name, n, sim.Count(st.Name), err)
		}
	}
	if n := c.Count("clients"); n != -1 {
		t.Errorf("before it was asked for there are %d", n)
	}
}

func TestWrongInput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		code    int
		environ []string
		args    []string
		says    string
	}{
		{"no entries", ops.ExitUsage, nil, []string{"--entries", "0"}, "--entries 0"},
		{"unknown argument", ops.ExitUsage, nil, []string{"twice"}, "twice"},
		{"unknown flag", ops.ExitUsage, nil, []string{"simulator", "--port", "1"}, "--port"},
		{"no address", ops.ExitUsage, nil, []string{"simulator", "--listen", "here"}, "--listen"},
		{"log nowhere", ops.ExitUsage, nil, []string{"--log", "/nowhere/log"}, "--log"},
		{"no such stream", ops.ExitConfig, []string{"HARVEST_STREAMS=timesheets"}, nil, "HARVEST_STREAMS"},
		{"no such mode", ops.ExitConfig, []string{"SINK_DELETE_MODE=gently"}, nil, "SINK_DELETE_MODE"},
		{"real account without its number", ops.ExitConfig, []string{"HARVEST_API_KEY=x"}, nil, "HARVEST_ACCOUNT_ID"},
		{"no database there", ops.ExitUnavailable, nil, nil, "DATABASE_URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			environ := append([]string{"DATABASE_URL=postgres://localhost:1/none?connect_timeout=1"}, c.environ...)
			out, wait := start(t.Context(), environ, c.args...)
			if code := wait(); code != c.code || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, c.code, c.says, out)
			}
		})
	}
}

// The simulator by itself says how it is reached.
func TestSimulator(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, wait := start(ctx, nil, "simulator", "--listen", "127.0.0.1:0", "--entries", "50")
	base := out.await(t, `HARVEST_BASE_URL=(\S+)/v2\n`)[1]
	out.await(t, `HARVEST_API_KEY=\S+\n`)
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/v2/company": http.StatusUnauthorized} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %s", path, resp.Status)
		}
	}
	interrupt()
	if code := wait(); code != ops.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

// The table never has more lines than the terminal, nor longer ones.
func TestTableFits(t *testing.T) {
	t.Parallel()
	s := &screen{began: time.Now()}
	var f figures
	for i := range 21 {
		f = append(f, figure{stream: fmt.Sprint("stream_with_a_long_name_", i), harvest: 1000 * i, rows: 500 * i, newest: time.Now()})
	}
	for _, size := range [][2]int{{80, 24}, {120, 50}, {40, 10}, {20, 5}} {
		lines := strings.Split(s.table(f, size[0], size[1]), "\n")
		if len(lines) >= size[1] {
			t.Errorf("%d lines on a terminal of %d", len(lines), size[1])
		}
		for _, line := range lines {
			if n := len([]rune(line)); n >= size[0] {
				t.Errorf("a line of %d characters on a terminal of %d: %s", n, size[0], line)
			}
		}
	}
	if full := s.table(f, 120, 50); strings.Count(full, "stream_with") != 21 {
		t.Errorf("not every stream is shown:\n%s", full)
	}
}

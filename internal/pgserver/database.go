package pgserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// TB is what Database needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// shared is the tests' one server of this process.
var shared struct {
	sync.Mutex
	server *Server
	url    string
}

// Database gives a test an empty database of its own and returns its URL; it is dropped when the test ends. The server
// is the one DATABASE_URL names, else one of this process, started by the first call and stopped by Main. In a synctest
// bubble: call it before the bubble begins.
func Database(tb TB) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	server, err := sharedURL(ctx)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute(ctx, server, "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("creating a database for this test: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if err := execute(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Logf("dropping this test's database: %v", err)
		}
	})
	return withDatabase(server, name)
}

// Main is for TestMain: it runs the tests, stops the server they used, and returns the exit code.
func Main(m interface{ Run() int }) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping PostgreSQL:", err)
		return max(code, 1)
	}
	shared.server, shared.url = nil, ""
	return code
}

func sharedURL(ctx context.Context) (string, error) {
	if given := os.Getenv("DATABASE_URL"); given != "" { //nolint:forbidigo // tests have no configuration struct
		return given, nil
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := Start(ctx, Options{})
		if err != nil {
			return "", err
		}
		shared.server, shared.url = s, s.URL
	}
	return shared.url, nil
}

func execute(ctx context.Context, server, sql string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("executing %s: %w", sql, err)
	}
	return nil
}

// withDatabase is the same server's URL or keyword string with another database; of a repeated keyword the last counts.
func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		return server + " dbname=" + name
	}
	u.Path = "/" + name
	return u.String()
}

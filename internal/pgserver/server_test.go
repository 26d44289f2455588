package pgserver_test

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/pgserver"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

func TestDatabaseIsEmptyAndOwn(t *testing.T) {
	t.Parallel()
	one, two := pgserver.Database(t), pgserver.Database(t)
	query(t, one, "CREATE TABLE t (id bigint)")
	if got := query(t, two, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); got != int64(0) {
		t.Fatalf("a new database has %v tables", got)
	}
}

func TestDurableServerKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "data")
	for i := range int64(2) {
		s, err := pgserver.Start(t.Context(), pgserver.Options{Dir: dir, Durable: true})
		if err != nil {
			t.Fatal(err)
		}
		query(t, s.URL, "CREATE TABLE IF NOT EXISTS t (id bigint)")
		query(t, s.URL, "INSERT INTO t VALUES (1)")
		if got := query(t, s.URL, "SELECT count(*) FROM t"); got != i+1 {
			t.Errorf("start %d: %v rows, want %d", i, got, i+1)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecondServerOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "data")
	first, err := pgserver.Start(t.Context(), pgserver.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Stop()
	second, err := pgserver.Start(t.Context(), pgserver.Options{Dir: dir})
	if err == nil {
		second.Stop()
		t.Fatal("two servers on one directory")
	}
	if !strings.Contains(err.Error(), "postmaster.pid") {
		t.Errorf("the error does not show what the server said: %v", err)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	s, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.Host); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", cfg.Host, err)
	}
	if conn, err := pgx.Connect(t.Context(), s.URL); err == nil {
		conn.Close(t.Context())
		t.Error("the server still answers")
	}
}

func TestNewestVersionIsTaken(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, v := range []string{"9.6", "16", "15", "17"} {
		bin := filepath.Join(root, "pg", v, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres"} {
			if v == "17" && name == "postgres" {
				continue // a client's package: no server in it
			}
			if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := filepath.Join(root, "pg", "16", "bin")
	if got := pgserver.Newest([]string{"/nowhere/*", root + "/pg/*/bin"}); got != want {
		t.Errorf("newest is %s, want %s", got, want)
	}
}

// The download is 15 MB from Maven Central: not for every test run on every machine. .ci/run sets the variable.
func TestFetchedServerRuns(t *testing.T) {
	if os.Getenv("PGSERVER_FETCH") == "" {
		t.Skip("PGSERVER_FETCH=1 downloads a PostgreSQL and runs it")
	}
	dir := temp(t)
	t.Setenv("TMPDIR", dir)
	bin, err := pgserver.Fetch(filepath.Join(dir, "fetched"), cmp.Or(os.Getenv("PGSERVER_VERSION"), "18"))
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "embedded_postgres_log*")); runtime.GOOS == "linux" && len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	t.Setenv("PGBIN", bin)
	began := time.Now()
	s, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	t.Logf("%v, ready after %s", query(t, s.URL, "SHOW server_version"), time.Since(began))
}

// temp is a directory the server's user can reach: under root t.TempDir is not.
func temp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// query runs one statement and returns the first value of its first row, nil without rows.
func query(t *testing.T, url, sql string) any {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (any, error) {
		all, err := row.Values()
		if err != nil {
			return nil, err
		}
		return all[0], nil
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

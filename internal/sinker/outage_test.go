package sinker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/ops"
	"harveststream/internal/pgserver"
	"harveststream/internal/sinker"
)

// heard is a log that tests wait on.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string
	met  chan struct{} // closed once want was said
}

// hear has the service's log looked through for a text.
func (w *world) hear(want string) *heard {
	h := &heard{want: want, met: make(chan struct{})}
	w.deps.Log = slog.New(slog.NewTextHandler(io.MultiWriter(h, testLog{w.t}), nil))
	return h
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(b)
	if h.want != "" && strings.Contains(h.text.String(), h.want) {
		h.want = ""
		close(h.met)
	}
	return len(b), nil
}

// await waits for what must come.
func (w *world) await(met <-chan struct{}) {
	w.t.Helper()
	select {
	case <-met:
	case <-time.After(forEver):
		w.t.Fatal("it has not come")
	}
}

// applied waits until what a history has published is.
func (w *world) applied() {
	w.t.Helper()
	w.eventually("SELECT (seqs -> $1 ->> 'seq')::bigint = $2 FROM harvest._offsets", fmt.Sprint(account), w.seqs[fmt.Sprint("harvest.tasks", int64(account), int32(0))])
}

// TestOutOfConnections: a server that takes no more connections is waited for (S1; reliability Q3).
func TestOutOfConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.drain()
	low, role := w.lowRole()
	w.sql("GRANT USAGE ON SCHEMA harvest TO " + role + "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA harvest TO " + role)
	refused := w.hear("too many connections")
	w.serve("DATABASE_URL=" + low.DatabaseURL.Reveal())
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	w.sql("ALTER ROLE " + role + " CONNECTION LIMIT 0")
	w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)
	w.publish(version{stream: tasks, id: 2, row: row{}})
	w.await(refused.met)
	w.sql("ALTER ROLE " + role + " CONNECTION LIMIT -1")
	w.eventually("SELECT count(*) = 2 FROM harvest.tasks")
}

// TestDiskFull: a full disk is waited for, and nobody's record is to blame (S5; reliability Q6). The server says so by a trigger.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.drain()
	w.sql(`CREATE TABLE full_disk (x int); INSERT INTO full_disk VALUES (1);
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF EXISTS (SELECT FROM public.full_disk) THEN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END IF; RETURN NEW; END $$;
CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON harvest.tasks FOR EACH ROW EXECUTE FUNCTION fill()`)
	refused := w.hear("No space left")
	w.serve()
	want := w.history(rand.New(rand.NewPCG(51, 52)), 200, false)
	w.await(refused.met)
	w.sql("DELETE FROM full_disk")
	w.applied()
	w.equal(w.table("harvest.tasks", "id, account_id"), want)
	if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestSignedAgain: a drain whose last word is refused for a moment says it again.
func TestSignedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.drain()
	w.sql(`CREATE SEQUENCE tries; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF nextval('public.tries') % 3 <> 0 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON harvest._offsets DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	w.publish(version{stream: stream(t, "tasks"), id: 2, row: row{}})
	w.drain()
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// ownServer is a PostgreSQL that a test may crash and restart; its address stays.
type ownServer struct {
	t      *testing.T
	dir    string
	server *pgserver.Server
}

func newOwnServer(t *testing.T) *ownServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "sinker-outage-") // under root the server's user cannot reach t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &ownServer{t: t, dir: dir}
	s.start()
	t.Cleanup(func() { _ = s.server.Stop() })
	return s
}

func (s *ownServer) start() {
	var err error
	if s.server, err = pgserver.Start(s.t.Context(), pgserver.Options{Dir: filepath.Join(s.dir, "data"), Durable: true}); err != nil {
		s.t.Error(err)
		return
	}
	u, err := url.Parse(s.server.URL)
	if err != nil {
		s.t.Error(err)
		return
	}
	link := filepath.Join(s.dir, "sockets")
	_ = os.Remove(link)
	if err := os.Symlink(u.Query().Get("host"), link); err != nil {
		s.t.Error(err)
	}
}

func (s *ownServer) url() string {
	return "postgres:///postgres?host=" + url.QueryEscape(filepath.Join(s.dir, "sockets")) + "&user=postgres"
}

// restart is pg_ctl restart -m fast.
func (s *ownServer) restart() {
	if err := s.server.Stop(); err != nil {
		s.t.Error(err)
	}
	s.start()
}

// crash kills the server's processes that work for sinkers: the server throws everybody out and recovers from its log.
func (s *ownServer) crash() {
	conn, err := pgx.Connect(s.t.Context(), s.url())
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close(s.t.Context())
	rows, err := conn.Query(s.t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'harvest-sinker' ORDER BY state = 'idle'")
	if err != nil {
		s.t.Error(err)
		return
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(pids) == 0 {
		s.t.Errorf("%d processes are at work: %v", len(pids), err)
		return
	}
	_ = syscall.Kill(pids[0], syscall.SIGKILL)
	for err == nil { // until we are thrown out, too
		_, err = conn.Exec(s.t.Context(), "SELECT 1")
	}
}

// TestServerEnds: PostgreSQL restarted, or crashed, in the middle of a COPY, before and during COMMIT: the service goes on by itself, and
// nothing is lost, nothing twice (S1; reliability Q1, Q2, Q14).
func TestServerEnds(t *testing.T) {
	t.Parallel()
	s := newOwnServer(t)
	w := newWorldIn(t, s.url())
	w.topics(1, "tasks")
	var end struct {
		sync.Mutex
		at   string
		how  func()
		done chan struct{}
	}
	w.deps.Hook = func(at string) error {
		end.Lock()
		defer end.Unlock()
		if at == end.at {
			end.at = ""
			end.how()
			close(end.done)
		}
		return nil
	}
	w.serve()
	r := rand.New(rand.NewPCG(61, 62))
	for _, point := range []string{"ks03", "ks04", "ks05", "ks06"} {
		for name, how := range map[string]func(){"restart": s.restart, "crash": s.crash} {
			done := make(chan struct{})
			end.Lock()
			end.at, end.how, end.done = point, how, done
			end.Unlock()
			want := w.history(r, 80, false)
			w.await(done)
			w.reconnect()
			w.applied()
			w.equal(pick(w.table("harvest.tasks", "id, account_id"), want), want)
			t.Logf("%s at %s: done", name, point)
		}
	}
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}); ops.ExitCode(err) != ops.ExitOK {
		t.Error(err)
	}
}

// reconnect makes a new connection for the test itself.
func (w *world) reconnect() {
	w.t.Helper()
	for {
		conn, err := pgx.Connect(w.t.Context(), w.url)
		if err == nil {
			w.db = conn
			w.sql("SET TimeZone = 'UTC'")
			w.t.Cleanup(func() { _ = conn.Close(w.t.Context()) })
			return
		}
		if w.t.Context().Err() != nil {
			w.t.Fatal(err)
		}
	}
}

// hold runs a statement in a transaction that stays open until let, or the test, ends it.
func (w *world) hold(text string) (let func()) {
	w.t.Helper()
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	let = func() { _ = conn.Close(context.Background()) }
	w.t.Cleanup(let)
	if _, err := conn.Exec(context.Background(), "BEGIN; "+text); err != nil {
		w.t.Fatal(err)
	}
	return let
}

// TestSignBeside: who holds the row of one partition for long, as a rebuild does, keeps nobody from giving signs of life for the others, or
// from applying what comes for them (S1, S8).
func TestSignBeside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "clients")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}}, version{stream: stream(t, "clients"), id: 1, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	w.eventually("SELECT count(*) = 1 FROM harvest.clients")
	w.hold("SELECT FROM harvest._offsets WHERE topic = 'harvest.tasks' FOR UPDATE")
	held := one[time.Time](w, "SELECT now()")
	w.eventually("SELECT updated_at > $1 AND at_end > $1 FROM harvest._offsets WHERE topic = 'harvest.clients'", held)
	w.publish(version{stream: stream(t, "clients"), id: 2, row: row{}})
	w.eventually("SELECT count(*) = 2 FROM harvest.clients")
}

// TestOneStreamWaits: more than may wait for a table that is locked does not keep the other streams waiting (S7).
func TestOneStreamWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "clients")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}}, version{stream: stream(t, "clients"), id: 1, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	w.eventually("SELECT count(*) = 1 FROM harvest.clients")
	w.hold("LOCK TABLE harvest.tasks IN ACCESS EXCLUSIVE MODE")
	long := strings.Repeat("x", 900<<10)
	for id := range int64(60) {
		w.publish(version{stream: stream(t, "tasks"), id: id + 1, row: row{"name": long}})
	}
	for id := range int64(5) {
		w.publish(version{stream: stream(t, "clients"), id: id + 2, row: row{"name": "x"}})
		w.eventually("SELECT count(*) = $1 FROM harvest.clients", id+2)
	}
}

// TestOtherEncoding: in a database that is not in UTF-8 texts are what they were, or are set aside.
func TestOtherEncoding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	database := one[string](w, "SELECT current_database()")
	if !strings.Contains(w.url, "/"+database+"?") {
		t.Skip("DATABASE_URL names its database elsewhere")
	}
	latin := database + "_latin"
	w.sql("CREATE DATABASE " + latin + " ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { w.sql("DROP DATABASE " + latin + " WITH (FORCE)") })
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{"name": "é"}}, version{stream: stream(t, "tasks"), id: 2, row: row{"name": "€"}})
	url := strings.Replace(w.url, "/"+database+"?", "/"+latin+"?", 1)
	if err := sinker.Drain(t.Context(), w.config("DATABASE_URL="+url), w.deps, time.Time{}); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var got string
	if err := conn.QueryRow(t.Context(), "SELECT encode(convert_to(name, 'UTF8'), 'hex') || ' ' || (SELECT count(*) FROM harvest._dead_letters) FROM harvest.tasks").Scan(&got); err != nil || got != "c3a9 1" {
		t.Errorf("%v: %s", err, got)
	}
}

// TestStatementTimeout: a limit that the database has for its other users does not keep a transaction from ever ending.
func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.drain()
	w.sql(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = ''50ms''', current_database()); END $$;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON harvest.tasks FOR EACH ROW EXECUTE FUNCTION slow()`)
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.drain()
}

// TestOptionsWin: what DATABASE_URL sets wins, however it says so.
func TestOptionsWin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.drain()
	w.sql(`CREATE TABLE seen AS SELECT ''::text AS how; CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE public.seen SET how = current_setting('synchronous_commit'); RETURN NEW; END $$;
CREATE TRIGGER see BEFORE INSERT ON harvest.tasks FOR EACH ROW EXECUTE FUNCTION see()`)
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	cfg := w.config("DATABASE_URL=" + w.url + "&options=-c%20synchronous_commit%3Dremote_write")
	if err := sinker.Drain(t.Context(), cfg, w.deps, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, "SELECT how FROM seen"); got != "remote_write" {
		t.Error(got)
	}
}

// TestWaiting: fetching stops while much waits for the database, and what waited is given back with its partition (S7).
func TestWaiting(t *testing.T) {
	for megabytes, want := range map[int]bool{1: false, 64: true} {
		if before, after := sinker.Waiting(megabytes << 20); before != want || after {
			t.Errorf("%d MiB: stops %t, after they are gone %t", megabytes, before, after)
		}
	}
}

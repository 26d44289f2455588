package sinker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
	"harveststream/pkg/schema"
)

// without is a schema as an older writer had it: some fields are missing. with adds fields in front of extra.
func edited(t *testing.T, st *schema.Stream, without []string, with ...map[string]any) *schema.Schema {
	t.Helper()
	var text map[string]any
	if err := json.Unmarshal([]byte(st.Schema.Text()), &text); err != nil {
		t.Fatal(err)
	}
	var fields []any
	for _, f := range text["fields"].([]any) {
		name := f.(map[string]any)["name"].(string)
		if name == "extra" {
			for _, w := range with {
				fields = append(fields, w)
			}
		}
		if !slices.Contains(without, name) {
			fields = append(fields, f)
		}
	}
	text["fields"] = fields
	raw, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.ParseSchema(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func nullable(name string, typ any) map[string]any {
	return map[string]any{"name": name, "type": []any{"null", typ}, "default": nil}
}

// TestNewerWriter: fields this sinker has no column for are kept in extra, as JSON, beside what is there (S6).
func TestNewerWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	writer := edited(t, tasks, []string{"name"},
		nullable("new_long", "long"), nullable("new_text", "string"), nullable("new_list", map[string]any{"type": "array", "items": "string"}),
		nullable("new_money", map[string]any{"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9}),
		nullable("new_day", map[string]any{"type": "int", "logicalType": "date"}),
		nullable("new_items", map[string]any{"type": "array", "items": map[string]any{"type": "record", "name": "New", "fields": []any{nullable("a", "long"), nullable("b", "string")}}}))
	full := row{"new_long": int64(7), "new_text": `q"`, "new_list": []string{"x", "y"}, "new_money": big.NewRat(-5, 4),
		"new_day": time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC), "new_items": []row{{"a": int64(1)}, {"b": "z"}}}
	both := row{"new_long": int64(8), "extra": `{"old": 1} `}
	w.publish(version{stream: tasks, id: 1, writer: writer, row: full}, version{stream: tasks, id: 2, writer: writer, row: both},
		version{stream: tasks, id: 3, writer: writer, row: row{"extra": "{}", "new_long": int64(9)}}, version{stream: tasks, id: 4, row: row{"name": "by the older"}})
	w.drain()
	for id, want := range map[int]string{
		1: `{"new_day": "2026-02-03", "new_list": ["x", "y"], "new_long": 7, "new_text": "q\"", "new_items": [{"a": 1}, {"b": "z"}], "new_money": -1.25}`,
		2: `{"old": 1, "new_long": 8}`, 3: `{"new_long": 9}`, 4: "",
	} {
		if got := one[string](w, "SELECT coalesce(extra::text, '') FROM harvest.tasks WHERE id = $1", id); got != want {
			t.Errorf("row %d has extra %s, not %s", id, got, want)
		}
	}
}

// TestWidening: a new column takes what extra kept of it, wherever it fits; several sinkers may come at once (S6).
func TestWidening(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "time_entries")
	entries := stream(t, "time_entries")
	old := edited(t, entries, []string{"hours", "spent_date", "is_locked", "notes", "timer_started_at", "client_id", "invoice_number"})
	extra := `{"hours": 1.250, "spent_date": "2024-02-29", "is_locked": true, "notes": "n", "timer_started_at": "2026-01-02T03:04:05Z", "client": {"id": 5}, "invoice": {"number": "x", "other": 1}}`
	misfit := `{"hours": "much", "spent_date": "2023-02-29", "is_locked": 1, "notes": 7, "timer_started_at": "soon", "client": {"id": 1.5}}`
	w.publish(version{stream: entries, id: 1, writer: old, row: row{"extra": extra}}, version{stream: entries, id: 2, writer: old, row: row{"extra": misfit}})
	check := func(when string) {
		t.Helper()
		if got := one[string](w, "SELECT concat_ws(' ', hours, spent_date, is_locked, notes, timer_started_at AT TIME ZONE 'UTC', client_id, invoice_number, extra) FROM harvest.time_entries WHERE id = 1"); got !=
			`1.25 2024-02-29 t n 2026-01-02 03:04:05 5 x {"invoice": {"other": 1}}` {
			t.Errorf("%s: %s", when, got)
		}
		if got := one[string](w, "SELECT concat_ws(' ', hours, spent_date, is_locked, notes, timer_started_at, client_id) || extra FROM harvest.time_entries WHERE id = 2"); len(got) < 100 || got[0] != '{' {
			t.Errorf("%s: a value that does not fit left extra: %s", when, got)
		}
	}
	w.drain()
	check("written by an old writer")
	// The table as an older sinker has left it.
	w.sql(`UPDATE harvest.time_entries SET extra = CASE id WHEN 1 THEN $1::jsonb ELSE $2::jsonb END`, extra, misfit)
	w.sql(`ALTER TABLE harvest.time_entries DROP hours, DROP spent_date, DROP is_locked, DROP notes, DROP timer_started_at, DROP client_id, DROP invoice_number, ADD own text DEFAULT 'mine'`)
	w.sql(`CREATE VIEW seen AS SELECT id, own FROM harvest.time_entries; CREATE INDEX ON harvest.time_entries (own)`)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := sinker.Drain(t.Context(), w.cfg, w.deps, time.Time{}); err != nil && ops.ExitCode(err) != ops.ExitInternal { // fenced by another
				t.Error(err)
			}
		})
	}
	all.Wait()
	check("widened")
	w.publish(version{stream: entries, id: 1, row: row{"notes": "new"}}, version{stream: entries, id: 3, row: row{}})
	w.drain()
	if got := one[string](w, "SELECT string_agg(own, ' ' ORDER BY id) FROM seen"); got != "mine mine mine" {
		t.Errorf("the user's own column is %s", got)
	}
	if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"time_entries"}); err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, "SELECT string_agg(own, ' ' ORDER BY id) FROM seen"); got != "mine mine mine" {
		t.Errorf("after the rebuild the user's own column is %s", got)
	}
}

// TestNoLongerSoft: a table with rows that are marked as deleted is not taken for one of hard-delete mode; what the message says makes it
// one (S6).
func TestNoLongerSoft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "SINK_DELETE_MODE=soft", "HARVEST_STREAMS=invoices")
	w.topics(1, "invoices")
	invoices := stream(t, "invoices")
	items := row{"line_items": []row{{"id": int64(1)}}}
	w.publish(version{stream: invoices, id: 1, row: items}, version{stream: invoices, id: 2, row: items})
	w.publish(version{stream: invoices, id: 1}, version{stream: invoices, id: 2})
	w.drain()
	w.publish(version{stream: invoices, id: 2, row: items})
	hard := w.config("SINK_DELETE_MODE=hard", "HARVEST_STREAMS=invoices")
	code, text := w.exitOf(hard)
	if code != ops.ExitConfig || !strings.Contains(text, `SINK_DELETE_MODE=soft in "harvest"."invoices": `) {
		t.Fatalf("exit %d: %s", code, text)
	}
	w.sql("ALTER TABLE harvest.invoices DROP COLUMN _deleted_at")
	if err := sinker.Rebuild(t.Context(), hard, w.deps, []string{"invoices"}); err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, "SELECT (SELECT string_agg(id::text, ' ') FROM harvest.invoices) || '/' || (SELECT string_agg(invoice_id::text, ' ') FROM harvest.invoice_line_items)"); got != "2/2" {
		t.Errorf("rows and items are of %s", got)
	}
	if code, text := w.exitOf(hard); code != 0 {
		t.Errorf("exit %d: %s", code, text)
	}
}

// TestIncompatible: a writer whose field has another type stops its stream.
func TestIncompatible(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	writer := edited(t, tasks, []string{"name"}, nullable("name", "long"))
	w.publish(version{stream: tasks, id: 1, writer: writer, row: row{"name": int64(1)}})
	if code, text := w.exitOf(w.cfg); code != ops.ExitConfig || !strings.Contains(text, "field name") {
		t.Errorf("exit %d: %s", code, text)
	}
}

// TestPinned: another text under a known id stops the topic before a row is written; a registry that is away does not (S6).
func TestPinned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	w.drain()
	w.publish(version{stream: tasks, id: 2, row: row{}})
	away := w.cfg
	away.Kafka.RegistryTransport = failing{}
	if err := sinker.Drain(t.Context(), away, w.deps, time.Time{}); err != nil {
		t.Errorf("without a registry: %v", err)
	}
	w.publish(version{stream: tasks, id: 3, row: row{}})
	w.sql("UPDATE harvest._schemas SET schema = $1", stream(t, "roles").Schema.Text())
	if code, text := w.exitOf(w.cfg); code != ops.ExitConfig || !strings.Contains(text, "another schema") {
		t.Errorf("exit %d: %s", code, text)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// TestRegistryRefuses: a registry that refuses the login, or has another kind of schema under an id, stops the streams that need it at
// once, with the remedy; those whose schemas are known go on (S6).
func TestRegistryRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, code int
		body, want   string
	}{
		{http.StatusUnauthorized, ops.ExitPermission, `{"error_code":401,"message":"Unauthorized"}`, "SCHEMA_REGISTRY_PASSWORD"},
		{http.StatusForbidden, ops.ExitPermission, `{"error_code":40301,"message":"no"}`, "SCHEMA_REGISTRY_PASSWORD"},
		{http.StatusOK, ops.ExitConfig, `{"schemaType":"PROTOBUF","schema":"syntax = \"proto3\";"}`, "no Avro schema"},
	} {
		w := newWorld(t)
		w.topics(1, "tasks", "roles")
		w.publish(version{stream: stream(t, "roles"), id: 1, row: row{}})
		w.drain()
		w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}}, version{stream: stream(t, "roles"), id: 2, row: row{}})
		refusing := w.cfg
		refusing.Kafka.RegistryTransport = handler{http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(c.status)
			_, _ = io.WriteString(rw, c.body)
		})}
		if code, text := w.exitOf(refusing); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s: exit %d: %s", c.body, code, text)
		}
		if n := one[string](w, "SELECT (SELECT count(*) FROM harvest.tasks) || ' ' || (SELECT count(*) FROM harvest.roles)"); n != "0 2" {
			t.Errorf("%s: rows %s", c.body, n)
		}
		w.drain()
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
			t.Errorf("%s: %d rows afterwards", c.body, n)
		}
	}
}

// TestReplicationFile: streams and tables by file; child tables follow.
func TestReplicationFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "replication.yaml")
	text := "defaults:\n  object: crm.{stream_name}\nstreams:\n  tasks:\n  invoices:\n    object: Order.Bills\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "REPLICATION_FILE="+path)
	w.topics(1, "tasks", "invoices", "clients")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}}, version{stream: stream(t, "clients"), id: 1, row: row{}},
		version{stream: stream(t, "invoices"), id: 1, row: row{"line_items": []row{{"id": int64(1)}}}})
	w.drain()
	if n := one[int](w, `SELECT (SELECT count(*) FROM crm.tasks) + (SELECT count(*) FROM "Order"."Bills") + (SELECT count(*) FROM "Order"."Bills_line_items")`); n != 3 {
		t.Errorf("%d rows", n)
	}
	if one[bool](w, "SELECT to_regclass('crm.clients') IS NOT NULL") {
		t.Error("a stream that was not selected has a table")
	}
}

// lowRole is a login without rights, and the configuration that uses it.
func (w *world) lowRole() (sinker.Config, string) {
	w.t.Helper()
	role := "low_" + strings.ToLower(rand.Text())
	w.sql("CREATE ROLE " + role + " LOGIN")
	w.t.Cleanup(func() { _, _ = w.db.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	low := w.cfg
	low.DatabaseURL = ops.Secret(strings.Replace(w.url, "user=postgres", "user="+role, 1))
	if low.DatabaseURL.Reveal() == w.url {
		w.t.Skip("DATABASE_URL names its user elsewhere")
	}
	return low, role
}

// TestLeastPrivilege: without the right to make tables the sinker says what a DBA must run, and works with what was run.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	low, role := w.lowRole()
	w.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
	code, text := w.exitOf(low)
	if code != ops.ExitPermission || !strings.Contains(text, "CREATE SCHEMA") || !strings.Contains(text, "ddl --missing") {
		t.Errorf("exit %d: %s", code, text)
	}
	var ddl bytes.Buffer
	deps := w.deps
	deps.Stdout = &ddl
	if err := sinker.MissingDDL(t.Context(), low, deps); err != nil {
		t.Fatal(err)
	}
	w.sql(ddl.String())
	if code, text := w.exitOf(low); code != ops.ExitPermission {
		t.Errorf("without grants: exit %d: %s", code, text)
	}
	w.sql("GRANT USAGE ON SCHEMA harvest TO " + role + "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA harvest TO " + role)
	if err := sinker.Drain(t.Context(), low, w.deps, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := sinker.Check(t.Context(), low, w.deps); err != nil {
		t.Error(err)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestComments: what the database says of tables and columns follows the schemas; where it may not, the sinker goes on, and a DBA is told
// the statements (S6).
func TestComments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.drain()
	comments := "SELECT coalesce(obj_description('harvest.tasks'::regclass, 'pg_class'), '') || '|' || col_description('harvest.tasks'::regclass, 1)"
	want := one[string](w, comments)
	spoil := "COMMENT ON TABLE harvest.tasks IS NULL; COMMENT ON COLUMN harvest.tasks.id IS 'of an earlier version'"
	w.sql(spoil + "; ALTER TABLE harvest.tasks ADD own text; COMMENT ON COLUMN harvest.tasks.own IS 'mine'")
	w.drain()
	if got := one[string](w, comments); got != want {
		t.Errorf("the comments are %q, not %q", got, want)
	}
	if got := one[string](w, "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'harvest.tasks'::regclass AND attname = 'own'"); got != "mine" {
		t.Errorf("the user's own comment is %q", got)
	}
	low, role := w.lowRole()
	w.sql("GRANT USAGE ON SCHEMA harvest TO " + role + "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA harvest TO " + role)
	w.sql(spoil)
	if err := sinker.Drain(t.Context(), low, w.deps, time.Time{}); err != nil {
		t.Errorf("without the right to comment: %v", err)
	}
	var ddl bytes.Buffer
	deps := w.deps
	deps.Stdout = &ddl
	if err := sinker.MissingDDL(t.Context(), low, deps); err != nil || strings.Count(ddl.String(), "COMMENT ON") != 2 {
		t.Errorf("%v: a DBA is told %s", err, ddl.String())
	}
	w.sql(ddl.String())
	if got := one[string](w, comments); got != want {
		t.Errorf("after the DBA's work the comments are %q", got)
	}
}

// TestPatience: a start gives up on what does not answer, not on what takes long (S6: a widening fills millions of rows).
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		err := sinker.Start(t.Context(), func(context.Context) error { time.Sleep(time.Hour); return nil })
		if err != nil {
			t.Errorf("a long try: %v", err)
		}
		began := time.Now()
		err = sinker.Start(t.Context(), func(context.Context) error { return errors.New("no route to host") })
		if ops.ExitCode(err) != ops.ExitUnavailable || time.Since(began) > time.Minute {
			t.Errorf("nothing there: %v after %v", err, time.Since(began))
		}
	})
}

// TestSameNames: two streams whose tables have one name in two schemas do not meet anywhere (custom objects, §7).
func TestSameNames(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(path, []byte("streams:\n  tasks:\n    object: one.things\n  clients:\n    object: two.things\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "REPLICATION_FILE="+path)
	w.topics(1, "tasks", "clients")
	w.serve("REPLICATION_FILE=" + path)
	turns := "tcttcctctttcccttcct" // so that each connection writes to both
	for n, turn := range turns {
		name, table := "tasks", "one.things"
		if turn == 'c' {
			name, table = "clients", "two.things"
		}
		var list []version
		for id := range int64(20) {
			list = append(list, version{stream: stream(t, name), id: id + 1, row: row{"name": fmt.Sprint(n)}})
		}
		w.publish(list...)
		w.eventually("SELECT count(*) = 20 FROM "+table+" WHERE name = $1", fmt.Sprint(n))
	}
	if got := one[string](w, "SELECT (SELECT count(*) FROM one.things) || ' ' || (SELECT count(*) FROM two.things)"); got != "20 20" {
		t.Errorf("rows: %s", got)
	}
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks", "clients"}); err != nil {
		t.Error(err)
	}
}

// TestTableMadeAnew: a table that lacks what was applied before, because somebody dropped it or because the configuration names another,
// stops its topic and names the remedy; a rebuild fills it (S2, S6).
func TestTableMadeAnew(t *testing.T) {
	t.Parallel()
	file := func(w *world) sinker.Config {
		path := filepath.Join(w.t.TempDir(), "replication.yaml")
		if err := os.WriteFile(path, []byte("streams:\n  clients:\n  invoices:\n    object: bills.all\n"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return w.config("REPLICATION_FILE=" + path)
	}
	for name, spoil := range map[string]func(w *world) sinker.Config{
		"dropped":       func(w *world) sinker.Config { w.sql("DROP TABLE harvest.invoices"); return w.cfg },
		"items dropped": func(w *world) sinker.Config { w.sql("DROP TABLE harvest.invoice_line_items"); return w.cfg },
		"both dropped": func(w *world) sinker.Config {
			w.sql("DROP TABLE harvest.invoice_line_items, harvest.invoices")
			return w.cfg
		},
		"another name": file,
		"another name, made by a DBA": func(w *world) sinker.Config {
			cfg := file(w)
			var ddl bytes.Buffer
			if err := sinker.DDL(cfg.Target, &ddl); err != nil {
				w.t.Fatal(err)
			}
			w.sql(ddl.String())
			return cfg
		},
		"dropped, made by a DBA": func(w *world) sinker.Config {
			w.sql("DROP TABLE harvest.invoices")
			var ddl bytes.Buffer
			deps := w.deps
			deps.Stdout = &ddl
			if err := sinker.MissingDDL(w.t.Context(), w.cfg, deps); err != nil {
				w.t.Fatal(err)
			}
			w.sql(ddl.String())
			return w.cfg
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.topics(1, "invoices", "clients")
			for id := range int64(3) {
				w.publish(version{stream: stream(t, "invoices"), id: id + 1, row: row{"line_items": []row{{"id": id}}}})
			}
			w.drain()
			cfg := spoil(w)
			w.publish(version{stream: stream(t, "clients"), id: 1, row: row{}}, version{stream: stream(t, "invoices"), id: 9, row: row{}})
			if code, text := w.exitOf(cfg); code != ops.ExitData || !strings.Contains(text, "sinker rebuild invoices") {
				t.Errorf("exit %d: %s", code, text)
			}
			if n := one[int](w, "SELECT count(*) FROM harvest.clients"); n != 1 {
				t.Errorf("the other stream has %d rows", n)
			}
			if err := sinker.Rebuild(t.Context(), cfg, w.deps, []string{"invoices"}); err != nil {
				t.Fatal(err)
			}
			w.publish(version{stream: stream(t, "invoices"), id: 10, row: row{"line_items": []row{{"id": int64(10)}}}})
			if err := sinker.Drain(t.Context(), cfg, w.deps, time.Time{}); err != nil {
				t.Fatal(err)
			}
			names := []string{"harvest.invoices", "harvest.invoice_line_items"}
			if strings.HasPrefix(name, "another") {
				names = []string{"bills.all", "bills.all_line_items"}
			}
			if got := one[string](w, `SELECT (SELECT count(*) FROM `+quoted(names[0])+`) || ' ' || (SELECT count(*) FROM `+quoted(names[1])+`)`); got != "5 4" {
				t.Errorf("rows and items: %s", got)
			}
			if err := sinker.Verify(t.Context(), cfg, w.deps, []string{"invoices"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func quoted(name string) string { return pgx.Identifier(strings.Split(name, ".")).Sanitize() }

// TestVerifyUnread: a table that was emptied with its offset is not called equal.
func TestVerifyUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.drain()
	w.sql("DROP TABLE harvest.tasks")
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}); ops.ExitCode(err) != ops.ExitData {
		t.Errorf("exit %d: %v", ops.ExitCode(err), err)
	}
}

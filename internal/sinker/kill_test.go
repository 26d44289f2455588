package sinker_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/internal/ops"
	"harveststream/internal/pgserver"
	"harveststream/internal/sinker"
)

var errKilled = errors.New("killed")

// dying are the dependencies of a process that dies at the nth time (from 0) it comes to a point. met counts those times.
func (w *world) dying(point string, n int) (deps sinker.Deps, met *int) {
	deps, met = w.deps, new(int)
	deps.Hook = func(at string) error {
		if at == point {
			if *met++; *met > n {
				return ops.Fail(ops.ExitInternal, errKilled)
			}
		}
		return nil
	}
	return deps, met
}

// killed drains until the process dies at the nth time it comes to a point, and reports whether it came there.
func (w *world) killed(point string, n int) bool {
	w.t.Helper()
	deps, met := w.dying(point, n)
	err := sinker.Drain(w.t.Context(), w.cfg, deps, time.Time{})
	if died := *met > n; died != errors.Is(err, errKilled) {
		w.t.Errorf("%s was met %d times: %v", point, *met, err)
	}
	return *met > n
}

// TestKillPoints: a death at each named point of a transaction, in each of the first transactions, loses and repeats nothing (S1).
func TestKillPoints(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "tasks")
		r := rand.New(rand.NewPCG(11, 12))
		for _, point := range []string{"ks10", "ks01", "ks02", "ks03", "ks04", "ks05", "ks06", "ks07"} {
			for n := range 3 {
				want := w.history(r, 60, mode == "soft")
				if died := w.killed(point, n); !died && n == 0 {
					t.Errorf("%s was never met", point)
				}
				w.drain()
				w.sql("UPDATE harvest._offsets SET next = 0") // everything again (Q22)
				w.drain()
				w.equal(pick(w.table("harvest.tasks", "id, account_id"), want), want)
			}
		}
	}
}

// TestKillAtCommit: once COMMIT is sent, the offset says what became of it: the next process neither loses nor repeats (S1).
func TestKillAtCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	if !w.killed("ks06", 0) {
		t.Fatal("COMMIT was never sent")
	}
	w.eventually("SELECT next = 2 FROM harvest._offsets") // the server has it
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
		t.Errorf("%d rows", n)
	}
	w.drain()
}

// TestKillSettingAside: a death while a record is set aside, or while the one that spoils a transaction is looked for, leaves one dead
// letter and every other row (S5).
func TestKillSettingAside(t *testing.T) {
	t.Parallel()
	for point, points := range map[string]int{"ks11": 1, "ks12": 4} {
		w := newWorld(t)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		var first, second []version
		for id := range int64(30) {
			first = append(first, version{stream: tasks, id: id + 1, row: row{"name": "first"}})
			second = append(second, version{stream: tasks, id: id + 1, row: row{"name": "second"}})
		}
		second[17].row["name"] = "refused" // found in the merge, which names no line
		w.publish(first...)
		w.drain()
		w.sql("ALTER TABLE harvest.tasks ADD CHECK (name <> 'refused')")
		w.publish(second...)
		died := 0
		for w.killed(point, 0) && died < 20 {
			died++
		}
		if died < points {
			t.Errorf("%s: %d deaths", point, died)
		}
		if point == "ks11" { // each time before the commit
			w.drain()
		}
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks WHERE name = 'second'"); n != 29 {
			t.Errorf("%s: %d rows", point, n)
		}
		if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n != 1 {
			t.Errorf("%s: %d dead letters", point, n)
		}
	}
}

// TestKillMakingTables: a death before the tables are committed leaves nothing of them; before a widening is, extra keeps what it had (S6).
func TestKillMakingTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{"name": "Task 1"}})
	if !w.killed("ks09", 0) || one[bool](w, "SELECT to_regclass('harvest.tasks') IS NOT NULL") {
		t.Error("tables that were not committed are there")
	}
	w.drain()
	w.sql(`ALTER TABLE harvest.tasks DROP name; UPDATE harvest.tasks SET extra = '{"name": "kept"}'`)
	if !w.killed("ks09", 0) || one[string](w, "SELECT extra::text FROM harvest.tasks") != `{"name": "kept"}` {
		t.Error("a widening that was not committed has taken something")
	}
	w.drain()
	if got := one[string](w, "SELECT concat(name, extra) FROM harvest.tasks"); got != "kept" {
		t.Errorf("the row is %s", got)
	}
}

// TestKillLettingGo: a death while partitions are taken away, and one while the service ends, leave everything to the next (S1).
func TestKillLettingGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(4, "tasks")
	tasks := stream(t, "tasks")
	publish := func(from int64) {
		for id := from; id < from+20; id++ {
			w.publish(version{stream: tasks, id: id, part: int32(id % 4), row: row{}})
		}
	}
	deps, _ := w.dying("ks08", 0)
	done := make(chan error, 1)
	go func() { done <- sinker.Run(context.Background(), w.cfg, deps) }()
	publish(1)
	w.eventually("SELECT count(*) = 20 FROM harvest.tasks")
	w.serve() // partitions move
	publish(21)
	if err := <-done; !errors.Is(err, errKilled) {
		t.Errorf("the service that lost partitions ended with %v", err)
	}
	publish(41)
	w.eventually("SELECT count(*) = 60 FROM harvest.tasks")
}

// TestTermination: a signal in the middle of a transaction lets it end, and nothing after it begins (S1). On virtual time: a busy machine
// may take longer than shutdownGrace.
func TestTermination(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"ks02", "ks03", "ks04", "ks05", "ks06", "ks07"} {
		t.Run(point, func(t *testing.T) {
			url := pgserver.Database(t)
			synctest.Test(t, func(t *testing.T) {
				w := newWorldIn(t, url)
				w.topics(1, "tasks")
				w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
				ctx, stop := context.WithCancel(t.Context())
				deps := w.deps
				deps.Hook = func(at string) error {
					if at == point {
						stop()
					}
					return nil
				}
				if err := sinker.Run(ctx, w.cfg, deps); err != nil {
					t.Error(err)
				}
				if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
					t.Error("the transaction under way was thrown away")
				}
				w.drain()
			})
		})
	}
}

// TestTerminationAtStart: a signal during the start ends the service as one at work: without an error.
func TestTerminationAtStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, point := range []string{"ks09", "ks10"} {
		ctx, stop := context.WithCancelCause(t.Context())
		deps := w.deps
		deps.Hook = func(at string) error {
			if at == point {
				stop(ops.Fail(143, errors.New("terminated")))
				return context.Cause(ctx)
			}
			return nil
		}
		if err := sinker.Run(ctx, w.cfg, deps); err != nil {
			t.Errorf("%s: %v", point, err)
		}
	}
}

// TestKillRebuild: a rebuild that dies before any of its steps has changed nothing for readers and left nothing behind; one that is run to
// its end makes the same table right, whatever users have built on it (design §7).
func TestKillRebuild(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "invoices")
		invoices := stream(t, "invoices")
		for id := range int64(6) {
			w.publish(version{stream: invoices, id: id + 1, row: row{"subject": "right", "line_items": []row{{"id": id, "quantity": big.NewRat(1, 2)}}}})
		}
		w.publish(version{stream: invoices, id: 6})
		w.drain()
		w.sql(`ALTER TABLE harvest.invoices ADD own text DEFAULT 'mine'; CREATE INDEX own_index ON harvest.invoices (own);
CREATE VIEW harvest.seen AS SELECT id, subject, own FROM harvest.invoices; GRANT SELECT ON harvest.invoices TO PUBLIC`)
		w.sql(`UPDATE harvest.invoices SET subject = 'wrong' WHERE id = 1; DELETE FROM harvest.invoices WHERE id = 2;
INSERT INTO harvest.invoices (id, account_id, _seq, _loaded_at) VALUES (77, 1, 1, now());
UPDATE harvest.invoice_line_items SET quantity = 9 WHERE invoice_id = 3; DELETE FROM harvest.invoice_line_items WHERE invoice_id = 4`)
		state := func() string {
			return fmt.Sprint(w.table("harvest.invoices", "id, account_id"), w.table("harvest.invoice_line_items", "invoice_id, ordinal"),
				w.table("harvest._deleted", "id, account_id"), w.table("harvest._dead_letters", "id"), one[int64](w, "SELECT next FROM harvest._offsets"))
		}
		before := state()
		for n := 0; ; n++ {
			deps, met := w.dying("ks13", n)
			err := sinker.Rebuild(t.Context(), w.cfg, deps, []string{"invoices"})
			if *met <= n {
				if err != nil || n < 8 {
					t.Fatalf("%s: after %d deaths: %v", mode, n, err)
				}
				break
			}
			if after := state(); !errors.Is(err, errKilled) || after != before {
				t.Fatalf("%s: death %d: %v\nbefore %s\nafter  %s", mode, n, err, before, after)
			}
		}
		w.eventually("SELECT count(*) = 0 FROM pg_class WHERE relname LIKE 'shadow%'")
		if got := one[string](w, "SELECT string_agg(subject || own, ' ' ORDER BY id) FROM harvest.seen WHERE id < 6"); got != strings.TrimSpace(strings.Repeat("rightmine ", 5)) {
			t.Errorf("%s: the view shows %s", mode, got)
		}
		if !one[bool](w, "SELECT to_regclass('harvest.own_index') IS NOT NULL AND relacl::text LIKE '%{=r/%' OR relacl::text LIKE '%,=r/%' FROM pg_class WHERE oid = 'harvest.invoices'::regclass") {
			t.Errorf("%s: an index or a grant is gone", mode)
		}
		if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"invoices"}); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

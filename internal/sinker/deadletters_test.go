package sinker_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
	"harveststream/pkg/schema"
)

// poison are records that cannot be applied, by the word that their reason holds.
func (w *world) poison() map[string]*kgo.Record {
	tasks := stream(w.t, "tasks")
	good := func() *kgo.Record {
		v := version{stream: tasks, id: 1000, row: row{"name": "poison"}}
		return w.record(&v)
	}
	change := func(f func(r *kgo.Record)) *kgo.Record {
		r := good()
		f(r)
		return r
	}
	other := version{stream: stream(w.t, "roles"), id: 1000, row: row{}}
	foreign := w.record(&other)
	return map[string]*kgo.Record{
		"has no schema id":  change(func(r *kgo.Record) { r.Value = []byte{} }),
		"begins with byte":  change(func(r *kgo.Record) { r.Value = []byte(`{"id": 1}`) }),
		"out of range":      change(func(r *kgo.Record) { r.Value = []byte{0, 0, 0, 0, 0, 1} }),
		"unknown to the":    change(func(r *kgo.Record) { r.Value = []byte{0, 0, 1, 0, 0, 1} }),
		"is of Role":        change(func(r *kgo.Record) { r.Value = foreign.Value }),
		"malformed":         change(func(r *kgo.Record) { r.Value = r.Value[:len(r.Value)-3] }),
		"bytes follow":      change(func(r *kgo.Record) { r.Value = append(slices.Clone(r.Value), 0) }),
		"parsing key":       change(func(r *kgo.Record) { r.Key = []byte("key") }),
		"is another one":    change(func(r *kgo.Record) { r.Key = schema.AppendKey(nil, 1, 999, account) }),
		"is missing":        change(func(r *kgo.Record) { r.Headers = nil }),
		"no number from 1":  change(func(r *kgo.Record) { r.Headers[1].Value = []byte("x") }),
		"though the header": change(func(r *kgo.Record) { r.Headers[1].Value = []byte("123456") }),
		"column extra: ERROR: invalid input syntax for type json": func() *kgo.Record {
			v := version{stream: tasks, id: 1000, row: row{"extra": "{no json"}}
			return w.record(&v)
		}(),
	}
}

// TestDeadLetters: each kind of poison is set aside with its reason and coordinates, once, and what lies around it is applied (S5).
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "KAFKA_HISTORY=0")
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	for reason, rec := range w.poison() {
		before := version{stream: tasks, id: 1, row: row{"name": reason}}
		after := version{stream: tasks, id: 2, row: row{"name": reason}}
		w.produce(kgo.TryCommit, w.record(&before), rec, w.record(&after))
		w.drain()
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks WHERE name = $1", reason); n != 2 {
			t.Errorf("%s: %d of two rows around it", reason, n)
		}
		if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters WHERE reason LIKE '%' || $1 || '%' AND value = $2 AND topic = 'harvest.tasks'", reason, rec.Value); n != 1 {
			t.Errorf("%s: %d dead letters: %s", reason, n, one[string](w, "SELECT reason FROM harvest._dead_letters ORDER BY id DESC LIMIT 1"))
		}
	}
	n := one[int](w, "SELECT count(*) FROM harvest._dead_letters")
	w.sql("UPDATE harvest._offsets SET next = 0")
	w.drain()
	if again := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); again != n || one[int](w, "SELECT count(*) FROM harvest.tasks") != 2 {
		t.Errorf("%d dead letters after a replay, not %d", again, n)
	}
	var out bytes.Buffer
	deps := w.deps
	deps.Stdout = &out
	if err := sinker.ListDeadLetters(t.Context(), w.cfg, deps, 0); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != n+1 {
		t.Errorf("the list has %d lines", lines)
	}
	id := one[int64](w, "SELECT id FROM harvest._dead_letters WHERE reason LIKE '%type json%'")
	if err := sinker.ShowDeadLetter(t.Context(), w.cfg, deps, id); err != nil || !strings.Contains(out.String(), `{no json`) {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestColumnNamed: the reason of a dead letter names the column whose value the server would not take, of a new row and of one in the
// stage (S5).
func TestColumnNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "invoices")
	invoices := stream(t, "invoices")
	w.publish(version{stream: invoices, id: 1, row: row{}}, version{stream: invoices, id: 2, row: row{"extra": "{no json"}})
	w.drain()
	w.publish(version{stream: invoices, id: 1, row: row{"line_items": []row{{"extra": "{no json"}}}})
	w.drain()
	if got := one[string](w, `SELECT string_agg("offset" || ' ' || left(reason, 30), '; ' ORDER BY id) FROM harvest._dead_letters`); got !=
		"1 column extra: ERROR: invalid i; 3 column line_items: ERROR: inva" {
		t.Errorf("dead letters: %s", got)
	}
}

// TestOvertaken: what a later version of its key has overtaken in the same batch is not read: it changes no row, whatever it holds, as if
// the topic had been compacted. It is neither set aside nor missing (S4, S5, S9).
func TestOvertaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	spoilt := w.record(&version{stream: tasks, id: 1, row: row{"name": "spoilt"}})
	spoilt.Value = spoilt.Value[:len(spoilt.Value)-3]
	w.produce(kgo.TryCommit, spoilt, w.record(&version{stream: tasks, id: 1, row: row{"name": "whole"}}))
	w.drain()
	if got := one[string](w, "SELECT name || (SELECT count(*) FROM harvest._dead_letters) || (SELECT count(*) FROM harvest._streams) FROM harvest.tasks"); got != "whole00" {
		t.Errorf("the row, dead letters and what is missing are %s", got)
	}
}

// TestConstraint: rows that a user's own constraint refuses are found one by one, in the merge too, and can be applied later.
func TestConstraint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.drain()
	w.sql("ALTER TABLE harvest.tasks ADD CHECK (name <> 'refused')")
	batch := func(text string) {
		var list []version
		for id := range int64(30) {
			v := version{stream: tasks, id: id + 1, row: row{"name": text}}
			if id == 17 {
				v.row["name"] = "refused"
			}
			list = append(list, v)
		}
		w.publish(list...)
		w.drain()
	}
	batch("first")
	batch("second")
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks WHERE name = 'second'"); n != 29 {
		t.Errorf("%d rows", n)
	}
	if got := one[string](w, `SELECT string_agg("offset"::text, ' ' ORDER BY id) FROM harvest._dead_letters`); got != "17 48" {
		t.Errorf("dead letters at %s", got)
	}
	w.sql("ALTER TABLE harvest.tasks DROP CONSTRAINT tasks_name_check")
	if err := sinker.ReplayDeadLetters(t.Context(), w.cfg, w.deps, 0); err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, "SELECT name || _seq FROM harvest.tasks WHERE id = 18"); got != "refused48" {
		t.Errorf("row 18 is %s", got)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n != 0 {
		t.Errorf("%d dead letters left", n)
	}
}

// TestReplayDelete: a delete that was set aside is applied later, by the rank in its headers. A table of an earlier version, which kept no
// headers, is widened; what it has of deletes says that it cannot be applied (S5).
func TestReplayDelete(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{"hard": "0 2", "soft": "1 2"} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.drain()
		w.sql("ALTER TABLE harvest._dead_letters DROP headers")
		w.publish(version{stream: tasks, id: 1, row: row{"name": "one"}})
		w.drain()
		w.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'kept' USING ERRCODE = '23503'; END $$;
CREATE TRIGGER refuse BEFORE DELETE OR UPDATE ON harvest.tasks FOR EACH ROW EXECUTE FUNCTION refuse()`)
		w.publish(version{stream: tasks, id: 1})
		w.drain()
		if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters WHERE value IS NULL AND headers ->> 'harvest-seq' = '2'"); n != 1 {
			t.Fatalf("%s: %d dead letters", mode, n)
		}
		if err := sinker.ReplayDeadLetters(t.Context(), w.cfg, w.deps, 0); ops.ExitCode(err) != ops.ExitData {
			t.Errorf("%s: a replay that is refused again: %v", mode, err)
		}
		w.sql("DROP TRIGGER refuse ON harvest.tasks")
		if err := sinker.ReplayDeadLetters(t.Context(), w.cfg, w.deps, 0); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if got := one[string](w, "SELECT (SELECT count(*) FROM harvest.tasks) || ' ' || (SELECT seq FROM harvest._deleted)"); got != want {
			t.Errorf("%s: rows and the remembered rank are %s, not %s", mode, got, want)
		}
		if mode == "soft" && !one[bool](w, "SELECT _deleted_at = $1 FROM harvest.tasks", observed.Add(2*time.Second)) {
			t.Error("the row is not marked with the moment of its delete")
		}
		w.sql(`INSERT INTO harvest._dead_letters (topic, partition, "offset", key, reason, at) VALUES ('harvest.tasks', 0, 9, $1, 'old', now())`, schema.AppendKey(nil, 1, 1, account))
		var out bytes.Buffer
		deps := w.deps
		deps.Stdout = &out
		if err := sinker.ReplayDeadLetters(t.Context(), w.cfg, deps, 0); ops.ExitCode(err) != ops.ExitData || !strings.Contains(out.String(), "without its rank") {
			t.Errorf("%s: a delete of an earlier version: %v: %s", mode, err, out.String())
		}
	}
}

// TestReplayOtherRank: a record whose value and header give it different ranks is refused by a replay as it was before: with the higher
// one it would outrank what comes later (S3, S5).
func TestReplayOtherRank(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	v := version{stream: stream(t, "tasks"), id: 1, seq: 1000, row: row{"name": "other"}}
	rec := w.record(&v)
	for i := range rec.Headers {
		if rec.Headers[i].Key == "harvest-seq" {
			rec.Headers[i].Value = []byte("1")
		}
	}
	w.produce(kgo.TryCommit, rec)
	w.publish(version{stream: stream(t, "tasks"), id: 2, seq: 2, row: row{}})
	w.drain()
	if err := sinker.ReplayDeadLetters(t.Context(), w.cfg, w.deps, 0); ops.ExitCode(err) != ops.ExitData {
		t.Errorf("replay: %v", err)
	}
	if got := one[string](w, "SELECT string_agg(id || '/' || _seq, ' ') || ' ' || (SELECT count(*) FROM harvest._dead_letters) FROM harvest.tasks"); got != "2/2 1" {
		t.Errorf("rows and dead letters are %s", got)
	}
	if err := sinker.ReplayDeadLetters(t.Context(), w.cfg, w.deps, 99); ops.ExitCode(err) != ops.ExitUsage {
		t.Errorf("replay of one that is not there: %v", err)
	}
}

// TestOtherLetter: what another record left at the same coordinates does not hide a record of a topic made anew (S5).
func TestOtherLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.drain()
	w.sql(`INSERT INTO harvest._dead_letters (topic, partition, "offset", key, value, reason, at) VALUES ('harvest.tasks', 0, 0, 'k', 'v', 'of the old topic', now())`)
	v := version{stream: stream(t, "tasks"), id: 1, row: row{}}
	rec := w.record(&v)
	rec.Value = []byte("spoilt")
	w.produce(kgo.TryCommit, rec)
	w.drain()
	if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters WHERE value = 'spoilt'"); n != 1 {
		t.Errorf("%d dead letters of the record", n)
	}
}

// TestReplayBesideService: a dead letter is applied after the transaction that is under way, not into it: a row and its items are of one
// version (S3, S5).
func TestReplayBesideService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "invoices")
	invoices := stream(t, "invoices")
	w.drain()
	w.sql("ALTER TABLE harvest.invoices ADD CHECK (subject <> 'refused')")
	w.publish(version{stream: invoices, id: 1, row: row{"subject": "refused", "line_items": []row{{"id": int64(1)}}}})
	w.drain()
	w.sql("ALTER TABLE harvest.invoices DROP CONSTRAINT invoices_subject_check")
	w.publish(version{stream: invoices, id: 1, row: row{"subject": "newer", "line_items": []row{{"id": int64(2)}}}})
	replayed := make(chan error, 1)
	deps := w.deps
	deps.Hook = func(at string) error {
		if at == "ks05" {
			go func() { replayed <- sinker.ReplayDeadLetters(context.Background(), w.cfg, w.deps, 0) }()
			w.eventually("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) OR NOT granted AND locktype = 'transactionid'")
		}
		return nil
	}
	if err := sinker.Drain(t.Context(), w.cfg, deps, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := <-replayed; err != nil {
		t.Fatal(err)
	}
	if got := one[string](w, "SELECT subject || i.id FROM harvest.invoices t JOIN harvest.invoice_line_items i ON i.invoice_id = t.id"); got != "newer2" {
		t.Errorf("the row and its item are %s", got)
	}
}

// TestSystemic: a hundred dead letters are no accident: the sinker stops before they are passed over, and a restart does not help (S5).
func TestSystemic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	recs := make([]*kgo.Record, 150)
	for n := range recs {
		v := version{stream: tasks, id: int64(n + 1), row: row{}}
		recs[n] = w.record(&v)
		recs[n].Value = recs[n].Value[:8]
	}
	w.produce(kgo.TryCommit, recs...)
	code, text := w.exitOf(w.cfg)
	if code != ops.ExitData || !strings.Contains(text, "no accident") {
		t.Errorf("exit %d: %s", code, text)
	}
	if code, _ := w.exitOf(w.cfg); code != ops.ExitData {
		t.Errorf("the second run exits %d", code)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n >= 100 {
		t.Errorf("%d dead letters", n)
	}
}

// TestForeignDDL: a table that no longer fits stops its stream and guesses nothing; a missing right is said as one.
func TestForeignDDL(t *testing.T) {
	t.Parallel()
	for ddl, want := range map[string]int{
		"ALTER TABLE harvest.tasks ALTER name TYPE varchar(3)": ops.ExitConfig,
		"ALTER TABLE harvest.tasks RENAME _seq TO x":           ops.ExitConfig,
		"ALTER TABLE harvest.tasks DROP CONSTRAINT tasks_pkey": ops.ExitConfig,
		"ALTER TABLE harvest.tasks RENAME name TO name2":       ops.ExitOK, // widening makes it again
	} {
		w := newWorld(t)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{"name": "one"}})
		w.drain()
		w.sql(ddl)
		w.publish(version{stream: tasks, id: 1, row: row{"name": "second"}})
		if code, text := w.exitOf(w.cfg); code != want {
			t.Errorf("%s: exit %d, not %d: %s", ddl, code, want, text)
		}
		if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n != 0 {
			t.Errorf("%s: %d dead letters", ddl, n)
		}
	}
}

// TestLetterOfEarlierTopic: a record that was set aside from a topic that was made anew since does not stand against the new one's (S3, S5).
func TestLetterOfEarlierTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.drain()
	w.sql("ALTER TABLE harvest.tasks ADD CONSTRAINT no CHECK (name <> 'refused')")
	for range 5 {
		w.publish(version{stream: tasks, id: 1, row: row{"name": "old"}})
	}
	w.publish(version{stream: tasks, id: 1, row: row{"name": "refused"}})
	w.drain()
	w.sql("ALTER TABLE harvest.tasks DROP CONSTRAINT no")
	if _, err := kadm.NewClient(w.cl).DeleteTopics(t.Context(), w.kafka.Topic("tasks")); err != nil {
		t.Fatal(err)
	}
	w.topics(1, "tasks")
	w.connect()
	clear(w.seqs)
	clear(w.rows)
	w.publish(version{stream: tasks, id: 1, row: row{"name": "new"}})
	if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Fatal(err)
	}
	err := sinker.ReplayDeadLetters(t.Context(), w.cfg, w.deps, 0)
	if ops.ExitCode(err) != ops.ExitData {
		t.Errorf("replayed: %v", err)
	}
	w.publish(version{stream: tasks, id: 1, row: row{"name": "newer"}})
	w.drain()
	if got := one[string](w, "SELECT name FROM harvest.tasks"); got != "newer" {
		t.Errorf("the row is %s", got)
	}
}

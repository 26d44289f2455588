package real_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/pkg/harvest/harvesttest"
)

// BenchmarkPeers brings a topic of 50,000 time entries into PostgreSQL by `sinker drain`, from its start to its end, by one COPY of the same rows into a
// table like it, and by Debezium's JDBC sink, from its first rows to its last: run.sh -- -test.run xxx -test.bench Peers -test.benchtime 3x
func BenchmarkPeers(b *testing.B) {
	const n = 50_000
	sizes := small
	sizes.TimeEntries = n
	w := newWorld(b, harvesttest.Options{Seed: 23, Sizes: sizes})
	if parts.connect == "" {
		b.Skipf("SKIPPED: %s names no connect", variable)
	}
	w.sync()
	var ours, replay, copied, debezium time.Duration
	for i := 0; b.Loop(); i++ {
		w.rows("DROP SCHEMA IF EXISTS harvest CASCADE")
		ours += took(func() { w.drain() })
		w.rows("UPDATE harvest._offsets SET next = 0")
		replay += took(func() { w.drain() })
		copied += w.copied("harvest.time_entries")
		debezium += w.debezium(fmt.Sprint(w.name, "_", i), "time_entries")
	}
	seconds := func(d time.Duration) float64 { return d.Seconds() / float64(b.N) }
	if differences, _ := w.tables(harvesttest.Compared); len(differences) > 0 {
		w.refuse("tables", differences)
	}
	b.ReportMetric(seconds(ours), "drain-s")
	b.ReportMetric(seconds(replay), "replay-s")
	b.ReportMetric(seconds(copied), "copy-s")
	b.ReportMetric(seconds(debezium), "debezium-s")
	b.ReportMetric(seconds(debezium)/seconds(ours), "debezium/drain")
}

func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// copied is how long one binary COPY of a table's rows into a table like it takes.
func (w *world) copied(table string) time.Duration {
	w.t.Helper()
	ctx := context.Background()
	db, err := pgx.Connect(ctx, databaseURL(w.name))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close(ctx) }()
	var rows bytes.Buffer
	_, err = db.PgConn().CopyTo(ctx, &rows, "COPY "+table+" TO STDOUT (FORMAT binary)")
	if err == nil {
		_, err = db.Exec(ctx, "DROP TABLE IF EXISTS public.plain; CREATE TABLE public.plain (LIKE "+table+" INCLUDING ALL)")
	}
	d := took(func() {
		if err == nil {
			_, err = db.PgConn().CopyFrom(ctx, &rows, "COPY public.plain FROM STDIN (FORMAT binary)")
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// debezium has Connect write a stream's topic into a table that is not there yet. Its time counts from the first rows on: a worker that
// runs already has no start.
func (w *world) debezium(name, stream string) time.Duration {
	w.t.Helper()
	n := w.sim().Count(stream)
	table := fmt.Sprintf("public.%q", w.name+"_"+stream)
	w.rows("DROP TABLE IF EXISTS " + table)
	w.connector(name, []string{w.prefix() + stream}, 5000)
	var began time.Time
	first := 0
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		texts, err := w.query("SELECT count(*)::text FROM " + table)
		if err != nil { // not there yet
			continue
		}
		rows, err := strconv.Atoi(texts[0])
		switch {
		case err != nil:
			w.t.Fatal(err)
		case began.IsZero() && rows > 0:
			began, first = time.Now(), rows
		case rows == n:
			return time.Since(began) * time.Duration(n) / time.Duration(n-first)
		}
	}
	w.t.Fatal("Debezium did not come to the end")
	return 0
}

package sinker_test

import (
	"bytes"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/pkg/schema"
)

// timeEntry is a time entry as Harvest has them: about forty of its fields are set.
func timeEntry(st *schema.Stream, id int64) row {
	r := row{"id": id, "account_id": int64(account), "_seq": id, "_observed_at": observed}
	n := 0
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		if f.Required || f.Name[0] == '_' || f.Name == "extra" {
			continue
		}
		if n++; n > 37 {
			break
		}
		switch f.Kind {
		case schema.Long:
			r[f.Name] = 1_000_000 + id%1000
		case schema.Bool:
			r[f.Name] = id%2 == 0
		case schema.String:
			r[f.Name] = fmt.Sprintf("Text %d", id%97)
		case schema.Decimal:
			r[f.Name] = big.NewRat(id%1000+25, 4)
		case schema.Date:
			r[f.Name] = time.Date(2026, 1, 1+int(id%300), 0, 0, 0, 0, time.UTC)
		case schema.Timestamp:
			r[f.Name] = time.Date(2026, 1, 1, 0, 0, int(id), 0, time.UTC)
		}
	}
	return r
}

// timeEntries is a world whose topic has a version of n time entries.
func timeEntries(b *testing.B, n int64) *world {
	b.Helper()
	w := newWorld(b)
	w.deps.Log = quiet
	w.topics(1, "time_entries")
	w.publishEntries(n)
	return w
}

// publishEntries writes a version of each time entry, in order of ids.
func (w *world) publishEntries(n int64) {
	w.t.Helper()
	st := stream(w.t, "time_entries")
	for id := int64(1); id <= n; id += 5000 {
		recs := make([]*kgo.Record, 5000)
		for i := range recs {
			v := version{stream: st, id: id + int64(i), row: timeEntry(st, id+int64(i))}
			recs[i] = w.record(&v)
		}
		w.produce(kgo.TryCommit, recs...)
	}
}

// rates are two ways that are measured in turn.
type rates struct{ ours, other []rate }

// rate is one run of a way: rows a second, and the seconds of processor time that a million rows take of this process, the broker's
// share included, and of the server.
type rate struct{ rows, here, server float64 }

// measure runs one way.
func (w *world) measure(into *[]rate, rows int64, f func()) {
	w.t.Helper()
	here, server, began := cpu(), w.serverTime(), time.Now()
	f()
	took := time.Since(began)
	scale := 1e6 / float64(rows)
	*into = append(*into, rate{float64(rows) / took.Seconds(), (cpu() - here).Seconds() * scale, (w.serverTime() - server).Seconds() * scale})
}

// report prints the medians, and the median and the best of the pairs' ratios: what else the machine does disturbs a pair less than
// two halves of a run.
func (r *rates) report(b *testing.B, ours, other string) {
	b.Helper()
	ratios := make([]float64, len(r.ours))
	for i := range ratios {
		ratios[i] = r.ours[i].rows / r.other[i].rows
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(ratios[len(ratios)-1], "best-ratio")
	for name, list := range map[string][]rate{ours: r.ours, other: r.other} {
		b.ReportMetric(median(list, func(r rate) float64 { return r.rows }), name+"-rows/s")
		b.ReportMetric(median(list, func(r rate) float64 { return r.here }), name+"-s/Mrows")
		b.ReportMetric(median(list, func(r rate) float64 { return r.server }), name+"-server-s/Mrows")
	}
}

func median(list []rate, of func(rate) float64) float64 {
	values := make([]float64, len(list))
	for i, r := range list {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// serverTime is the processor time that all processes of the server have used, those that have ended included; 0 where they are not to
// be seen.
func (w *world) serverTime() time.Duration {
	w.t.Helper()
	processes := map[string][]string{} // what /proc/<pid>/stat says from its third field on
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if end := bytes.LastIndexByte(text, ')'); err == nil && end > 0 { // or it has just ended
			processes[strings.Split(file, "/")[2]] = strings.Fields(string(text[end+1:]))
		}
	}
	backend := processes[fmt.Sprint(w.db.PgConn().PID())]
	if backend == nil {
		return 0
	}
	ticks := 0
	add := func(fields ...string) {
		for _, f := range fields {
			n, err := strconv.Atoi(f)
			if err != nil {
				w.t.Fatal(err)
			}
			ticks += n
		}
	}
	parent := backend[1]
	add(processes[parent][11:15]...) // its own time, and that of its children that have ended
	for _, p := range processes {
		if p[1] == parent {
			add(p[11:13]...)
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// cpu is the processor time this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDrain drains 1,000,000 time entries into an empty table, and copies the same rows by one plain binary COPY into the same table, in
// turn: their ratio is what the sinker adds.
func BenchmarkDrain(b *testing.B) {
	const n = 1_000_000
	w := timeEntries(b, n)
	w.drain()
	plain := w.copyOut()
	var r rates
	for b.Loop() {
		w.sql("TRUNCATE harvest.time_entries; DELETE FROM harvest._offsets; CHECKPOINT")
		w.measure(&r.ours, n, w.drain)
		w.sql("TRUNCATE harvest.time_entries; CHECKPOINT")
		w.measure(&r.other, n, func() { w.copyIn(plain) })
	}
	r.report(b, "drain", "copy")
}

// BenchmarkReplay drains the same records again into the table that has them all, against plain COPY into an empty one.
func BenchmarkReplay(b *testing.B) {
	const n = 1_000_000
	w := timeEntries(b, n)
	w.drain()
	plain := w.copyOut()
	var r rates
	for b.Loop() {
		w.sql("UPDATE harvest._offsets SET next = 0")
		w.measure(&r.ours, n, w.drain)
		w.sql("CREATE TABLE plain (LIKE harvest.time_entries INCLUDING ALL); CHECKPOINT")
		w.measure(&r.other, n, func() { w.copyInto("plain", plain) })
		w.sql("DROP TABLE plain")
	}
	r.report(b, "replay", "copy")
}

// BenchmarkUpdate drains a new version of each of 300,000 rows, and sends the same values the usual way from Go: pgx's CopyFrom into a
// staging table and INSERT … ON CONFLICT, 10,000 rows a transaction. The usual way is given decoded values, reading and decoding apart.
func BenchmarkUpdate(b *testing.B) {
	const n = 300_000
	w := timeEntries(b, n)
	w.drain()
	usual := newStaging(w, stream(b, "time_entries"))
	var r rates
	for b.Loop() {
		w.publishEntries(n)
		w.sql("VACUUM harvest.time_entries")
		w.sql("CHECKPOINT")
		w.measure(&r.ours, n, w.drain)
		w.sql("VACUUM harvest.time_entries")
		w.sql("CHECKPOINT")
		w.measure(&r.other, n, func() { usual.write(n) })
		w.sql("UPDATE harvest.time_entries SET _seq = 0")
	}
	r.report(b, "update", "staging")
}

// staging is the usual way.
type staging struct {
	w       *world
	columns []string
	rows    [][]any // a few, which are sent again and again with other ids: so many more in memory would burden the sinker's collector
	id, seq int     // their places among columns
	next    int64   // a rank above all
	merge   string
}

func newStaging(w *world, st *schema.Stream) *staging {
	s := &staging{w: w, rows: make([][]any, 1000), next: 1 << 40}
	var set bytes.Buffer
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		switch f.Name {
		case "id":
			s.id = i
		case "_seq":
			s.seq = i
		}
		s.columns = append(s.columns, f.Name)
		fmt.Fprintf(&set, "%q = excluded.%q, ", f.Name, f.Name)
	}
	s.columns = append(s.columns, "_loaded_at")
	for i := range s.rows {
		entry := timeEntry(st, int64(i+1))
		for _, name := range s.columns {
			v := entry[name]
			if d, ok := v.(*big.Rat); ok {
				v = pgtype.Numeric{Int: new(big.Int).Div(new(big.Int).Mul(d.Num(), big.NewInt(100)), d.Denom()), Exp: -2, Valid: true}
			}
			s.rows[i] = append(s.rows[i], v)
		}
		s.rows[i][len(s.columns)-1] = observed
	}
	w.sql("CREATE TEMPORARY TABLE stage (LIKE harvest.time_entries) ON COMMIT DELETE ROWS")
	s.merge = `INSERT INTO harvest.time_entries AS t TABLE stage ON CONFLICT (id, account_id) DO UPDATE SET ` +
		set.String() + `_loaded_at = excluded._loaded_at WHERE excluded._seq > t._seq`
	return s
}

// write writes new versions of the rows 1 to n.
func (s *staging) write(n int64) {
	ctx := s.w.t.Context()
	const batch = 10_000
	for from := int64(1); from <= n; from += batch {
		err := pgx.BeginFunc(ctx, s.w.db, func(tx pgx.Tx) error {
			rows := pgx.CopyFromSlice(batch, func(i int) ([]any, error) {
				row := s.rows[i%len(s.rows)]
				s.next++
				row[s.id], row[s.seq] = from+int64(i), s.next
				return row, nil
			})
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{"stage"}, s.columns, rows); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, s.merge)
			return err
		})
		if err != nil {
			s.w.t.Fatal(err)
		}
	}
}

// BenchmarkLatency is the time from a record's commit to its row's being visible, in a service that has nothing else to do. The row is
// looked for every 10 ms at most, so half of that is the benchmark's own.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b)
	w.deps.Log = quiet
	w.topics(1, "clients")
	clients := stream(b, "clients")
	w.publish(version{stream: clients, id: 1, row: row{"name": "0"}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.clients")
	var took []time.Duration
	for i := 1; b.Loop(); i++ {
		w.publish(version{stream: clients, id: 1, row: row{"name": fmt.Sprint(i)}})
		began := time.Now()
		w.eventually("SELECT name = $1 FROM harvest.clients", fmt.Sprint(i))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// copyOut is the table of time entries as binary COPY has it.
func (w *world) copyOut() []byte {
	w.t.Helper()
	var to bytes.Buffer
	if _, err := w.db.PgConn().CopyTo(w.t.Context(), &to, "COPY harvest.time_entries TO STDOUT (FORMAT binary)"); err != nil {
		w.t.Fatal(err)
	}
	return to.Bytes()
}

func (w *world) copyIn(rows []byte) { w.copyInto("harvest.time_entries", rows) }

func (w *world) copyInto(table string, rows []byte) {
	w.t.Helper()
	if _, err := w.db.PgConn().CopyFrom(w.t.Context(), bytes.NewReader(rows), "COPY "+table+" FROM STDIN (FORMAT binary)"); err != nil {
		w.t.Fatal(err)
	}
}

package sinker_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/sinker"
)

// appliers is a world whose batches are applied directly, so that their sizes are the test's.
type appliers struct {
	*world
	a       *sinker.Applier
	applied int64 // seq; what is not above it is taken for a replay
	want    map[string]string
}

func newApplier(t *testing.T, streamName string) *appliers {
	t.Helper()
	w := &appliers{world: newWorld(t), want: map[string]string{}}
	w.deps.Log = quiet
	w.drain() // makes the tables
	var err error
	if w.a, err = sinker.NewApplier(stream(t, streamName), false); err != nil {
		t.Fatal(err)
	}
	return w
}

// apply applies a version of ids from … to-1, and expects them all to be rows.
func (w *appliers) apply(streamName string, from, to int64, of func(id int64) row) {
	w.t.Helper()
	var recs []*kgo.Record
	for id := from; id < to; id++ {
		v := version{stream: stream(w.t, streamName), id: id, row: of(id)}
		recs = append(recs, w.record(&v))
		w.want[fmt.Sprintf("%d/%d", v.id, v.account)] = expected(w.t, &v, nil, false)
	}
	if bad, err := w.a.Apply(w.t.Context(), w.db, w.applied, recs); err != nil || len(bad) > 0 {
		w.t.Fatalf("%v, bad: %d", err, bad)
	}
}

// TestLeftOut: columns that were null in a whole batch are left out of the next one, a row that has values there all the same arrives with
// them, and so do those behind it and their items; through the stage as well.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	const n = 1200
	w := newApplier(t, "invoices")
	items := []row{{"id": int64(5), "quantity": big.NewRat(3, 2)}, {"id": int64(6)}}
	few := func(id int64) row { return row{"number": fmt.Sprint("A-", id), "line_items": items[:id%3]} }
	w.apply("invoices", 1, n, few)
	for _, name := range []string{"amount", "notes", "extra"} {
		if !slices.Contains(w.a.LeftOut(), name) {
			t.Fatalf("%s is sent: left out are %q", name, w.a.LeftOut())
		}
	}
	for _, name := range []string{"id", "account_id", "number", "line_items", "_seq", "_observed_at", "_loaded_at"} {
		if slices.Contains(w.a.LeftOut(), name) {
			t.Fatalf("%s is left out", name)
		}
	}
	w.apply("invoices", n, 2*n, func(id int64) row {
		r := few(id)
		switch id % n {
		case 0:
			r["amount"] = big.NewRat(7, 4)
		case 700:
			r["notes"], r["extra"] = "a note", `{"new": 1}`
		case n - 1:
			r["subject"] = "the last one"
		}
		return r
	})
	w.apply("invoices", 2*n, 3*n, few)
	w.apply("invoices", n, 3*n, func(id int64) row {
		r := few(id + 1)
		if id > 2*n {
			r["currency"] = "EUR"
		}
		return r
	})
	w.equal(w.table("harvest.invoices", "id, account_id"), w.want)
	total := 0
	for id := range int64(3 * n) {
		if total += int(id % 3); id >= n {
			total += int((id+1)%3) - int(id%3)
		}
	}
	if got := one[int](w.world, "SELECT count(*) FROM harvest.invoice_line_items"); got != total {
		t.Errorf("%d line items, not %d", got, total)
	}
}

// TestLeftOutDefault: somebody's default does not stand in for a null.
func TestLeftOutDefault(t *testing.T) {
	t.Parallel()
	const n = 1100
	w := newApplier(t, "clients")
	few := func(id int64) row { return row{"name": fmt.Sprint("Client ", id)} }
	w.apply("clients", 1, n, few)
	w.sql("ALTER TABLE harvest.clients ALTER COLUMN address SET DEFAULT 'unknown'")
	w.apply("clients", n, 2*n, few)
	w.equal(w.table("harvest.clients", "id, account_id"), w.want)
}

// TestLeftOutBad: a row that PostgreSQL refuses is named, also behind one that made another COPY necessary.
func TestLeftOutBad(t *testing.T) {
	t.Parallel()
	const n = 1100
	w := newApplier(t, "clients")
	few := func(id int64) row { return row{"name": fmt.Sprint("Client ", id)} }
	w.apply("clients", 1, n, few)
	st := stream(t, "clients")
	var recs []*kgo.Record
	for id := int64(n); id < 2*n; id++ {
		v := version{stream: st, id: id, row: few(id)}
		switch id {
		case n + 300:
			v.row["address"] = "Main Street"
		case n + 600:
			v.row["extra"] = "no JSON"
		}
		recs = append(recs, w.record(&v))
	}
	bad, err := w.a.Apply(t.Context(), w.db, 0, recs)
	if err != nil || !slices.Equal(bad, []int64{n + 600}) {
		t.Errorf("bad are %d (%v)", bad, err)
	}
}

// TestSample: of many updates only some are asked for; rows that are not there all the same, and those that have a higher rank, become what
// they are to be. Replays are asked for, and so is what has items.
func TestSample(t *testing.T) {
	t.Parallel()
	const n = 2000
	w := newApplier(t, "clients")
	named := func(name string) func(int64) row { return func(int64) row { return row{"name": name} } }
	w.apply("clients", 1, n, named("first"))
	w.sql("DELETE FROM harvest.clients WHERE id % 10 = 3")
	w.applied = n - 1
	asked := w.count()
	w.apply("clients", 1, n, named("second"))
	if asked.n > n/sinker.SampleOf+1 || asked.ranges > 0 {
		t.Errorf("%d keys and %d ranges were asked for", asked.n, asked.ranges)
	}
	w.equal(w.table("harvest.clients", "id, account_id"), w.want)
	w.applied = 0 // as with offsets that somebody has set back
	w.again("clients", 1, n, named("first"))
	if asked.ranges != 1 {
		t.Errorf("%d ranges were asked for in a replay", asked.ranges)
	}
	w.sql("UPDATE harvest.clients SET _seq = 1099511627776, name = 'higher' WHERE id = 77")
	w.applied = 4 * n
	w.apply("clients", 1, n, named("third"))
	if got := one[string](w.world, "SELECT name FROM harvest.clients WHERE id = 77"); got != "higher" {
		t.Errorf("a lower rank went over a higher one: %s", got)
	}
}

// TestRange: the rows of many keys are looked for as a range, and found as well where that is given up for too many others: rows between the
// keys, or another account's of the same ids.
func TestRange(t *testing.T) {
	t.Parallel()
	const n = 6000
	w := newApplier(t, "clients")
	st := stream(t, "clients")
	w.applied = 1 << 40 // all are replays
	apply := func(step int64, account int64, name string, seq int64) {
		t.Helper()
		var recs []*kgo.Record
		for id := int64(1); id < n; id += step {
			v := version{stream: st, account: account, id: id, row: row{"name": name}, seq: seq}
			recs = append(recs, w.record(&v))
			if seq > 1 {
				w.want[fmt.Sprintf("%d/%d", id, account)] = expected(t, &v, nil, false)
			}
		}
		if bad, err := w.a.Apply(t.Context(), w.db, w.applied, recs); err != nil || len(bad) > 0 {
			t.Fatal(err, bad)
		}
		w.equal(w.table("harvest.clients", "id, account_id"), w.want)
	}
	asked := w.count()
	apply(1, 1, "first", 2)
	apply(1, 1, "older", 1)
	if asked.n > 0 || asked.ranges != 2 {
		t.Errorf("%d ranges and %d keys were asked for", asked.ranges, asked.n)
	}
	apply(4, 1, "older", 1)
	if asked.n < n/4/2 || asked.ranges != 3 {
		t.Errorf("%d ranges and %d keys were asked for", asked.ranges, asked.n)
	}
	for range sinker.SingleTimes {
		apply(4, 1, "older", 1)
	}
	if asked.ranges != 3 {
		t.Errorf("%d ranges were asked for", asked.ranges)
	}
	apply(1, 2, "of another account", 2)
	apply(1, 2, "older", 1)
	apply(1, 1, "newer", 3)
}

// again applies versions of the lowest seqs once more.
func (w *appliers) again(streamName string, from, to int64, of func(id int64) row) {
	w.t.Helper()
	var recs []*kgo.Record
	for id := from; id < to; id++ {
		v := version{stream: stream(w.t, streamName), id: id, row: of(id), seq: id}
		recs = append(recs, w.record(&v))
	}
	if bad, err := w.a.Apply(w.t.Context(), w.db, w.applied, recs); err != nil || len(bad) > 0 {
		w.t.Fatal(err, bad)
	}
	w.equal(w.table("harvest."+streamName, "id, account_id"), w.want)
}

// count counts the keys asked for from now on.
func (w *appliers) count() *asked {
	w.t.Helper()
	config := w.db.Config()
	keys := &asked{}
	config.Tracer = keys
	db, err := pgx.ConnectConfig(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = db.Close(context.Background()) })
	w.db = db
	w.sql("SET TimeZone = 'UTC'")
	return keys
}

type asked struct{ n, ranges int }

// TraceQueryStart implements pgx.QueryTracer.
func (a *asked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	switch {
	case !strings.HasPrefix(q.SQL, "SELECT"):
	case len(q.Args) == 2:
		if ids, ok := q.Args[1].([]int64); ok {
			a.n += len(ids)
		}
	case strings.Contains(q.SQL, "BETWEEN"):
		a.ranges++
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

package sinker_test

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/sinker"
)

// appliers is a world whose batches are applied directly, so that their sizes are the test's.
type appliers struct {
	*world
	a    *sinker.Applier
	want map[string]string
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
	if bad, err := w.a.Apply(w.t.Context(), w.db, recs); err != nil || len(bad) > 0 {
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
	bad, err := w.a.Apply(t.Context(), w.db, recs)
	if err != nil || !slices.Equal(bad, []int64{n + 600}) {
		t.Errorf("bad are %d (%v)", bad, err)
	}
}

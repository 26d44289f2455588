package sinker_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/sinker"
)

// TestAnyRange: any ranges of a topic, in any order, applied to any earlier state of the tables, and in the end what is left from there,
// lead to the same rows: in the database, with everything the writer leaves unasked (S3, S4).
func TestAnyRange(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(mode, seed), func(t *testing.T) {
				t.Parallel()
				newReplays(t, mode, seed).run()
			})
		}
	}
}

// replays is a random history on a topic, a record a second, and what the table must hold in the end.
type replays struct {
	*world
	r    *rand.Rand
	n    int
	want map[string]string
}

func newReplays(t *testing.T, mode string, seed uint64) *replays {
	h := &replays{world: newWorld(t, "SINK_DELETE_MODE="+mode), r: rand.New(rand.NewPCG(seed, 71)), want: map[string]string{}}
	h.drain() // makes the tables
	h.topics(1, "invoices")
	h.n = 40 + h.r.IntN(80)
	rows := map[string]version{}
	var recs []*kgo.Record
	for i := range h.n {
		v := version{stream: stream(t, "invoices"), account: int64(1 + h.r.IntN(2)), id: int64(1 + h.r.IntN(12)), at: observed.Add(time.Duration(i) * time.Second)}
		if h.r.IntN(3) > 0 {
			v.row = row{"subject": fmt.Sprint(i), "line_items": []row{{"id": int64(i), "quantity": nil}}[:h.r.IntN(2)]}
		}
		rec := h.record(&v)
		rec.Timestamp = v.at
		recs = append(recs, rec)
		key := fmt.Sprintf("%d/%d", v.id, v.account)
		last, was := rows[key]
		switch {
		case v.row != nil:
			rows[key], h.want[key] = v, expected(t, &v, nil, mode == "soft")
		case mode == "hard":
			delete(h.want, key)
		case was:
			h.want[key] = expected(t, &last, zoned(v.at), true)
		}
	}
	h.produce(kgo.TryCommit, recs...)
	return h
}

// apply has the records [from, to) applied, whatever was before.
func (h *replays) apply(from, to int) {
	h.t.Helper()
	h.sql("UPDATE harvest._offsets SET next = $1", from)
	if h.r.IntN(3) == 0 {
		h.sql("UPDATE harvest._offsets SET seqs = '{}'")
	}
	until := observed.Add(time.Duration(to-1) * time.Second)
	if err := sinker.Drain(h.t.Context(), h.cfg, h.deps, until); err != nil {
		h.t.Fatalf("applying [%d, %d): %v", from, to, err)
	}
	if next := one[int](h.world, "SELECT next FROM harvest._offsets"); next != to {
		h.t.Fatalf("[%d, %d) ended at %d", from, to, next)
	}
}

// state is the tables of rows.
var state = []string{"invoices", "invoice_line_items", "_deleted"}

func (h *replays) run() {
	earlier := 1 + h.r.IntN(h.n-1) // a backup was taken here
	h.apply(0, earlier)
	for _, name := range state {
		h.sql("CREATE TABLE backup_" + name + " AS TABLE harvest." + name)
	}
	for range 2 + h.r.IntN(5) {
		from := h.r.IntN(h.n)
		h.apply(from, from+1+h.r.IntN(h.n-from))
		if h.r.IntN(4) == 0 { // and here it was restored
			for _, name := range state {
				h.sql("TRUNCATE harvest." + name + "; INSERT INTO harvest." + name + " TABLE backup_" + name)
			}
		}
	}
	h.apply(h.r.IntN(earlier+1), h.n)
	h.drain()
	h.equal(h.table("harvest.invoices", "id, account_id"), h.want)
	if n := one[int](h.world, "SELECT count(*) FROM harvest.invoice_line_items i FULL JOIN (SELECT id, account_id FROM harvest.invoices WHERE line_items <> '[]') p ON p.id = i.invoice_id AND p.account_id = i.account_id WHERE i.id::text IS DISTINCT FROM (SELECT subject FROM harvest.invoices t WHERE t.id = i.invoice_id AND t.account_id = i.account_id)"); n != 0 {
		h.t.Errorf("%d items are of other versions than their rows", n)
	}
	if err := sinker.Verify(h.t.Context(), h.cfg, h.deps, []string{"invoices"}); err != nil {
		h.t.Error(err)
	}
}

package sinker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// TestAnyRange: any ranges of a topic, in any order, applied to any earlier state of the tables, then what is left from there, then any
// ranges again, lead to the same rows: in the database, with everything the writer leaves unasked (S3, S4).
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

// replays is a random history on a topic, a record a second.
type replays struct {
	*world
	r    *rand.Rand
	n    int
	soft bool
	list []version
}

func newReplays(t *testing.T, mode string, seed uint64) *replays {
	h := &replays{world: newWorld(t, "SINK_DELETE_MODE="+mode, "KAFKA_HISTORY=all"), r: rand.New(rand.NewPCG(seed, 71)), soft: mode == "soft"}
	h.drain() // makes the tables
	h.topics(1, "invoices")
	h.n = 40 + h.r.IntN(80)
	var recs []*kgo.Record
	for i := range h.n {
		v := version{stream: stream(t, "invoices"), account: int64(1 + h.r.IntN(2)), id: int64(1 + h.r.IntN(12)), at: observed.Add(time.Duration(i) * time.Second)}
		if h.r.IntN(3) > 0 {
			v.row = row{"subject": fmt.Sprint(i), "line_items": []row{{"id": int64(i), "quantity": nil}}[:h.r.IntN(2)]}
		}
		rec := h.record(&v)
		rec.Timestamp = v.at
		recs, h.list = append(recs, rec), append(h.list, v)
	}
	h.produce(kgo.TryCommit, recs...)
	return h
}

// want is what the table holds after the first n records.
func (h *replays) want(n int) map[string]string {
	want, rows := map[string]string{}, map[string]version{}
	for _, v := range h.list[:n] {
		key := fmt.Sprintf("%d/%d", v.id, v.account)
		last, was := rows[key]
		switch {
		case v.row != nil:
			rows[key], want[key] = v, expected(h.t, &v, nil, h.soft)
		case !h.soft:
			delete(want, key)
		case was:
			want[key] = expected(h.t, &last, zoned(v.at), true)
		}
	}
	return want
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
	for range 4 { // parts that end before the deletes of what they bring
		from := h.r.IntN(h.n)
		h.apply(from, from+1+h.r.IntN(min(8, h.n-from)))
	}
	h.equal(h.table("harvest.invoices", "id, account_id"), h.want(h.n))
	if n := one[int](h.world, "SELECT count(*) FROM harvest.invoice_line_items i FULL JOIN (SELECT id, account_id FROM harvest.invoices WHERE line_items <> '[]') p ON p.id = i.invoice_id AND p.account_id = i.account_id WHERE i.id::text IS DISTINCT FROM (SELECT subject FROM harvest.invoices t WHERE t.id = i.invoice_id AND t.account_id = i.account_id)"); n != 0 {
		h.t.Errorf("%d items are of other versions than their rows", n)
	}
	h.drain()
	if err := sinker.Verify(h.t.Context(), h.cfg, h.deps, []string{"invoices"}); err != nil {
		h.t.Error(err)
	}
}

// TestUntilExact: a drain into another schema shows the account as it was at any moment, to the record, and takes nothing from the
// tables that are kept up to date (§7).
func TestUntilExact(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		h := newReplays(t, mode, 99)
		h.drain()
		fence := one[int](h.world, "SELECT fence FROM harvest._offsets")
		for i, n := range []int{0, 1, 1 + h.r.IntN(h.n-1), h.n} {
			cfg := h.config("SINK_SCHEMA=past"+fmt.Sprint(i), "SINK_DELETE_MODE="+mode, "KAFKA_HISTORY=all")
			moment := observed.Add(time.Duration(n-1) * time.Second) // the last one's own
			if err := sinker.Drain(t.Context(), cfg, h.deps, moment); err != nil {
				t.Fatal(err)
			}
			h.equal(h.table("past"+fmt.Sprint(i)+".invoices", "id, account_id"), h.want(n))
		}
		if err := sinker.Drain(t.Context(), h.cfg, h.deps, observed); ops.ExitCode(err) != ops.ExitConfig {
			t.Errorf("a moment the tables are past: %v", err)
		}
		if now := one[int](h.world, "SELECT fence FROM harvest._offsets"); now != fence {
			t.Errorf("the partition was taken over by a drain that was refused")
		}
	}
}

// TestLowerBehindDelete: a version that comes behind the delete of its key and has a lower rank does not bring the row back, though the
// delete was applied by the same session, or by an earlier batch of the same rebuild (S3).
func TestLowerBehindDelete(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{"hard": "2", "soft": "1- 2"} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		living := "SELECT coalesce(string_agg(id || CASE WHEN to_jsonb(t) ->> '_deleted_at' IS NULL THEN '' ELSE '-' END, ' ' ORDER BY id), '') FROM harvest.tasks t WHERE id < 3"
		w.publish(version{stream: tasks, id: 1, row: row{}})
		w.serve("SINK_DELETE_MODE=" + mode)
		w.publish(version{stream: tasks, id: 1, seq: 10})
		w.eventually("SELECT next = 4 FROM harvest._offsets")
		w.publish(version{stream: tasks, id: 1, seq: 5, row: row{"name": "lower"}}, version{stream: tasks, id: 2, row: row{}})
		w.eventually("SELECT next = 7 FROM harvest._offsets")
		if got := one[string](w, living); got != want {
			t.Errorf("%s: rows are %s: %v", mode, got, w.table("harvest.tasks", "id"))
		}
		long := strings.Repeat("x", 900<<10)
		for id := range int64(20) { // more than a batch of a rebuild
			w.publish(version{stream: tasks, id: 3 + id, row: row{"name": long}})
		}
		w.publish(version{stream: tasks, id: 1, seq: 6, row: row{"name": "lower"}})
		w.sql("DELETE FROM harvest._deleted")
		if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
			t.Fatal(err)
		}
		if got := one[string](w, living); got != want {
			t.Errorf("%s: rows are %s after a rebuild", mode, got)
		}
	}
}

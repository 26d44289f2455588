package harvesttest_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// The orders of harvest-api 1.7, ties newest id first.
func TestOrders(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	text := func(o object, name string) string { s, _ := o[name].(string); return s }
	for path, by := range map[string]string{"time_entries": "spent_date", "expenses": "spent_date", "invoices": "issue_date", "estimates": "issue_date",
		"clients": "created_at", "tasks": "created_at", "user_assignments": "created_at", "roles": "created_at"} {
		rows := w.walk(path + "?per_page=11")
		same(t, path+" sorted", slices.IsSortedFunc(rows, func(a, b object) int {
			return cmp.Or(cmp.Compare(text(b, by), text(a, by)), cmp.Compare(id(b), id(a)))
		}), true)
		same(t, path+" all", len(rows), w.Count(path))
	}
	user := w.IDs("users")[1]
	rates := w.walk(fmt.Sprintf("users/%d/billable_rates?per_page=1", user))
	same(t, "rates", len(rates), 2)
	same(t, "oldest first", rates[0]["start_date"] == nil && rates[1]["start_date"] != nil, true)
}

func TestFilters(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	for _, c := range []struct {
		list, query string
		keep        func(o object) bool
	}{
		{"time_entries", "user_id=%u", func(o object) bool { return id(o["user"].(object)) == w.IDs("users")[1] }},
		{"time_entries", "client_id=%c", func(o object) bool { return id(o["client"].(object)) == w.IDs("clients")[1] }},
		{"time_entries", "is_billed=true", func(o object) bool { return o["is_billed"] == true }},
		{"time_entries", "is_running=true", func(o object) bool { return o["is_running"] == true }},
		{"time_entries", "is_running=false&approval_status=approved", func(o object) bool { return o["is_running"] == false && o["approval_status"] == "approved" }},
		{"time_entries", "from=2026-02-01&to=2026-02-28&is_billed=false", func(o object) bool {
			return o["spent_date"].(string) >= "2026-02-01" && o["spent_date"].(string) <= "2026-02-28" && o["is_billed"] == false
		}},
		{"time_entries", "external_reference_id=1200007", func(o object) bool {
			ref, ok := o["external_reference"].(object)
			return ok && ref["id"] == "1200007"
		}},
		{"time_entries", "is_active=true&state=open", func(object) bool { return true }}, // not its parameters: ignored
		{"expenses", "from=2026-03-01", func(o object) bool { return o["spent_date"].(string) >= "2026-03-01" }},
		{"invoices", "state=paid&client_id=%c", func(o object) bool { return o["state"] == "paid" && id(o["client"].(object)) == w.IDs("clients")[1] }},
		{"estimates", "from=1990-01-01", func(o object) bool { return o["issue_date"] != nil }}, // no date: in no window
		{"estimates", "to=2099-01-01", func(o object) bool { return o["issue_date"] != nil }},
		{"users", "is_active=false", func(o object) bool { return o["is_active"] == false }},
		{"contacts", "client_id=%c&is_active=false", func(o object) bool { return id(o["client"].(object)) == w.IDs("clients")[1] }},
		{"user_assignments", "user_id=%u", func(o object) bool { return id(o["user"].(object)) == w.IDs("users")[1] }},
		{"roles", "updated_since=2099-01-01T00:00:00Z", func(object) bool { return true }}, // undocumented: ignored
		{"clients", "updated_since=2026-04-01T00:00:00Z", func(o object) bool { return o["updated_at"].(string) >= "2026-04-01T00:00:00Z" }},
	} {
		query := fmt.Sprintf("%s?%s&per_page=9", c.list, expand(w, c.query))
		want := 0
		for _, o := range w.Truth(c.list) {
			if c.keep(decode(t, o.JSON)) {
				want++
			}
		}
		rows := w.walk(query)
		same(t, query+" rows", len(rows), want)
		same(t, query+" total", w.list(query).Total, want)
		for _, o := range rows {
			if !c.keep(o) {
				t.Errorf("%s shows %v", query, o)
			}
		}
	}
}

func expand(w *world, query string) string {
	return strings.NewReplacer("%u", fmt.Sprint(w.IDs("users")[1]), "%c", fmt.Sprint(w.IDs("clients")[1])).Replace(query)
}

// updated_since compares whole seconds, and includes its own second or does not (harvest-api 1.8).
func TestUpdatedSince(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		w := setup(t, harvesttest.Options{After: after})
		w.clock.pass(time.Hour)
		task := w.IDs("tasks")[2]
		w.must(w.Rename("tasks", task, "Other"))
		at := w.clock.stamp()
		same(t, "stamp", w.object("tasks", task)["updated_at"].(string), at)
		want := 1
		if after {
			want = 0
		}
		same(t, "its own second", w.list("tasks?updated_since="+at).Total, want)
		same(t, "the second before", w.list("tasks?updated_since="+w.clock.ago(time.Second)).Total, 1)
		same(t, "invalid", w.send("GET", "tasks?updated_since=yesterday", "").status, 422)
	}
}

// A numbered list drifts: a row deleted from a page already read makes another vanish from the walk, an insert repeats one.
// A cursor walk does neither (harvest-api 4.4).
func TestDrift(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	all := w.walk("time_entries?per_page=100")
	first := w.list("time_entries?per_page=100")
	w.deleteOne("time_entries", first.rows)
	second := w.list("time_entries?per_page=100&page=2")
	same(t, "hidden row", id(second.rows[0]), id(all[101]))
	same(t, "total of the moment", second.Total, first.Total-1)

	f := harvesttest.Fields{"project_id": w.IDs("projects")[0], "task_id": w.IDs("tasks")[0], "hours": 1}
	w.made("time_entries", 0, f)
	w.made("time_entries", 0, f)
	third := w.list("time_entries?per_page=100&page=2")
	same(t, "repeated row", id(third.rows[0]), id(all[99]))

	contacts := w.walk("contacts?per_page=3")
	page := w.list("contacts?per_page=3")
	w.must(w.Delete("contacts", id(page.rows[0])))
	w.made("contacts", 0, harvesttest.Fields{"client_id": w.IDs("clients")[0]})
	same(t, "cursor", id(w.list(*page.Links["next"]).rows[0]), id(contacts[3]))
}

// deleteOne deletes the first of rows that nothing guards.
func (w *world) deleteOne(stream string, rows []object) {
	w.t.Helper()
	for _, o := range rows {
		if w.Delete(stream, id(o)) == nil {
			return
		}
	}
	w.t.Fatal("nothing can be deleted")
}

// The incremental read answers from the log what a scan would answer.
func TestIncrementalReadEqualsScan(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	rng := newRand(7)
	marks := []string{}
	for range 300 {
		w.clock.pass(time.Duration(rng.IntN(4000)) * time.Millisecond)
		w.Step(rng)
		marks = append(marks, w.clock.stamp())
	}
	for _, stream := range []string{"time_entries", "expenses", "invoices", "clients", "projects", "users", "contacts"} {
		for i := 0; i < len(marks); i += 37 {
			want := 0
			for _, o := range w.Truth(stream) {
				if decode(t, o.JSON)["updated_at"].(string) >= marks[i] {
					want++
				}
			}
			path := stream + "?updated_since=" + marks[i]
			same(t, path, w.list(path).Total, want)
			same(t, path+" rows", len(w.walk(path+"&per_page=5")), want)
		}
	}
}

func TestStaleTotals(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{Stale: time.Minute})
	before := w.list("contacts").Total
	w.clock.pass(time.Hour)
	w.made("contacts", 0, harvesttest.Fields{"client_id": w.IDs("clients")[0]})
	e := w.list("contacts")
	same(t, "rows", len(e.rows), before+1)
	same(t, "total", e.Total, before)
	w.clock.pass(2 * time.Minute)
	same(t, "later", w.list("contacts").Total, before+1)
}

package producer_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// delete takes rows out of the account.
func (w *world) delete(stream string, ids ...int64) {
	w.t.Helper()
	for _, id := range ids {
		if err := w.sim.Delete(stream, id); err != nil {
			w.t.Fatal(err)
		}
	}
}

// P7: rows that were moved to another project before theirs was deleted are not taken for gone with it, though no poll has shown that yet
// and the one that is asked for is gone.
func TestP7MovedBeforeItsProjectWasDeleted(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 304}, func(w *world) {
		w.sync()
		rows := map[string][]int64{} // by project
		for _, p := range w.topic("expenses") {
			rows[p.fields["project_id"]] = append(rows[p.fields["project_id"]], p.id)
		}
		projects := w.sim.IDs("projects")
		slices.SortFunc(projects, func(a, b int64) int { return len(rows[itoa(b)]) - len(rows[itoa(a)]) })
		from, moved, deleted := projects[0], rows[itoa(projects[0])][1:], rows[itoa(projects[0])][0]
		if len(moved) == 0 {
			t.Fatal("the project has one expense: this proves nothing")
		}
		w.serve(func() {
			pass(13 * time.Minute)
			w.delete("expenses", deleted)
			for _, id := range moved {
				w.set("expenses", id, harvesttest.Fields{"project_id": projects[1]})
			}
			w.delete("projects", from)
			pass(10 * time.Minute)
		}, "HARVEST_POLL_INTERVAL=15s,expenses=2h")
		if !w.gone("projects", from) || !w.gone("expenses", deleted) {
			t.Error("what was deleted is still on the topics")
		}
		for _, p := range w.topic("expenses") {
			if slices.Contains(moved, p.id) && p.deleted {
				t.Errorf("expense %d was buried alive", p.id)
			}
		}
	})
}

// P6, P7: an account in which every list drifts keeps no delete from coming: without a clean second list each row is asked for.
func TestP7DeletesComeToABusyAccount(t *testing.T) {
	sizes := harvesttest.Sizes{Expenses: 300, TimeEntries: 20, Users: 5, Clients: 4, Projects: 6, Tasks: 4, Invoices: 3, Estimates: 3}
	bubble(t, harvesttest.Options{Seed: 303, Sizes: sizes}, func(w *world) {
		w.sync()
		gone := w.sim.IDs("expenses")[:120]
		w.delete("expenses", gone...)
		spent := harvesttest.Fields{"spent_date": time.Now().Format(time.DateOnly), "project_id": w.sim.IDs("projects")[0],
			"expense_category_id": w.sim.IDs("expense_categories")[0], "total_cost": 5}
		pass(10 * time.Minute)
		p := w.with(func(_ *producer.Config, d *producer.Deps) {
			d.PageSize = 20
			d.Transport = hooked{d.Transport, func(r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/expenses") && r.URL.Query().Get("page") == "5" {
					must(w.sim.Create("expenses", 0, spent))(t)
				}
			}}
		})
		exits(t, p.Sweep(w.t.Context(), []string{"expenses"}, len(gone), false), ops.ExitOK)
		for _, id := range gone {
			if !w.gone("expenses", id) {
				t.Fatalf("expense %d is still on the topic", id)
			}
		}
	})
}

// P7: rows that a sweep missed and a GET showed are no deletes: they do not count against the next ones of the day.
func TestP7WhatIsThereIsNoDelete(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 308}, func(w *world) {
		w.sync()
		ids := w.sim.IDs("expenses")
		gone, hidden := ids[:2], ids[2:16]
		w.sim.Fault(harvesttest.Fault{Match: "expenses", Query: "per_page=2000", Do: harvesttest.DoRewrite, Rewrite: func(b []byte) []byte {
			for _, id := range hidden {
				b = hide("expenses", id)(b)
			}
			return b
		}})
		w.serve(func() {
			for _, id := range gone {
				pass(5 * time.Minute)
				w.delete("expenses", id)
			}
			pass(5 * time.Minute)
		})
		for _, id := range ids[:16] {
			if w.gone("expenses", id) != slices.Contains(gone, id) {
				t.Errorf("expense %d is gone on the topic: %v", id, w.gone("expenses", id))
			}
		}
	})
}

// P7: a stopped sweep that a person answered, and whose control is not shown, stays stopped and says so.
func TestP7AnswerWithoutControl(t *testing.T) {
	sizes := harvesttest.Sizes{Expenses: 60, TimeEntries: 20, Users: 5, Clients: 4, Projects: 6, Tasks: 4, Invoices: 3, Estimates: 3}
	bubble(t, harvesttest.Options{Seed: 309, Sizes: sizes}, func(w *world) {
		w.sync()
		w.delete("expenses", w.sim.IDs("expenses")[:30]...)
		pass(10 * time.Minute)
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, -1, false), ops.ExitData, "--allow-deletes 30")
		show := w.sim.Fault(harvesttest.Fault{Match: "expenses/*", Do: harvesttest.DoStatus, Status: 404, Body: `{"status":404,"error":"Not Found"}`})
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, 30, false), ops.ExitData, "--allow-deletes 30")
		show()
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, 30, false), ops.ExitOK)
		w.equal("expenses")
	})
}

// P7: a row that comes back when compaction has left nothing of it but its tombstone is asked for where it belongs, and published.
func TestP7BackWithNothingButATombstone(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 310}, func(w *world) {
		task := must(w.sim.Create("tasks", 0, harvesttest.Fields{"name": "Hulling"}))(t) // nobody has worked at it
		id := must(w.sim.Create("task_assignments", 0, harvesttest.Fields{"project_id": w.sim.IDs("projects")[0], "task_id": task}))(t)
		pass(10 * time.Minute)
		w.sync()
		before := time.Now()
		pass(time.Minute)
		w.delete("task_assignments", id)
		pass(10 * time.Minute)
		w.sync()
		if !w.gone("task_assignments", id) {
			t.Fatal("no assignment was deleted: this proves nothing")
		}
		cl, _ := w.client()
		var compacted kadm.Offsets
		compacted.AddOffset("harvest.task_assignments", 0, w.ends("task_assignments")[partition{"harvest.task_assignments", 0}]-2, -1) // tombstone, marker
		if _, err := kadm.NewClient(cl).DeleteRecords(w.t.Context(), compacted); err != nil {
			t.Fatal(err)
		}
		if w.sim.Restore("task_assignments", before, id) != 1 {
			t.Fatal("the assignment did not return")
		}
		pass(10 * time.Minute)
		w.sync()
		if w.gone("task_assignments", id) {
			t.Errorf("assignment %d is not on the topic", id)
		}
	})
}

// P7: a replica that lags answers all three, list, GET and control, as if a new row were gone: it is too new for that to be believed.
func TestP7LaggingReplicaKnowsNoNewRow(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 403}, func(w *world) {
		var timer int64
		w.serve(func() {
			pass(4*time.Minute + 30*time.Second)
			for range 8 { // wherever in its minute the service is
				timer = must(w.sim.StartTimer(w.sim.IDs("users")[0]))(t)
				pass(4 * time.Second)
				fresh := w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoLag, Delay: 25 * time.Second})
				pass(22 * time.Second)
				fresh()
				pass(45 * time.Second)
			}
			w.delete("time_entries", timer)
			pass(2 * time.Minute)
		})
		for _, p := range w.topic("time_entries") {
			if p.deleted && p.id != timer {
				t.Errorf("entry %d was buried alive", p.id)
			}
		}
		w.equal("time_entries")
	})
}

// P7: rows that moved out of a sweep's window, and that no poll has shown yet, are not missing: they stop no sweep.
func TestP7MovedOutOfTheWindow(t *testing.T) {
	sizes := harvesttest.Sizes{Expenses: 60, TimeEntries: 20, Users: 5, Clients: 4, Projects: 6, Tasks: 4, Invoices: 3, Estimates: 3}
	bubble(t, harvesttest.Options{Seed: 311, Sizes: sizes}, func(w *world) {
		ids := w.sim.IDs("expenses")
		for _, id := range ids {
			w.set("expenses", id, harvesttest.Fields{"spent_date": time.Now().Format(time.DateOnly)})
		}
		p := w.producer("HARVEST_POLL_INTERVAL=15s,expenses=2h")
		stop, ended := w.background(p)
		pass(12 * time.Minute)
		for _, id := range ids[:30] {
			w.set("expenses", id, harvesttest.Fields{"spent_date": time.Now().AddDate(0, -2, 0).Format(time.DateOnly)})
		}
		pass(15 * time.Minute)
		if n := state(p, "expenses").Stopped; n > 0 {
			t.Errorf("a sweep was stopped for %d rows that are there", n)
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("expenses")
	})
}

// P7: a parent that is gone explains rows only as far as those that are asked for are gone as well.
func TestP7ExplainedRowsThatAreThere(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 312}, func(w *world) {
		w.sync()
		project := w.sim.IDs("projects")[0]
		of := map[int64]bool{}
		for _, p := range w.topic("time_entries") {
			of[p.id] = p.fields["project_id"] == itoa(project)
		}
		w.sim.Fault(harvesttest.Fault{Match: "projects/" + itoa(project), Do: harvesttest.DoStatus, Status: 404, Body: `{"status":404,"error":"Not Found"}`})
		w.sim.Fault(harvesttest.Fault{Match: "projects", Do: harvesttest.DoRewrite, Rewrite: hide("projects", project)})
		w.sim.Fault(harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoRewrite, Rewrite: func(b []byte) []byte {
			return rewriteList(b, "time_entries", func(rows []any) []any {
				return slices.DeleteFunc(rows, func(r any) bool { return of[int64(r.(map[string]any)["id"].(float64))] })
			})
		}})
		pass(25 * time.Hour)                 // sweeps are due
		_ = w.producer().Sync(w.t.Context()) // may say that sweeps were stopped
		if !w.gone("projects", project) {
			t.Fatal("the project is still on the topic: this proves nothing")
		}
		for _, p := range w.topic("time_entries") {
			if p.deleted {
				t.Errorf("entry %d was buried alive", p.id)
			}
		}
	})
}

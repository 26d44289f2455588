package producer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// P7: lists that come back empty, with GETs that find nothing or GETs that answer, delete nothing, though only some streams are struck
// and the process is a new one that has met no row yet.
func TestP7EmptyListsDeleteNothing(t *testing.T) {
	const notFound = `{"status":404,"error":"Not Found"}`
	lost := func(match string) []harvesttest.Fault {
		return []harvesttest.Fault{{Match: match, Do: harvesttest.DoEmpty}, {Match: match + "/*", Do: harvesttest.DoStatus, Status: 404, Body: notFound}}
	}
	cases := map[string][]harvesttest.Fault{
		"projects":       append(lost("projects"), lost("projects/*/task_assignments")...),
		"expenses":       lost("expenses"),
		"clients":        lost("clients"),
		"tasks":          lost("tasks"),
		"child lists":    {{Match: "invoices/*/*", Do: harvesttest.DoEmpty}, {Match: "estimates/*/*", Do: harvesttest.DoEmpty}, {Match: "users/*/*", Do: harvesttest.DoEmpty}},
		"all that lists": {{Match: "*", Do: harvesttest.DoEmpty}, {Match: "*/*/*", Do: harvesttest.DoEmpty}},
	}
	var all []harvesttest.Fault
	for _, s := range []string{"projects", "time_entries", "expenses", "clients", "tasks", "users", "contacts", "invoices", "estimates", "user_assignments", "task_assignments", "roles"} {
		all = append(all, lost(s)...)
	}
	all = append(all, harvesttest.Fault{Match: "*/*/*", Do: harvesttest.DoEmpty}, harvesttest.Fault{Match: "*/*/*/*", Do: harvesttest.DoStatus, Status: 404, Body: notFound})
	cases["everything"] = all
	for name, faults := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 230, Sizes: harvesttest.Sizes{Users: 5, Clients: 4, Projects: 7, Tasks: 4, Invoices: 25, Estimates: 5, Expenses: 15, TimeEntries: 120}}, func(w *world) {
				for i, id := range w.sim.IDs("invoices") {
					if i%2 == 0 {
						must(w.sim.RecordPayment(id, 1))(t)
					}
				}
				w.sync()
				pass(25 * time.Hour) // all passes are due
				for i, id := range w.sim.IDs("invoices")[:3] {
					w.set("invoices", id, harvesttest.Fields{"notes": fmt.Sprint("moved ", i)})
				}
				for _, f := range faults {
					if strings.HasPrefix(f.Match, "*") && f.Do == harvesttest.DoEmpty && f.Match == "*" {
						f.Query = "per_page" // not company
					}
					if f.Match == "users/*" {
						f.Match = "users/[0-9]*" // not users/me
					}
					w.sim.Fault(f)
				}
				_ = w.producer().Sync(w.t.Context()) // says that sweeps were stopped
				if n := w.tombstones(); n > 0 {
					t.Errorf("%d tombstones after a sync", n)
				}
				w.serve(func() { pass(20 * time.Minute) }, "HARVEST_SWEEP_INTERVAL=10m", "HARVEST_CHILDREN_INTERVAL=10m")
				if n := w.tombstones(); n > 0 {
					t.Errorf("%d tombstones after twenty minutes of service", n)
				}
			})
		})
	}
}

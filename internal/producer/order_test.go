package producer_test

import (
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// P9: what is dispatched and not yet sent counts: a poll does not queue behind a handful of sweeps' requests that were let go before it.
func TestP9PollsDoNotWaitBehindSweeps(t *testing.T) {
	sizes := harvesttest.Sizes{Users: 3, Clients: 3, Projects: 3, Tasks: 3, Invoices: 80, Estimates: -1, Expenses: -1, TimeEntries: 10}
	bubble(t, harvesttest.Options{Seed: 202, Sizes: sizes}, func(w *world) {
		w.env = append(w.env, "HARVEST_STREAMS=clients,invoices,invoice_messages,invoice_payments", "HARVEST_RATE_LIMIT=6") // one request in 3 s
		w.sync()
		w.serve(func() {
			pass(5 * time.Minute)
			w.sim.ResetRequests()
			pass(30 * time.Minute)
		}, "HARVEST_POLL_INTERVAL=5m,clients=30s", "HARVEST_PROBE_INTERVAL=1h", "HARVEST_CHILDREN_INTERVAL=1s", "HARVEST_RECENT_SWEEP_INTERVAL=1h")
		var last time.Time
		lists := 0
		for _, r := range w.sim.Requests() {
			if r.Path != "clients" {
				lists++
				continue
			}
			if late := r.At.Sub(last) - 30*time.Second; !last.IsZero() && late > 10*time.Second {
				t.Errorf("a poll was %s late", late)
			}
			last = r.At
		}
		if lists < 400 {
			t.Errorf("%d other requests: nothing was in the polls' way", lists)
		}
	})
}

// P9: polls that alone would use up the budget leave the others their turns: what only a sweep can find is found.
func TestP9SweepsHaveTheirTurn(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 137}, func(w *world) {
		w.sync()
		if err := w.sim.Rename("clients", w.sim.IDs("clients")[0], "Another name"); err != nil {
			t.Fatal(err)
		}
		w.serve(func() { pass(time.Hour) }, "HARVEST_RATE_LIMIT=6", "HARVEST_POLL_INTERVAL=1s", "HARVEST_SWEEP_INTERVAL=10m")
		w.equal("clients", "projects", "contacts")
	})
}

package producer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
)

// P7, P8: a rotating pass that is interrupted again and again goes on where it was, what it has missed before included, and buries that
// at its end.
func TestP8RoundRemembersWhatItMissed(t *testing.T) {
	sizes := harvesttest.Sizes{Users: 3, Clients: 3, Projects: 3, Tasks: 3, Invoices: 60, Estimates: -1, Expenses: -1, TimeEntries: 10}
	bubble(t, harvesttest.Options{Seed: 205, Sizes: sizes, Silent: harvesttest.SilentUnpay}, func(w *world) {
		ids := w.sim.IDs("invoices")
		slices.Sort(ids)
		var paid []int64
		for _, at := range []int{0, 30} {
			paid = append(paid, must(w.sim.RecordPayment(ids[at], 1))(t))
		}
		w.env = append(w.env, "HARVEST_STREAMS=invoices,invoice_payments", "HARVEST_RATE_LIMIT=12", "HARVEST_POLL_INTERVAL=5m", "HARVEST_PROBE_INTERVAL=1h")
		w.sync()
		pass(10 * time.Minute)
		w.sync() // behind the lookback: no poll shows what the delete does to the invoice
		for _, id := range paid {
			if err := w.sim.Delete("invoice_payments", id); err != nil {
				t.Fatal(err)
			}
		}
		pass(25 * time.Hour)
		w.sim.ResetRequests()
		for range 12 {
			w.serve(func() { pass(20 * time.Second) }, "HARVEST_CHILDREN_INTERVAL=24h")
		}
		lists := 0
		for _, r := range w.sim.Requests() {
			if strings.HasSuffix(r.Path, "/payments") {
				lists++
			}
		}
		if lists < len(ids) || lists > len(ids)*3/2 {
			t.Errorf("%d lists were read of %d invoices", lists, len(ids))
		}
		for _, id := range paid {
			if !w.gone("invoice_payments", id) {
				t.Errorf("payment %d is still on the topic", id)
			}
		}
		w.equal("invoice_payments")
	})
}

// P8: lists that are being read count as pending, so that nobody takes a stream for complete meanwhile.
func TestP8ListsUnderWayArePending(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 206}, func(w *world) {
		p := w.producer()
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		w.sim.Fault(harvesttest.Fault{Match: "invoices/*/payments", Do: harvesttest.DoSlow, Delay: 9 * time.Second})
		must(w.sim.RecordPayment(w.sim.IDs("invoices")[0], 1))(t)
		most := 0
		for range 40 {
			pass(time.Second)
			for _, s := range p.States() {
				if s.Stream == "invoice_payments" {
					most = max(most, s.Pending)
				}
			}
		}
		if most != 1 {
			t.Errorf("%d lists were said to be pending, want the one under way", most)
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("invoice_payments")
	})
}

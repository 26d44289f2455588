package producer_test

import (
	"strings"
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// P8: a list of several pages is read again, twice, when no other is under way. The mark waits for it: those read meanwhile do not take
// it along, or a death would leave its rows to the next round.
func TestP8MarkWaitsForTheSecondLook(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 251}, func(w *world) {
		invoices := w.sim.IDs("invoices")
		for _, id := range []int64{invoices[0], invoices[len(invoices)-1]} { // one of them is read early
			for range 5 {
				must(w.sim.RecordPayment(id, 1))(t)
			}
		}
		pass(2 * time.Hour)
		w.sync("HARVEST_STREAMS=invoices")
		var early int64
		for _, p := range w.topic("invoices") {
			if early == 0 && (p.id == invoices[0] || p.id == invoices[len(invoices)-1]) {
				early = p.id
			}
		}
		small := func(_ *producer.Config, d *producer.Deps) { d.PageSize = 4 }
		mend := w.sim.Fault(harvesttest.Fault{Match: "invoices/" + itoa(early) + "/payments", Nth: 2, Do: harvesttest.DoStatus, Status: 503})
		exits(t, w.with(small, "HARVEST_STREAMS=invoice_payments").Sync(w.t.Context()), ops.ExitUnavailable)
		mend()
		exits(t, w.with(small, "HARVEST_STREAMS=invoice_payments").Sync(w.t.Context()), ops.ExitOK)
		w.equal("invoice_payments")
	})
}

// P8: a parent that changed silently asks for no list, and the mark passes over it only where no other parent waits before it.
func TestP8MarkWaitsForTheQueue(t *testing.T) {
	sizes := small
	sizes.Invoices = 60
	bubble(t, harvesttest.Options{Seed: 252, Sizes: sizes}, func(w *world) {
		mend := w.sim.Fault(harvesttest.Fault{Match: "invoices/*/*", Do: harvesttest.DoSlow, Delay: 50 * time.Second})
		w.serve(func() {
			pass(time.Minute)
			for _, id := range w.sim.IDs("clients") {
				if err := w.sim.Rename("clients", id, "Client "+itoa(id)); err != nil {
					t.Fatal(err)
				}
			}
			pass(3 * time.Minute)
		}, "HARVEST_SWEEP_INTERVAL=1m", "HARVEST_LOOKBACK=1m", "HARVEST_STREAMS=clients,invoice_payments")
		if n := strings.Count(w.log.String(), "msg=swept stream=invoices"); n == 0 {
			t.Error("no sweep showed the silent change: this proves nothing")
		}
		mend()
		w.serve(func() { pass(15 * time.Minute) }, "HARVEST_CHILDREN_INTERVAL=48h", "HARVEST_STREAMS=clients,invoice_payments")
		w.equal("invoice_payments")
	})
}

// P8: what the mark has passed is not read again by the next life.
func TestP8MarkIsKept(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 253}, func(w *world) {
		w.sync()
		pass(time.Hour)
		w.sim.ResetRequests()
		w.serve(func() { pass(3 * time.Minute) })
		for _, r := range w.sim.Requests() {
			if strings.HasPrefix(r.Path, "invoices/") && strings.Count(r.Path, "/") == 2 {
				t.Errorf("asked for %s", r.Path)
			}
		}
	})
}

// P10: a first read that was interrupted goes on at its place.
func TestP10FirstReadGoesOn(t *testing.T) {
	for _, stream := range []string{"users", "expenses"} { // by cursor, by page number
		t.Run(stream, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 254}, func(w *world) {
				small := func(cfg *producer.Config, d *producer.Deps) { d.PageSize, cfg.Concurrency = 2, 1 }
				away := w.sim.Fault(harvesttest.Fault{Match: stream, Nth: 3, Do: harvesttest.DoStatus, Status: 503})
				exits(t, w.with(small, "HARVEST_STREAMS="+stream).Sync(w.t.Context()), ops.ExitUnavailable)
				away()
				w.sim.ResetRequests()
				exits(t, w.with(small, "HARVEST_STREAMS="+stream).Sync(w.t.Context()), ops.ExitOK)
				for _, r := range w.sim.Requests() {
					if r.Path != stream {
						continue
					}
					if !strings.Contains(r.Query, "cursor=") && !strings.Contains(r.Query, "page=3") {
						t.Errorf("it began with %s", r.Query)
					}
					break
				}
				w.equal(stream)
			})
		})
	}
}

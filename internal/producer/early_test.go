package producer_test

import (
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
)

// P8, P4: a child that shows later than its parent is there a lookback after the change at the latest, also where the producer was
// restarted in between, and the stream is not said to be complete before.
func TestP8ChildShownLate(t *testing.T) {
	for name, restart := range map[string]bool{"served": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 131}, func(w *world) {
				const rare = "HARVEST_CHILDREN_INTERVAL=48h"
				invoice := w.sim.IDs("invoices")[0]
				var changed time.Time
				w.serve(func() {
					pass(8 * time.Minute)
					w.sim.Fault(harvesttest.Fault{Match: "invoices/" + itoa(invoice) + "/messages", Do: harvesttest.DoLag, Delay: 2 * time.Minute, Count: 1})
					changed = time.Now()
					must(w.sim.Send("invoices", invoice))(t)
					pass(time.Minute)
					if !restart {
						pass(6 * time.Minute)
					}
				}, rare)
				if restart {
					w.serve(func() { pass(7 * time.Minute) }, rare)
				}
				w.equal("invoices", "invoice_messages")
				n := 0
				for _, r := range w.sim.Requests() {
					if r.Path == "invoices/*/messages" && r.At.After(changed) {
						n++
					}
				}
				if n != 2 {
					t.Errorf("the messages were asked for %d times after one change, want 2: at once and a lookback later", n)
				}
			})
		})
	}
}

// P8, P11: the lists of a new parent may be answered by what does not know it yet. They are read again, and their stream is not blocked.
func TestP8ListOfTooNewAParent(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 135}, func(w *world) {
		p := w.producer()
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		fresh := w.sim.Fault(harvesttest.Fault{Match: "invoices/*/messages", Do: harvesttest.DoLag, Delay: 30 * time.Second})
		invoice := must(w.sim.Create("invoices", 0, harvesttest.Fields{"client_id": w.sim.IDs("clients")[0]}))(t)
		must(w.sim.Send("invoices", invoice))(t)
		pass(25 * time.Second)
		if fresh() == 0 {
			t.Error("nobody asked for the messages")
		}
		pass(6 * time.Minute)
		if s := state(p, "invoice_messages"); s.Blocked != "" {
			t.Errorf("the messages are blocked: %s", s.Blocked)
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("invoices", "invoice_messages")
	})
}

// P8, S9: a child stream is not complete beyond a change whose list was read early and cannot be read again yet.
func TestP8NotCompleteBeforeTheSecondReading(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 136}, func(w *world) {
		invoice := w.sim.IDs("invoices")[0]
		var changed time.Time
		w.serve(func() {
			pass(8 * time.Minute)
			changed = time.Now()
			must(w.sim.Send("invoices", invoice))(t)
			pass(4 * time.Minute) // read at once, and early
			w.sim.Fault(harvesttest.Fault{Match: "invoices/" + itoa(invoice) + "/messages", Do: harvesttest.DoStatus, Status: 503})
			pass(10 * time.Minute)
		})
		if ck := w.checkpoint("invoice_messages"); ck.Cursor.After(changed) {
			t.Errorf("complete to %s, and the list of %s was not read again", ck.Cursor, changed)
		}
		if ck := w.checkpoint("invoice_payments"); !ck.Cursor.After(changed) {
			t.Errorf("the other children are complete to %s only: this proves nothing", ck.Cursor)
		}
	})
}

package producer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/pkg/harvest/harvesttest"
)

// P15, P7: a parent that is deleted while its topic is lost was never there for the new index; its children go all the same, those of the
// others stay.
func TestP15ParentDeletedWhileItsTopicWasLost(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 132}, func(w *world) {
		w.sync()
		before := w.tombstones()
		invoice := w.sim.IDs("invoices")[0]
		must(w.sim.Send("invoices", invoice))(t)
		w.sync()
		cl, _ := w.client()
		if _, err := kadm.NewClient(cl).DeleteTopics(w.t.Context(), "harvest.invoices"); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.Delete("invoices", invoice); err != nil {
			t.Fatal(err)
		}
		w.serve(func() { pass(2 * time.Minute) }, "HARVEST_CHILDREN_INTERVAL=48h")
		w.equal("invoice_messages", "invoice_payments")
		if w.tombstones() == before {
			t.Error("no child was deleted: this proves nothing")
		}
	})
}

// P7: children whose parent was deleted while their stream was not selected go when it is selected again.
func TestP7ParentDeletedWhileItsChildrenWereNotSelected(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 133}, func(w *world) {
		invoice, _ := w.invoiceWithPayments(3)
		w.sync()
		pass(time.Minute)
		w.delete("invoices", invoice)
		w.sync("HARVEST_STREAMS=*,-invoice_payments")
		if !w.gone("invoices", invoice) {
			t.Fatal("the invoice is still on the topic")
		}
		w.sync()
		w.equal("invoices", "invoice_messages", "invoice_payments")
	})
}

// P7: a list computed before its parent was deleted and delivered after that brings no child that nobody would ever look for.
func TestP7ListAnsweredAfterItsParentWasDeleted(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 134}, func(w *world) {
		paid := w.sim.Truth("invoice_payments")
		ids := w.sim.IDs("invoices")
		invoice := ids[slices.IndexFunc(ids, func(id int64) bool { // one without payments: of others the list is read twice
			return !slices.ContainsFunc(paid, func(p harvesttest.Object) bool { return p.ParentID == id })
		})]
		w.serve(func() {
			pass(7*time.Minute + 40*time.Second)
			slow := w.sim.Fault(harvesttest.Fault{Match: "invoices/" + itoa(invoice) + "/payments", Do: harvesttest.DoSlow, Delay: 55 * time.Second})
			must(w.sim.RecordPayment(invoice, 1))(t)
			pass(10 * time.Second)
			if err := w.sim.Delete("invoices", invoice); err != nil {
				t.Fatal(err)
			}
			pass(45 * time.Second)
			if !w.gone("invoices", invoice) {
				t.Fatal("the delete was not found before the list was answered: this proves nothing")
			}
			pass(time.Minute)
			if slow() == 0 {
				t.Error("nobody asked for the payments")
			}
		})
		w.equal("invoices", "invoice_messages", "invoice_payments")
	})
}

// P7: a parent confirmed gone takes its children along, in the same transaction.
func TestP7ChildrenGoWithTheirParent(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 138}, func(w *world) {
		invoice, paid := w.invoiceWithPayments(3)
		w.serve(func() {
			pass(3 * time.Minute)
			w.delete("invoices", invoice)
			pass(3 * time.Minute)
			for _, p := range w.topic("invoice_payments") {
				if slices.Contains(paid, p.id) && p.deleted && p.cause != "parent" {
					t.Errorf("payment %d went by itself: %s", p.id, p.cause)
				}
			}
			w.equal("invoices", "invoice_messages", "invoice_payments")
		})
	})
}

package producer_test

import (
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

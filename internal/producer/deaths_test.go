package producer_test

import (
	"context"
	"testing"

	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// P1, P2: a first pass dies at every single write to the network, before and after its delivery; the next pass ends exact: nothing lost,
// nothing said twice, seq without a gap. (recipes: the most useful test there is.)
func TestP1DeathAtEveryWrite(t *testing.T) {
	o := harvesttest.Options{Seed: 31, Sizes: harvesttest.Sizes{Users: 2, Clients: 2, Projects: 2, Tasks: 2, Invoices: 4, Estimates: -1, Expenses: -1, TimeEntries: 30}}
	streams := "HARVEST_STREAMS=clients,invoices,invoice_payments"
	once := func(w *world, n *cut) error {
		cfg := w.config(streams)
		cfg.Kafka.Dial = n.Dial
		p, err := producer.New(cfg, producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger(), PageSize: 2})
		if err != nil {
			t.Fatal(err)
		}
		ctx, die := context.WithCancel(w.t.Context())
		defer die()
		n.onTear = die
		return p.Once(ctx)
	}
	writes := 0
	bubble(t, o, func(w *world) {
		n := &cut{dial: w.net.DialContext, writes: -1}
		if err := once(w, n); err != nil {
			t.Fatal(err)
		}
		writes = n.total
	})
	died := 0
	for at := 1; at <= writes; at++ {
		for _, after := range []bool{false, true} {
			bubble(t, o, func(w *world) {
				n := &cut{dial: w.net.DialContext, writes: -1}
				n.tearAt(at, after)
				if once(w, n) != nil {
					died++
				}
				n.mend()
				if err := once(w, n); err != nil {
					t.Errorf("write %d, delivered %v: the pass after the death: %v", at, after, err)
				}
				w.equal("clients", "invoices", "invoice_payments")
			})
			if t.Failed() {
				t.Fatalf("death at write %d of %d, delivered %v", at, writes, after)
			}
		}
	}
	if died < writes {
		t.Errorf("%d of %d runs died: the network was not torn", died, 2*writes)
	}
	t.Logf("%d writes, %d deaths", writes, died)
}

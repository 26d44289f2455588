package producer_test

import (
	"testing"
	"time"

	"harveststream/internal/kafka"
	"harveststream/pkg/harvest/harvesttest"
)

// P10: the place of a first read that is a link of another HARVEST_BASE_URL than today's is no place any more: that first read begins
// again, loses nothing and says nothing twice.
func TestP10FirstReadAfterBaseURLChanged(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 231}, func(w *world) {
		w.sync()
		n := w.records()
		w.recheckpoint("clients", func(ck *kafka.Checkpoint) {
			ck.Backfill = &kafka.Backfill{Floor: time.Now().UTC(), Link: "https://proxy.example/v2/clients?cursor=eyJhZnRlciI6eyJpZCI6MX19&per_page=2000&ref=next_cursor"}
		})
		w.set("clients", w.sim.IDs("clients")[1], harvesttest.Fields{"address": "another"})
		w.sync()
		w.equal("clients")
		if ck := w.checkpoint("clients"); ck.Backfill != nil {
			t.Errorf("the first read stands at %+v", *ck.Backfill)
		}
		if more := w.records() - n; more < 1 {
			t.Errorf("%d records more", more)
		}
		n = w.records()
		w.sync()
		if more := w.records() - n; more != 0 {
			t.Errorf("%d records more, though nothing changed", more)
		}
	})
}

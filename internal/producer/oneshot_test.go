package producer_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// written is how many records there are by stream, and by stream's checkpoint; signs of life do not count.
func (w *world) written() map[string]int {
	w.t.Helper()
	n := map[string]int{}
	for _, s := range schema.All() {
		n[s.Name] = len(w.topic(s.Name))
	}
	for _, r := range w.checkpoints() {
		if _, stream, writer, err := kafka.ParseCheckpointKey(r.Key); err == nil && !writer {
			n["checkpoint of "+stream]++
		}
	}
	return n
}

// P7: a dry run tells what a sweep would find and writes nothing: no record, no tombstone, no checkpoint.
func TestSweepDryRunWritesNothing(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 206, Silent: harvesttest.SilentUnpay | harvesttest.SilentStop}, func(w *world) {
		_, paid := w.invoiceWithPayments(3)
		w.sync()
		before := w.written()
		w.set("clients", w.sim.IDs("clients")[0], harvesttest.Fields{"address": "another"})
		if err := w.sim.Rename("clients", w.sim.IDs("clients")[1], "Another name"); err != nil {
			t.Fatal(err)
		}
		for stream, ids := range map[string][]int64{"time_entries": w.sim.IDs("time_entries")[:30], "expenses": w.sim.IDs("expenses")[:2], "invoice_payments": paid[:1], "projects": w.sim.IDs("projects")[:1]} {
			for _, id := range ids {
				_ = w.sim.Delete(stream, id)
			}
		}
		pass(10 * time.Minute)
		p := w.producer("HARVEST_ANCHOR_DATE=1990-01-01")
		names := []string{"clients", "projects", "time_entries", "expenses", "invoices", "invoice_payments", "roles", "company"}
		exits(t, p.Sweep(w.t.Context(), names, -1, true), ops.ExitData, "time_entries", "--allow-deletes")
		if after := w.written(); !maps.Equal(before, after) {
			t.Errorf("written before %v,\nand after the dry run %v", before, after)
		}
		if n := state(p, "invoice_payments").Missed; n == 0 {
			t.Error("the missing payment is not told")
		}
		if n := state(p, "expenses").Missed; n < 2 {
			t.Errorf("%d missing expenses are told, want 2 at least", n)
		}
		p = w.producer("HARVEST_ANCHOR_DATE=1990-01-01")
		exits(t, p.Sweep(w.t.Context(), []string{"expenses"}, -1, false), ops.ExitOK)
		if n := state(p, "expenses").Missed; n != 0 {
			t.Errorf("%d expenses are missing after they were deleted", n)
		}
	})
}

// P7, P11: a sweep answers for the streams it was asked about: neither a stopped sweep of another one nor a blocked one is its failure.
func TestSweepAnswersForItsOwnStreams(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 207}, func(w *world) {
		w.sync()
		for _, id := range w.sim.IDs("time_entries")[:40] {
			_ = w.sim.Delete("time_entries", id)
		}
		w.sim.SwitchModule("expense_feature", false)
		pass(10 * time.Minute)
		exits(t, w.producer().Sweep(w.t.Context(), []string{"time_entries"}, -1, false), ops.ExitData, "time_entries")
		exits(t, w.producer().Sweep(w.t.Context(), []string{"clients", "projects"}, -1, false), ops.ExitOK)
		exits(t, w.producer().Sweep(w.t.Context(), []string{"clients"}, 5, true), ops.ExitOK)
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, -1, false), ops.ExitPermission, "expenses")
	})
}

// P10: a sweep of a stream that was never read reads it first.
func TestSweepBeforeTheFirstRead(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 208}, func(w *world) {
		exits(t, w.producer().Sweep(w.t.Context(), []string{"clients", "time_entries"}, -1, false), ops.ExitOK)
		w.equal("clients", "time_entries")
		for _, s := range []string{"clients", "time_entries"} {
			if ck := w.checkpoint(s); ck.Cursor.IsZero() || ck.Backfill != nil {
				t.Errorf("%s: checkpoint %s", s, fmt.Sprint(ck))
			}
		}
	})
}

// P7, P8: a sweep of a child stream reads the lists of all parents, also of those that a rotating pass under way has read already; of a
// stream whose parents were never read it reads these first.
func TestSweepOfChildrenIsWhole(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 209, Silent: harvesttest.SilentUnpay}, func(w *world) {
		ids := w.sim.IDs("invoices")
		paid := must(w.sim.RecordPayment(slices.Min(ids), 1))(t)
		w.env = append(w.env, "HARVEST_STREAMS=invoices,invoice_payments")
		exits(t, w.producer().Sweep(w.t.Context(), []string{"invoice_payments"}, -1, false), ops.ExitOK)
		w.equal("invoice_payments")
		w.sync()
		pass(25 * time.Hour)
		n := &cut{dial: w.net.DialContext, writes: -1}
		stop, ended := w.background(w.with(func(c *producer.Config, d *producer.Deps) {
			c.Kafka.Dial = n.Dial
			d.Transport = hooked{d.Transport, func(r *http.Request) {
				if strings.HasSuffix(r.URL.Path, itoa(slices.Max(ids))+"/payments") {
					time.Sleep(5 * time.Minute) // the pass does not come to its end
				}
			}}
		}, "HARVEST_CONCURRENCY=1"))
		pass(2 * time.Minute)
		n.tear()
		stop()
		<-ended
		if r := w.checkpoint("invoice_payments").Round; r.Done || r.Last < slices.Min(ids) {
			t.Fatalf("no pass is under way: %v", r)
		}
		w.delete("invoice_payments", paid)
		exits(t, w.producer().Sweep(w.t.Context(), []string{"invoice_payments"}, 1, false), ops.ExitOK)
		w.equal("invoice_payments")
	})
}

package producer_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// The first sync brings the whole account; the second finds nothing to say.
func TestSyncTwice(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 1}, func(w *world) {
		w.sync()
		w.equal()
		n := w.records()
		w.sync()
		if again := w.records(); again != n {
			t.Errorf("the second sync published %d records", again-n)
		}
	})
}

// P7: a row that was changed and deleted a moment before a pass is gone after it: there is no later look.
func TestSyncBuriesWhatWasJustChanged(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 5}, func(w *world) {
		w.sync()
		id := w.sim.IDs("time_entries")[0]
		w.set("time_entries", id, harvesttest.Fields{"notes": "a slip"})
		w.sync()
		w.delete("time_entries", id)
		w.sync()
		w.equal("time_entries")
	})
}

// Rounds of changes of every kind, each followed by one pass with everything due, leave the topics equal to the account.
func TestSyncRounds(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 2}, func(w *world) {
		rng := rand.New(rand.NewPCG(2, 2))
		w.sync()
		for range 10 {
			for range 10 {
				t.Log(w.sim.Step(rng))
				pass(7 * time.Second)
			}
			pass(10 * time.Minute)
			w.sync("HARVEST_SWEEP_INTERVAL=5m", "HARVEST_LOOKBACK=1m", "HARVEST_CHILDREN_INTERVAL=1s", "HARVEST_TIMER_RESOLUTION=1s")
			w.equal()
			if t.Failed() {
				return
			}
		}
	})
}

// A child stream in mode full-refresh is read whole at every pass too, however soon one follows the other (P8).
func TestSyncRefreshesChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(file, []byte("streams:\n  user_cost_rates: {mode: full-refresh}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bubble(t, harvesttest.Options{Seed: 4}, func(w *world) {
		w.sync("REPLICATION_FILE=" + file)
		if err := w.sim.Touch("user_cost_rates", w.sim.IDs("user_cost_rates")[0], harvesttest.Fields{"amount": 1}); err != nil { // its user does not move
			t.Fatal(err)
		}
		w.sync("REPLICATION_FILE=" + file)
		w.equal("user_cost_rates")
	})
}

// The service follows changes of every kind by itself.
func TestRunFollows(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 3}, func(w *world) {
		rng := rand.New(rand.NewPCG(3, 3))
		w.serve(func() {
			pass(2 * time.Minute)
			for range 200 {
				t.Log(w.sim.Step(rng))
				pass(20 * time.Second)
			}
			pass(time.Hour)
		}, "HARVEST_SWEEP_INTERVAL=30m", "HARVEST_CHILDREN_INTERVAL=30m")
		w.equal()
	})
}

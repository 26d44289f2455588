package producer_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// P7: two tasks that find rows missing at one time are not each let through by a brake that knows nothing of the other: the rows of one
// are still being asked for when the other finds its own.
func TestP7BrakeOfTwoTasks(t *testing.T) {
	const each = 15 // 20 may go in a day
	bubble(t, harvesttest.Options{Seed: 311}, func(w *world) {
		w.sync()
		ids := slices.Clone(w.sim.IDs("time_entries"))
		pass(10 * time.Minute)
		w.sim.Fault(harvesttest.Fault{Match: "time_entries/*", Do: harvesttest.DoSlow, Delay: 50 * time.Second})
		var asked sync.Once
		p := w.with(func(_ *producer.Config, d *producer.Deps) {
			d.Transport = hooked{d.Transport, func(r *http.Request) {
				if strings.Contains(r.URL.Path, "/time_entries/") {
					asked.Do(func() { w.delete("time_entries", ids[each:2*each]...) })
				}
			}}
		}, "HARVEST_SWEEP_INTERVAL=2m", "HARVEST_LOOKBACK=1m")
		stop, ended := w.background(p)
		pass(time.Minute)
		w.delete("time_entries", ids[:each]...)
		pass(15 * time.Minute)
		if n := w.tombstones(); n != each {
			t.Errorf("%d rows were deleted, wanted the first %d", n, each)
		}
		if n := state(p, "time_entries").Stopped; n != each {
			t.Errorf("a sweep waits to be answered for %d rows, wanted the other %d", n, each)
		}
		stop()
		<-ended
	})
}

// P7: a sweep of the last days that misses nothing does not answer one over everything that was stopped.
func TestP7WindowAnswersNothing(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 312}, func(w *world) {
		w.sync()
		pass(10 * time.Minute)
		p := w.producer()
		stop, ended := w.background(p)
		pass(time.Minute)
		old, gone := time.Now().AddDate(0, 0, -30).Format(time.DateOnly), 0
		for _, o := range w.sim.Truth("time_entries") {
			if gone < 30 && field(o.JSON, "spent_date") < old {
				w.delete("time_entries", o.ID)
				gone++
			}
		}
		pass(5 * time.Minute)
		if n := state(p, "time_entries").Stopped; n != gone || gone <= 20 {
			t.Errorf("a sweep waits for %d rows, %d were deleted", n, gone)
		}
		pass(25 * time.Minute) // and two sweeps of the last days
		if n := state(p, "time_entries").Stopped; n != gone {
			t.Errorf("after sweeps of the last days a sweep waits for %d rows", n)
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
	})
}

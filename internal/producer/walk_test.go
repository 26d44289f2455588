package producer_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// P4: a walk that breaks off moves no cursor. A list whose second page is refused for longer than the lookback is read from the old cursor
// once it is shown again, without a sweep.
func TestP4BrokenWalk(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 42}, func(w *world) {
		w.sync()
		p, err := producer.New(w.config("HARVEST_STREAMS=expenses", "HARVEST_LOOKBACK=1m", "HARVEST_SWEEP_INTERVAL=24h", "HARVEST_RECENT_SWEEP_INTERVAL=24h"),
			producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger(), PageSize: 5})
		if err != nil {
			t.Fatal(err)
		}
		refuse := w.sim.Fault(harvesttest.Fault{Match: "expenses", Query: "page=2", Do: harvesttest.DoStatus, Status: http.StatusServiceUnavailable})
		for _, id := range w.sim.IDs("expenses") {
			if err := w.sim.Update("expenses", id, harvesttest.Fields{"notes": "changed"}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute) // quick polls look back less
		ctx, stop := context.WithCancel(w.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		pass(15 * time.Minute)
		if refuse() == 0 {
			t.Error("no page was refused")
		}
		pass(10 * time.Minute)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		w.equal("expenses")
	})
}

// P10: a later anchor changes nothing: a topic lost afterwards is filled from the one the mirror began with.
func TestP10LaterAnchor(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 43}, func(w *world) {
		day := func(ago int) string { return time.Now().AddDate(0, 0, -ago).Format(time.DateOnly) }
		w.sync("HARVEST_ANCHOR_DATE=" + day(60))
		before := len(w.topic("time_entries"))
		if err := w.bus.DeleteTopic(w.config().Kafka.Topic("time_entries")); err != nil {
			t.Fatal(err)
		}
		w.sync("HARVEST_ANCHOR_DATE=" + day(10))
		if after := len(w.topic("time_entries")); before == 0 || after != before {
			t.Errorf("%d entries in the mirror, %d once the topic was filled again", before, after)
		}
	})
}

// P6: that rows may have slipped through a poll, which its cursor has passed, is not forgotten with the process: the next one sweeps.
func TestP6DueSweepOutlivesItsProcess(t *testing.T) {
	const rare = "HARVEST_PROBE_INTERVAL=24h"
	bubble(t, harvesttest.Options{Seed: 307}, func(w *world) {
		w.sync()
		ids := w.sim.IDs("expenses")
		for _, id := range ids {
			w.set("expenses", id, harvesttest.Fields{"notes": "new"})
		}
		pass(10 * time.Minute) // longer than the lookback
		mend := w.sim.Fault(harvesttest.Fault{Match: "expenses", Query: "updated_since", Do: harvesttest.DoRewrite, Rewrite: hide("expenses", ids[10])})
		n := &cut{dial: w.net.DialContext, writes: -1}
		stop, ended := w.background(w.with(func(c *producer.Config, d *producer.Deps) { c.Kafka.Dial, d.PageSize = n.Dial, 10 }, rare, "HARVEST_RECENT_SWEEP_INTERVAL=24h"))
		pass(50 * time.Second) // the cursor has moved and is written, the sweep has not begun
		n.tear()
		stop()
		<-ended
		mend()
		if got, _ := w.latest("expenses", ids[10]); got.fields["notes"] == "new" || w.checkpoint("expenses").Cursor.Before(time.Now().Add(-8*time.Minute)) {
			t.Fatal("the row did not slip through: this proves nothing")
		}
		w.serve(func() { pass(5 * time.Minute) }, rare, "HARVEST_RECENT_SWEEP_INTERVAL=24h")
		w.equal("expenses")
	})
}

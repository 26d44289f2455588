package producer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/pkg/harvest/harvesttest"
)

// P4: a Date that is hours ahead, on the first answers, on all for a while, or on some, moves no cursor over a change. There are neither
// quick polls nor sweeps to mend it.
func TestP4ClockAhead(t *testing.T) {
	for name, wrong := range map[string]harvesttest.Fault{
		"first answers":      {Count: 40, Delay: 5 * time.Hour},
		"users/me alone":     {Match: "users/me", Delay: 30 * time.Hour},
		"a while":            {Delay: 3 * time.Hour},
		"one in five":        {Probability: 0.2, Delay: 40 * time.Hour},
		"lists in the past":  {Match: "time_entries", Delay: -7 * time.Hour},
		"more than two days": {Probability: 0.5, Delay: 80 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 203}, func(w *world) {
				ids := w.sim.IDs("time_entries")
				wrong.Do = harvesttest.DoDate
				mend := w.sim.Fault(wrong)
				w.serve(func() {
					pass(90 * time.Second)
					for i := range 20 {
						if i == 10 {
							mend()
						}
						w.set("time_entries", ids[i], harvesttest.Fields{"notes": fmt.Sprint("change ", i)})
						w.set("clients", w.sim.IDs("clients")[0], harvesttest.Fields{"address": fmt.Sprint("street ", i)})
						if err := w.sim.Update("company", 0, harvesttest.Fields{"name": fmt.Sprint("Company ", i)}); err != nil {
							t.Fatal(err)
						}
						pass(47 * time.Second)
					}
					pass(2 * time.Minute)
				}, "HARVEST_POLL_INTERVAL=1m", "HARVEST_RECENT_SWEEP_INTERVAL=24h")
				w.equal("time_entries", "clients", "company")
			})
		})
	}
}

// P4: a cursor that lies in the future by every clock, left by a time when they were wrong, is not believed, and what it may have passed
// over is found.
func TestP4CursorInTheFuture(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 204}, func(w *world) {
		w.sync()
		w.recheckpoint("time_entries", func(ck *kafka.Checkpoint) { ck.Cursor = ck.Cursor.Add(5 * time.Hour) })
		ids := w.sim.IDs("time_entries")
		w.set("time_entries", ids[0], harvesttest.Fields{"notes": "passed over"})
		pass(10 * time.Minute)
		w.serve(func() {
			pass(3 * time.Minute)
			w.set("time_entries", ids[1], harvesttest.Fields{"notes": "after it"})
			pass(3 * time.Minute)
		}, "HARVEST_POLL_INTERVAL=1m", "HARVEST_RECENT_SWEEP_INTERVAL=24h")
		w.equal("time_entries")
	})
}

// recheckpoint changes a stream's last checkpoint behind the producer's back.
func (w *world) recheckpoint(stream string, change func(*kafka.Checkpoint)) {
	w.t.Helper()
	cl, _ := w.client()
	ck := w.checkpoint(stream)
	change(ck)
	if err := cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: "harvest._checkpoints", Key: kafka.CheckpointKey(accountID, stream), Value: ck.Marshal()}).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// checkpoint is a stream's last one.
func (w *world) checkpoint(stream string) (last *kafka.Checkpoint) {
	w.t.Helper()
	for _, r := range w.checkpoints() {
		if _, name, writer, err := kafka.ParseCheckpointKey(r.Key); err == nil && !writer && name == stream {
			if last, err = kafka.ParseCheckpoint(r.Value); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if last == nil {
		w.t.Fatalf("%s has no checkpoint", stream)
	}
	return last
}

// checkpoints are all records of the checkpoint topic.
func (w *world) checkpoints() (records []*kgo.Record) {
	w.t.Helper()
	cl, opts := w.client()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(w.t.Context(), "harvest._checkpoints")
	if err != nil {
		w.t.Fatal(err)
	}
	end, _ := ends.Lookup("harvest._checkpoints", 0)
	if err := kafka.ReadTo(w.t.Context(), opts, []kafka.Target{{Topic: "harvest._checkpoints", From: kafka.FromStart, To: end.Offset}}, func(r *kgo.Record) error {
		records = append(records, r)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return records
}

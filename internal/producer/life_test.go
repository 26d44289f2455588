package producer_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
)

// P1: a command that buries so many rows that one transaction follows another for longer than a standby waits shows signs of life on these.
func TestP1LifeWhileManyAreBuried(t *testing.T) {
	const rows = 30_001 // four transactions
	sizes := harvesttest.Sizes{TimeEntries: rows, Users: 2, Clients: 2, Projects: 2, Tasks: 2, Invoices: -1, Estimates: -1, Expenses: -1}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, harvesttest.Options{Seed: 221, Sizes: sizes, NoVersions: true})
		w.env = append(w.env, "HARVEST_STREAMS=time_entries")
		w.sync()
		ids := slices.Clone(w.sim.IDs("time_entries"))
		w.delete("time_entries", ids...)
		w.bus.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.bus.KeepControl()
			w.bus.SleepControl(func() { pass(9 * time.Second) })
			return nil, nil, false
		})
		exits(t, w.producer().Sweep(t.Context(), []string{"time_entries"}, len(ids), false), ops.ExitOK)
		var last time.Time
		for _, r := range w.checkpoints() {
			_, _, writer, err := kafka.ParseCheckpointKey(r.Key)
			if err != nil || !writer {
				continue
			}
			beat, err := kafka.ParseHeartbeat(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if quiet := beat.At.Sub(last); beat.Command == "sweep" && !last.IsZero() && quiet > 2*heartbeat {
				t.Errorf("no sign of life for %s", quiet)
			}
			last = beat.At
		}
	})
}

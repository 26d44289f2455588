package producer_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// P1: a producer that was fenced while it still read what it has to know, so late that the cleaner has taken its sentinel away, and with
// that the checkpoints of then, believes nothing of what is left: it says who took over.
func TestP1SentinelIsAnothers(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 241}, func(w *world) {
		cl, _ := w.client()
		compact := "compact"
		must(kadm.NewClient(cl).CreateTopic(w.t.Context(), 1, 1, map[string]*string{"cleanup.policy": &compact}, "harvest._checkpoints"))(t)
		neighbour := &kgo.Record{Topic: "harvest._checkpoints", Key: []byte("7/company"), Value: []byte("{}")} // the log begins with what stays
		if err := cl.ProduceSync(w.t.Context(), neighbour).FirstErr(); err != nil {
			t.Fatal(err)
		}
		var written, taken atomic.Bool
		w.bus.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.bus.KeepControl()
			written.Store(true)
			return nil, nil, false
		})
		w.bus.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.bus.KeepControl()
			if !written.Load() || taken.Swap(true) {
				return nil, nil, false
			}
			w.bus.SleepControl(func() {
				other := w.producer("HARVEST_STREAMS=company") // done before the first one's next sign of life
				other.TakeOver = true
				if err := other.Sync(w.t.Context()); err != nil {
					t.Error(err)
				}
				w.bus.Compact()
			})
			return nil, nil, false
		})
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
		defer cancel()
		exits(t, w.producer().Run(ctx), ops.ExitInternal, "taken over")
	})
}

// P3: what another account's records on the same topic say is not taken for what ours said, though ids be equal.
func TestP3AnotherAccountsRecords(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 242}, func(w *world) {
		w.sync()
		n := w.records()
		cl, _ := w.client()
		for _, id := range w.sim.IDs("clients") {
			key := w.keyOf("clients", id)
			keyID, _, _, err := schema.ParseKey(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: "harvest.clients", Key: schema.AppendKey(nil, keyID, id, accountID+1)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		w.sync()
		if more := w.records() - n; more != 0 {
			t.Errorf("%d records more, though nothing changed", more)
		}
		w.equal("clients")
	})
}

// §4: keys of another schema id are other keys for compaction: a producer that was given such an id refuses to go on (78).
func TestAnotherKeyID(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 243}, func(w *world) {
		w.sync()
		cl, _ := w.client()
		key := slices.Clone(w.keyOf("clients", w.sim.IDs("clients")[0]))
		binary.BigEndian.PutUint32(key[1:], binary.BigEndian.Uint32(key[1:])+1)
		if err := cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: "harvest.clients", Key: key}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
		defer cancel()
		exits(t, w.producer().Run(ctx), ops.ExitConfig, "harvest.clients", "schema id")
	})
}

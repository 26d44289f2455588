package producer_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// neighbour is another account's producer in the midst of a transaction on a stream's topic: what we commit behind it can't be read before
// it ends (P3). The returned function commits or aborts it.
func (w *world) neighbour(stream string, commit bool) (leave func()) {
	w.t.Helper()
	cfg := w.config()
	topic := cfg.Kafka.Topic(stream)
	opts, err := cfg.Kafka.Options()
	if err != nil {
		w.t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.TransactionalID("harvest.1"), kgo.TransactionTimeout(10*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.bus.TopicInfo(topic) == nil || cl.BeginTransaction() != nil { // a sick broker
		cl.Close()
		w.say("no neighbour on %s", topic)
		return func() {}
	}
	ctx := context.Background()
	rec := &kgo.Record{Topic: topic, Key: schema.AppendKey(nil, 1, 1, 1), Value: nil}
	err = cl.ProduceSync(ctx, rec).FirstErr()
	if err == nil {
		err = kafka.Settled(ctx, cl, []*kgo.Record{rec})
	}
	w.say("a neighbour on %s, to commit: %v, error: %v", topic, commit, err)
	return func() {
		defer cl.Close()
		w.say("the neighbour ends: %v", cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
	}
}

// P3: what was committed behind another account's open transaction is waited for when the index is read back, not published again.
func TestP3Neighbour(t *testing.T) {
	for _, commit := range []bool{true, false} {
		bubble(t, harvesttest.Options{Seed: 41}, func(w *world) {
			var leave func()
			w.serve(func() {
				pass(time.Minute)
				leave = w.neighbour("clients", commit)
				if err := w.sim.Rename("clients", w.sim.IDs("clients")[0], "Behind"); err != nil {
					t.Fatal(err)
				}
				pass(2 * time.Minute)
			})
			time.AfterFunc(30*time.Second, leave)
			w.sync()
			w.equal("clients")
		})
	}
}

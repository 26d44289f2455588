package real_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/pkg/harvest/harvesttest"
)

// Compaction and the end of tombstones for real, with the month and the week as seconds: within min.compaction.lag.ms every version
// stays; afterwards a compacted log still gives the producer its memory and a new reader the account; who was away for longer than
// tombstones last is told so, and rebuilds.
func TestCompaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 18})
	const lag, retention = 15 * time.Second, 5 * time.Second
	w.env = append(w.env, "KAFKA_HISTORY="+lag.String())
	began := time.Now()
	w.pass()
	atEnd, topic := time.Now(), w.prefix()+"expenses"
	w.set(topic, map[string]string{"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": strconv.FormatInt(retention.Milliseconds(), 10)})
	all := w.sim().Count("expenses") + w.changeExpenses("first")
	deleted := w.first("expenses", func(id int64) error { return w.sim().Delete("expenses", id) })
	all += 1 + w.changeExpenses("second") // with the tombstone
	if n, _ := w.versions(topic, 0); time.Since(began) < lag && n < all {
		t.Errorf("%d records are left within %s, %d were published", n, lag, all)
	}
	left, gone := all, false
	for end := time.Now().Add(2 * time.Minute); !gone || left >= all; time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("after two minutes the cleaner has left %d of %d records, the tombstone gone: %t", left, all, gone)
		}
		w.first("expenses", func(id int64) error { // a segment rolls when something is written to it
			return w.sim().Update("expenses", id, harvesttest.Fields{"notes": time.Now().String()})
		})
		w.sync()
		all++
		var n int
		left, n = w.versions(topic, deleted)
		gone = n == 0
	}
	before := w.records()
	w.sync()
	if after := w.records(); after != before {
		t.Errorf("a start on a compacted log published: the topics ended at %d in all, now at %d", before, after)
	}
	w.drain("SINK_SCHEMA=late")
	if n, want := w.rows("SELECT count(*)::text FROM late.expenses")[0], strconv.Itoa(w.sim().Count("expenses")); n != want {
		t.Errorf("a new reader has %s expenses, the account %s", n, want)
	}
	time.Sleep(time.Until(atEnd.Add(lag + retention)))
	w.lostAndRebuilt("expenses")
	figure(t, "of %d records %d are left and no tombstone; a start published 0, a new reader has the account, an old one was told and rebuilt", all, left)
}

// changeExpenses gives every expense another note, has that published, and returns how many there were.
func (w *world) changeExpenses(notes string) int {
	w.t.Helper()
	changed := 0
	for _, id := range w.sim().IDs("expenses") {
		if w.sim().Update("expenses", id, harvesttest.Fields{"notes": notes}) == nil { // some are locked
			changed++
		}
	}
	time.Sleep(1200 * time.Millisecond) // the lookback
	w.sync(eager...)
	return changed
}

// versions is how many records a topic holds, and how many of one key.
func (w *world) versions(topic string, id int64) (all, ofKey int) {
	w.t.Helper()
	r := &reader{world: w, schemas: map[uint32]*avro.Schema{}}
	records, err := r.read(topic)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range records {
		if v.id == id {
			ofKey++
		}
	}
	return len(records), ofKey
}

// set changes settings of a topic.
func (w *world) set(topic string, settings map[string]string) {
	w.t.Helper()
	var changes []kadm.AlterConfig
	for name, value := range settings {
		changes = append(changes, kadm.AlterConfig{Name: name, Value: &value})
	}
	results, err := kadm.NewClient(w.client).AlterTopicConfigs(context.Background(), changes, topic)
	for _, result := range results {
		if err == nil {
			err = result.Err
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

package sinker_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"fmt"
	"math/big"
	"time"

	"harveststream/pkg/schema"
)

// timeEntry is a time entry as Harvest has them: about forty of its fields are set.
func timeEntry(st *schema.Stream, id int64) row {
	r := row{"id": id, "account_id": int64(account), "_seq": id, "_observed_at": observed}
	n := 0
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		if f.Required || f.Name[0] == '_' || f.Name == "extra" {
			continue
		}
		if n++; n > 37 {
			break
		}
		switch f.Kind {
		case schema.Long:
			r[f.Name] = 1_000_000 + id%1000
		case schema.Bool:
			r[f.Name] = id%2 == 0
		case schema.String:
			r[f.Name] = fmt.Sprintf("Text %d", id%97)
		case schema.Decimal:
			r[f.Name] = big.NewRat(id%1000+25, 4)
		case schema.Date:
			r[f.Name] = time.Date(2026, 1, 1+int(id%300), 0, 0, 0, 0, time.UTC)
		case schema.Timestamp:
			r[f.Name] = time.Date(2026, 1, 1, 0, 0, int(id), 0, time.UTC)
		}
	}
	return r
}

// BenchmarkDrain drains 300,000 time entries into an empty table, and copies the same rows by one plain binary COPY into the same table, in
// turn: their ratio is what the sinker adds.
func BenchmarkDrain(b *testing.B) {
	const n = 300_000
	w := newWorld(b)
	w.deps.Log = quiet
	w.topics(1, "time_entries")
	st := stream(b, "time_entries")
	for id := int64(1); id <= n; id += 5000 {
		recs := make([]*kgo.Record, 5000)
		for i := range recs {
			v := version{stream: st, id: id + int64(i), row: timeEntry(st, id+int64(i))}
			recs[i] = w.record(&v)
		}
		w.produce(kgo.TryCommit, recs...)
	}
	w.drain()
	var plain bytes.Buffer
	copyOut(b, w, "COPY harvest.time_entries TO STDOUT (FORMAT binary)", &plain)
	var drained, copied []float64
	measure := func(into *[]float64, f func()) {
		began := time.Now()
		f()
		*into = append(*into, n/time.Since(began).Seconds())
	}
	for b.Loop() {
		w.sql("TRUNCATE harvest.time_entries; DELETE FROM harvest._offsets; CHECKPOINT")
		measure(&drained, w.drain)
		w.sql("TRUNCATE harvest.time_entries; CHECKPOINT")
		measure(&copied, func() {
			if _, err := w.db.PgConn().CopyFrom(b.Context(), bytes.NewReader(plain.Bytes()), "COPY harvest.time_entries FROM STDIN (FORMAT binary)"); err != nil {
				b.Fatal(err)
			}
		})
		w.sql("UPDATE harvest._offsets SET next = 0")
	}
	slices.Sort(drained)
	slices.Sort(copied)
	d, c := drained[len(drained)/2], copied[len(copied)/2]
	b.ReportMetric(d, "drain-rows/s")
	b.ReportMetric(c, "copy-rows/s")
	b.ReportMetric(d/c, "ratio")
}

func copyOut(b *testing.B, w *world, sql string, to *bytes.Buffer) {
	b.Helper()
	if _, err := w.db.PgConn().CopyTo(b.Context(), to, sql); err != nil {
		b.Fatal(err)
	}
}

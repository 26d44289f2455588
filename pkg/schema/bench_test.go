package schema_test

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// pageRows is the size of Harvest's pages.
const pageRows = 2000

// page returns a page of time entries, as a concatenation of objects.
func page(tb testing.TB) []byte {
	tb.Helper()
	var b []byte
	for i := range pageRows {
		b = append(harvesttest.AppendTimeEntry(b, i), '\n')
	}
	return b
}

func newDecoder(b []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// tokenise reads a page's tokens: what any reader of JSON must do.
func tokenise(b *testing.B, in []byte) {
	b.Helper()
	dec := newDecoder(in)
	for {
		if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// encode turns a page into records; known are the content hashes of its rows, where they are known.
func encode(b *testing.B, e *schema.Encoder, in []byte, known []uint64) {
	b.Helper()
	e.Reset()
	var rec schema.Record
	for i := 0; len(in) > 0; i++ {
		var hash uint64
		if known != nil {
			hash = known[i]
		}
		n, err := e.DecodeNew(in, 0, hash, &rec)
		if err != nil {
			b.Fatal(err)
		}
		if known != nil && rec.Body != nil {
			b.Fatal("a known row was encoded")
		}
		in = in[n+1:]
	}
}

// contents are the content hashes of a page's rows.
func contents(b *testing.B, e *schema.Encoder, in []byte) (hashes []uint64) {
	b.Helper()
	var rec schema.Record
	for len(in) > 0 {
		n, err := e.Decode(in, 0, &rec)
		if err != nil {
			b.Fatal(err)
		}
		hashes, in = append(hashes, rec.Hash), in[n+1:]
	}
	return hashes
}

func perRecord(b *testing.B) {
	b.ReportMetric(float64(b.N)*pageRows/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkTokenise(b *testing.B) {
	in := page(b)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		tokenise(b, in)
	}
	perRecord(b)
}

func BenchmarkEncode(b *testing.B) {
	in := page(b)
	e := schema.NewEncoder(stream(b, "time_entries"), 7, schema.Omit{})
	encode(b, e, in, nil)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		encode(b, e, in, nil)
	}
	perRecord(b)
}

// BenchmarkEncodeRatio prints the speed of encoding, and of reading what is known, as a share of that of merely tokenising: by processor
// time, measured in turn.
func BenchmarkEncodeRatio(b *testing.B) {
	in := page(b)
	e := schema.NewEncoder(stream(b, "time_entries"), 7, schema.Omit{})
	hashes := contents(b, e, in)
	const times = 20 // the clock is not a fine one
	var tokens, records, known time.Duration
	for b.Loop() {
		began := self(b)
		for range times {
			tokenise(b, in)
		}
		tokenised := self(b)
		for range times {
			encode(b, e, in, nil)
		}
		encoded := self(b)
		for range times {
			encode(b, e, in, hashes)
		}
		tokens, records, known = tokens+tokenised-began, records+encoded-tokenised, known+self(b)-encoded
	}
	b.ReportMetric(float64(tokens)/float64(records), "of-tokenising")
	b.ReportMetric(float64(tokens)/float64(known), "known-of-tokenising")
}

// self is the processor time this process has used.
func self(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkReadRecord(b *testing.B) {
	st := stream(b, "time_entries")
	e := schema.NewEncoder(st, 7, schema.Omit{})
	var rec schema.Record
	if _, err := e.Decode(page(b), 0, &rec); err != nil {
		b.Fatal(err)
	}
	value := schema.AppendMeta(rec.Body, 17, 1_700_000_000_000)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if err := st.Schema.ReadRecord(st, value, &rec); err != nil {
			b.Fatal(err)
		}
	}
}

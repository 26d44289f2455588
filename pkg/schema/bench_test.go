package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/pkg/schema"
)

// pageRows is the size of Harvest's pages.
const pageRows = 2000

// page returns a page of time entries of about 1.1 kB each, as a concatenation of objects.
func page(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	for i := range pageRows {
		fmt.Fprintf(&b, `{"id":%d,"spent_date":"2026-03-%02d","hours":%d.%02d,"hours_without_timer":1.35,"rounded_hours":1.5,"notes":"Draft %d of the page, second round",`+
			`"is_locked":false,"is_explicitly_locked":false,"locked_reason":null,"approval_status":"unsubmitted","is_closed":false,"is_billed":false,`+
			`"timer_started_at":null,"started_time":"13:00","ended_time":"14:21","is_running":false,"billable":true,"budgeted":true,"billable_rate":110.0,`+
			`"cost_rate":62.5,"created_at":"2026-03-02T12:00:04Z","updated_at":"2026-03-02T13:21:40Z","user":{"id":%d,"name":"User %d"},`+
			`"client":{"id":15840122,"name":"Client 12","currency":"EUR"},"project":{"id":41880233,"name":"Project 5","code":"P-5"},"task":{"id":22981045,"name":"Task 7"},`+
			`"user_assignment":{"id":471200881,"is_project_manager":true,"is_active":true,"use_default_rates":true,"budget":null,"created_at":"2025-05-02T07:44:10Z",`+
			`"updated_at":"2025-05-02T07:44:10Z","hourly_rate":120.0},"task_assignment":{"id":453911274,"billable":true,"is_active":true,"created_at":"2025-05-02T07:44:11Z",`+
			`"updated_at":"2025-05-02T07:44:11Z","hourly_rate":null,"budget":null},"invoice":null,"external_reference":null}`,
			2871330945+i, i%28+1, i%9, i%100, i, 4417203+i%40, i%40)
		b.WriteByte('\n')
	}
	return b.Bytes()
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

// encode turns a page into records.
func encode(b *testing.B, e *schema.Encoder, in []byte) {
	b.Helper()
	e.Reset()
	var rec schema.Record
	for len(in) > 0 {
		n, err := e.Decode(in, 0, &rec)
		if err != nil {
			b.Fatal(err)
		}
		in = in[n+1:]
	}
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
	encode(b, e, in)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		encode(b, e, in)
	}
	perRecord(b)
}

// BenchmarkEncodeRatio prints the speed of encoding as a share of that of merely tokenising, both measured in turn.
func BenchmarkEncodeRatio(b *testing.B) {
	in := page(b)
	e := schema.NewEncoder(stream(b, "time_entries"), 7, schema.Omit{})
	encode(b, e, in)
	var tokens, records int64
	for b.Loop() {
		tokens += elapsed(func() { tokenise(b, in) })
		records += elapsed(func() { encode(b, e, in) })
	}
	b.ReportMetric(float64(tokens)/float64(records), "of-tokenising")
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

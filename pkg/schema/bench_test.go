package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/pkg/schema"
)

// pageRows is the size of Harvest's pages.
const pageRows = 2000

// page returns a page of time entries, as a concatenation of objects.
func page(tb testing.TB) []byte {
	tb.Helper()
	var b []byte
	for i := range pageRows {
		b = append(appendRow(b, i), '\n')
	}
	return b
}

// appendRow appends a time entry with every documented member, 1.1 kB like a real one: one of some sixty projects, of forty users, noted
// and timed in its own way, now and then invoiced or from another tool.
func appendRow(b []byte, i int) []byte {
	user, day := i*7%40, i/80%28+1
	project := (user*3 + i/40%5*7) % 60
	task := (project + i%4) % 15
	locked, reason, invoice, reference := false, "null", "null", "null"
	if project%3 == 0 {
		locked, reason, invoice = true, `"Item Invoiced"`, fmt.Sprintf(`{"id":%d,"number":"2026-%d"}`, 13_150_378+project, 1000+project)
	}
	if i%50 == 0 {
		reference = fmt.Sprintf(`{"id":"%d","group_id":"board-%d","account_id":"1","permalink":"https://example.com/t/%d","service":"example.com","service_icon_url":null}`, i, project, i)
	}
	const notes = "Second round of the page: draft, review with the client, corrections, and what came up on the phone afterwards"
	b = fmt.Appendf(b, `{"id":%d,"spent_date":"2026-%02d-%02d","hours":%d.%02d,"hours_without_timer":%d.%02d,"rounded_hours":%d.%d,"notes":"%s (%d)",`,
		2_871_330_945+i*3, i%9+1, day, i%9, i%100, i%9, i%100, i%9, i%2*5, notes[:20+i*17%90], i%1000)
	b = fmt.Appendf(b, `"is_locked":%t,"is_explicitly_locked":false,"locked_reason":%s,"approval_status":"unsubmitted","is_closed":%t,"is_billed":%t,`+
		`"timer_started_at":null,"started_time":"%d:%02d","ended_time":"%d:%02d","is_running":false,"billable":%t,"budgeted":true,"billable_rate":%d.0,`+
		`"cost_rate":%d.5,"created_at":"2026-03-%02dT%02d:00:04Z","updated_at":"2026-03-%02dT13:%02d:%02dZ","user":{"id":%d,"name":"User %d"},`,
		locked, reason, locked, locked, 8+i%5, i%60, 13+i%5, i*3%60, task%4 != 0, 90+project, 50+user, day, i%24, day, i/60%60, i%60, 4_417_203+user, user)
	return fmt.Appendf(b, `"client":{"id":%d,"name":"Client %d","currency":"EUR"},"project":{"id":%d,"name":"Project %d","code":"P-%d"},"task":{"id":%d,"name":"Task %d"},`+
		`"user_assignment":{"id":%d,"is_project_manager":%t,"is_active":true,"use_default_rates":true,"budget":null,"created_at":"2025-05-%02dT07:44:10Z",`+
		`"updated_at":"2025-05-%02dT07:44:10Z","hourly_rate":%d.0},"task_assignment":{"id":%d,"billable":%t,"is_active":true,"created_at":"2025-05-%02dT07:44:11Z",`+
		`"updated_at":"2025-05-%02dT07:44:11Z","hourly_rate":null,"budget":null},"invoice":%s,"external_reference":%s}`,
		15_840_122+project%12, project%12, 41_880_233+project, project, project, 22_981_045+task, task, 471_200_881+user*60+project, user%10 == 0, user%28+1, project%28+1, 90+user,
		453_911_274+project*15+task, task%4 != 0, task%28+1, project%28+1, invoice, reference)
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

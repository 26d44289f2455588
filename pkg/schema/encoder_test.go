package schema_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/pkg/schema"
)

// TestSamples holds each stream's encoded record, and that its schema has a field for every documented member: the sample has all
// of them and none is null, so a member without field is unknown and a field without member null.
func TestSamples(t *testing.T) {
	t.Parallel()
	for _, st := range schema.All() {
		t.Run(st.Name, func(t *testing.T) {
			t.Parallel()
			rec, faults := decode(t, st, string(sample(t, st.Name)))
			if len(faults) > 0 {
				t.Errorf("faults %v", faults)
			}
			value := published(rec)
			text, err := schema.JSON(st.Schema, value)
			if err != nil {
				t.Fatal(err)
			}
			var fields map[string]any
			if err := json.Unmarshal(text, &fields); err != nil {
				t.Fatal(err)
			}
			for name, v := range fields {
				if v == nil && name != schema.FieldExtra {
					t.Errorf("field %s is null", name)
				}
			}
			pretty := jsontext.Value(text)
			if err := pretty.Indent(jsontext.WithIndent("  ")); err != nil {
				t.Fatal(err)
			}
			golden(t, st.Name+".golden", fmt.Appendf(nil, "%s\n\n%s", pretty, hex.Dump(value)))
		})
	}
}

// fieldJSON returns a field of the record as JSON, "null" where it is null.
func fieldJSON(t *testing.T, st *schema.Stream, rec schema.Record, name string) string {
	t.Helper()
	text, err := schema.JSON(st.Schema, published(rec))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	v, ok := fields[name]
	if !ok {
		t.Fatalf("no field %s in %s", name, text)
	}
	return string(v)
}

// TestBadValues is P14: what does not fit is null, kept in extra as it came, and counted.
func TestBadValues(t *testing.T) {
	t.Parallel()
	const null = "null"
	thirtyEight := strings.Repeat("9", 29) + "." + strings.Repeat("9", 9)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		stream, members, field, want, extra string
		bad, unknown, rounded               int
	}{
		{stream: "time_entries", members: `"hours":0.1`, field: "hours", want: "0.1", extra: null},
		{stream: "time_entries", members: `"hours":"12.5"`, field: "hours", want: "12.5", extra: null},
		{stream: "time_entries", members: `"hours":"twelve"`, field: "hours", want: null, extra: `{"hours":"twelve"}`, bad: 1},
		{stream: "time_entries", members: `"hours":" 1"`, field: "hours", want: null, extra: `{"hours":" 1"}`, bad: 1},
		{stream: "time_entries", members: `"hours":1e400`, field: "hours", want: null, extra: `{"hours":1e400}`, bad: 1},
		{stream: "time_entries", members: `"hours":1e99999999999`, field: "hours", want: null, extra: `{"hours":"1e99999999999"}`, bad: 1},
		{stream: "time_entries", members: `"hours":1e-30`, field: "hours", want: "0", extra: null, rounded: 1},
		{stream: "time_entries", members: `"hours":1.0000000005`, field: "hours", want: "1", extra: null, rounded: 1},
		{stream: "time_entries", members: `"hours":1.0000000015`, field: "hours", want: "1.000000002", extra: null, rounded: 1},
		{stream: "time_entries", members: `"hours":` + thirtyEight, field: "hours", want: thirtyEight, extra: null},
		{stream: "time_entries", members: `"hours":9` + thirtyEight, field: "hours", want: null, extra: `{"hours":9` + thirtyEight + `}`, bad: 1},
		{stream: "time_entries", members: `"hours":-0.0`, field: "hours", want: "0", extra: null},
		{stream: "time_entries", members: `"hours":true`, field: "hours", want: null, extra: `{"hours":true}`, bad: 1},
		{stream: "time_entries", members: `"hours":{"b":1,"a":null,"A":[null,{"y":1,"x":2}]}`, field: "hours", want: null, extra: `{"hours":{"A":[null,{"x":2,"y":1}],"b":1}}`, bad: 1},
		{stream: "time_entries", members: `"is_running":"true"`, field: "is_running", want: null, extra: `{"is_running":"true"}`, bad: 1},
		{stream: "time_entries", members: `"is_running":1`, field: "is_running", want: null, extra: `{"is_running":1}`, bad: 1},
		{stream: "time_entries", members: `"notes":5`, field: "notes", want: null, extra: `{"notes":5}`, bad: 1},
		{stream: "time_entries", members: `"notes":""`, field: "notes", want: `""`, extra: null},
		{stream: "time_entries", members: `"notes":"a\u0000b"`, field: "notes", want: "\"a\uFFFDb\"", extra: null},
		{stream: "time_entries", members: `"notes":"\ud800!"`, field: "notes", want: "\"\uFFFD!\"", extra: null},
		{stream: "time_entries", members: `"notes":"\ud83d\ude80"`, field: "notes", want: `"🚀"`, extra: null},
		{stream: "time_entries", members: "\"notes\":\"\xff\xc3\xa4\xe2\"", field: "notes", want: "\"\uFFFDä\uFFFD\"", extra: null},
		{stream: "time_entries", members: `"notes":"\r\n\t\"\\\/"`, field: "notes", want: `"\r\n\t\"\\/"`, extra: null},
		{stream: "time_entries", members: `"spent_date":"2024-02-29"`, field: "spent_date", want: `"2024-02-29"`, extra: null},
		{stream: "time_entries", members: `"spent_date":"2023-02-29"`, field: "spent_date", want: null, extra: `{"spent_date":"2023-02-29"}`, bad: 1},
		{stream: "time_entries", members: `"spent_date":"0000-01-01"`, field: "spent_date", want: null, extra: `{"spent_date":"0000-01-01"}`, bad: 1},
		{stream: "time_entries", members: `"spent_date":"0001-01-01"`, field: "spent_date", want: `"0001-01-01"`, extra: null},
		{stream: "time_entries", members: `"spent_date":"9999-12-31"`, field: "spent_date", want: `"9999-12-31"`, extra: null},
		{stream: "time_entries", members: `"spent_date":"12017-01-01"`, field: "spent_date", want: null, extra: `{"spent_date":"12017-01-01"}`, bad: 1},
		{stream: "time_entries", members: `"spent_date":"2017-06-26T22:32:52Z"`, field: "spent_date", want: null, extra: `{"spent_date":"2017-06-26T22:32:52Z"}`, bad: 1},
		{stream: "time_entries", members: `"spent_date":20170626`, field: "spent_date", want: null, extra: `{"spent_date":20170626}`, bad: 1},
		{stream: "time_entries", members: `"created_at":"2017-06-26"`, field: "created_at", want: null, extra: `{"created_at":"2017-06-26"}`, bad: 1},
		{stream: "time_entries", members: `"created_at":"2017-06-26T22:32:52.123987+02:30"`, field: "created_at", want: `"2017-06-26T20:02:52.123Z"`, extra: null},
		{stream: "time_entries", members: `"created_at":"0001-01-01T00:00:00+00:01"`, field: "created_at", want: null, extra: `{"created_at":"0001-01-01T00:00:00+00:01"}`, bad: 1},
		{stream: "time_entries", members: `"created_at":"2017-06-26T24:00:00Z"`, field: "created_at", want: null, extra: `{"created_at":"2017-06-26T24:00:00Z"}`, bad: 1},
		{stream: "time_entries", members: `"created_at":"2017-06-26T22:32:60Z"`, field: "created_at", want: null, extra: `{"created_at":"2017-06-26T22:32:60Z"}`, bad: 1},
		{stream: "time_entries", members: `"created_at":"2017-06-26T22:32:52"`, field: "created_at", want: null, extra: `{"created_at":"2017-06-26T22:32:52"}`, bad: 1},
		{stream: "time_entries", members: `"created_at":"2017-06-26T22:32:52.Z"`, field: "created_at", want: null, extra: `{"created_at":"2017-06-26T22:32:52.Z"}`, bad: 1},
		{stream: "time_entries", members: `"started_time":"8:00am"`, field: "started_time", want: `"8:00am"`, extra: null},
		{stream: "time_entries", members: `"client":{"id":"7","name":"Client 7","new":1,"gone":null}`, field: "client_id", want: "7", extra: `{"client":{"new":1}}`, unknown: 1},
		{stream: "time_entries", members: `"client":{"id":7.5,"new":{"z":1,"a":2}}`, field: "client_id", want: null, extra: `{"client":{"id":7.5,"new":{"a":2,"z":1}}}`, bad: 1, unknown: 1},
		{stream: "time_entries", members: `"client":{"id":9223372036854775808}`, field: "client_id", want: null, extra: `{"client":{"id":9223372036854775808}}`, bad: 1},
		{stream: "time_entries", members: `"client":{"id":-9223372036854775808}`, field: "client_id", want: "-9223372036854775808", extra: null},
		{stream: "time_entries", members: `"client":{"id":1e3}`, field: "client_id", want: "1000", extra: null},
		{stream: "time_entries", members: `"client":{"id":"007"}`, field: "client_id", want: null, extra: `{"client":{"id":"007"}}`, bad: 1},
		{stream: "time_entries", members: `"client":null`, field: "client_id", want: null, extra: null},
		{stream: "time_entries", members: `"client":[1]`, field: "client_id", want: null, extra: `{"client":[1]}`, bad: 1},
		{stream: "time_entries", members: `"client":{}`, field: "client_id", want: null, extra: null},
		{stream: "time_entries", members: `"Hours":1,"new":"\u0000\u00e4"`, field: "hours", want: null, extra: "{\"Hours\":1,\"new\":\"\uFFFDä\"}", unknown: 2},
		{stream: "time_entries", members: `"ho\u0075rs":2`, field: "hours", want: "2", extra: null},
		{stream: "time_entries", members: `"z":1.50,"a":[1,null,{"b":null}],"m":{"y":{},"x":-0}`, field: "hours", want: null, extra: `{"a":[1,null,{}],"m":{"x":-0,"y":{}},"z":1.50}`, unknown: 3},
		{stream: "time_entries", members: `"new":` + deep(63), field: "hours", want: null, extra: `{"new":` + deep(63) + `}`, unknown: 1},
		{stream: "time_entries", members: `"new":"` + strings.Repeat("x", 300_000) + `"`, field: "hours", want: null, extra: `{"new":"` + strings.Repeat("x", 300_000) + `"}`, unknown: 1},
		{stream: "users", members: `"roles":[]`, field: "roles", want: "[]", extra: null},
		{stream: "users", members: `"roles":["b","a","b"]`, field: "roles", want: `["b","a","b"]`, extra: null},
		{stream: "users", members: `"roles":["b",null]`, field: "roles", want: null, extra: `{"roles":["b",null]}`, bad: 1},
		{stream: "users", members: `"roles":"b"`, field: "roles", want: null, extra: `{"roles":"b"}`, bad: 1},
		{stream: "roles", members: `"user_ids":[1,"2",3.0]`, field: "user_ids", want: `[1,2,3]`, extra: null},
		{stream: "roles", members: `"user_ids":[1,2.5]`, field: "user_ids", want: null, extra: `{"user_ids":[1,2.5]}`, bad: 1},
		{stream: "invoice_messages", members: `"recipients":[{"name":"A","email":"a","new":[2,1]},{"email":null}]`, field: "recipients",
			want: `[{"name":"A","email":"a","extra":{"new":[2,1]}},{"name":null,"email":null,"extra":null}]`, extra: null, unknown: 1},
		{stream: "invoice_messages", members: `"recipients":[{"name":5,"email":"a"},7]`, field: "recipients",
			want:  `[{"name":null,"email":"a","extra":null},{"name":null,"email":null,"extra":null}]`,
			extra: `{"recipients":[{"email":"a","name":5},7]}`, bad: 2},
		{stream: "invoices", members: `"line_items":[{"id":1,"quantity":1.5,"project":{"code":"P","new":true}},{"project":"x"}]`, field: "line_items",
			want: `[{"id":1,"kind":null,"description":null,"quantity":1.5,"unit_price":null,"amount":null,"taxed":null,"taxed2":null,"project_id":null,"project_name":null,"project_code":"P","extra":{"project":{"new":true}}},` +
				`{"id":null,"kind":null,"description":null,"quantity":null,"unit_price":null,"amount":null,"taxed":null,"taxed2":null,"project_id":null,"project_name":null,"project_code":null,"extra":null}]`,
			extra: `{"line_items":[{"id":1,"project":{"code":"P","new":true},"quantity":1.5},{"project":"x"}]}`, bad: 1, unknown: 1},
		{stream: "invoices", members: `"line_items":{}`, field: "line_items", want: null, extra: `{"line_items":{}}`, bad: 1},
	} {
		t.Run(c.stream+"/"+c.members[:min(60, len(c.members))], func(t *testing.T) {
			t.Parallel()
			st := stream(t, c.stream)
			rec, faults := decode(t, st, " {\"id\" : 5 ,\n"+c.members+" } ")
			if got := fieldJSON(t, st, rec, c.field); got != c.want {
				t.Errorf("%s is %s, want %s", c.field, got, c.want)
			}
			if got := fieldJSON(t, st, rec, schema.FieldExtra); got != c.extra {
				t.Errorf("extra is %.300s, want %.300s", got, c.extra)
			}
			if rec.Bad != c.bad || rec.Unknown != c.unknown || rec.Rounded != c.rounded {
				t.Errorf("bad %d, unknown %d, rounded %d; want %d, %d, %d", rec.Bad, rec.Unknown, rec.Rounded, c.bad, c.unknown, c.rounded)
			}
			counted := 0
			for _, f := range faults {
				if f.Reason != schema.FaultText {
					counted += f.Count
				}
			}
			if counted != c.bad+c.unknown+c.rounded {
				t.Errorf("faults %v", faults)
			}
		})
	}
}

func TestRefusedAnswers(t *testing.T) {
	t.Parallel()
	elements := func(n int) string { return "[" + strings.Repeat("{},", n-1) + "{}]" }
	for _, object := range []string{
		``, `null`, `[]`, `5`, `{`, `{"id":5`, `<html>`,
		`{}`, `{"id":null}`, `{"id":0}`, `{"id":-3}`, `{"id":"x"}`, `{"id":1.5}`, `{"id":9223372036854775808}`, `{"id":12345678901234567890}`, `{"id":[1]}`, `{"ID":5}`,
		`{"id":5,"id":5}`, `{"id":5,"number":1,"number":2}`, `{"id":5,"client":{"id":1,"id":2}}`, `{"id":5,"client":null,"client":{}}`, `{"id":5,"client":{},"client":{}}`,
		`{"id":5,"new":1,"new":2}`, `{"id":5,"new":{"a":1,"a":1}}`, `{"id":5,"new":[{"a":1,"\u0061":1}]}`, `{"id":5,"client":{"new":1,"new":null}}`,
		`{"id":5,"line_items":[{"id":1,"id":2}]}`, `{"id":5,"amount":{"a":1,"a":2}}`,
		`{"id":5,"new":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
		`{"id":5,"amount":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat("}", 200) + `}`,
		`{"id":5,"line_items":` + elements(100_001) + `}`,
	} {
		st := stream(t, "invoices")
		_, _, err := tryDecode(st, object)
		if answer, ok := errors.AsType[*schema.AnswerError](err); !ok || answer.Stream != "invoices" {
			t.Errorf("%.80s: %v", object, err)
		}
	}
	_, _, err := tryDecode(stream(t, "invoices"), `{"id":5,"line_items":[{"id":1,"id":2}]}`)
	if answer, ok := errors.AsType[*schema.AnswerError](err); !ok || answer.ID != 5 || err.Error() != "invoices object 5: a member comes twice" {
		t.Errorf("%v", err)
	}
	if _, _, err := tryDecode(stream(t, "invoices"), `{"id":5,"line_items":`+elements(100_000)+`}`); err != nil {
		t.Error(err)
	}
}

// TestOneObject holds that Decode reads exactly one object and that a refused one leaves nothing behind.
func TestOneObject(t *testing.T) {
	t.Parallel()
	e := schema.NewEncoder(stream(t, "tasks"), account, schema.Omit{})
	var first, second, third schema.Record
	n, err := e.Decode([]byte(`{"id":1,"name":"a"} ,{"id":0`), 0, &first)
	if err != nil || n != len(`{"id":1,"name":"a"}`) {
		t.Fatal(n, err)
	}
	kept := bytes.Clone(first.Body)
	if n, err := e.Decode([]byte(`{"id":0,"name":"b"}`), 0, &second); err == nil || n != 0 {
		t.Fatal("an object with id 0 was taken")
	}
	if _, err := e.Decode([]byte(`{"id":3,"name":"c"}]`), 0, &third); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, first.Body) || third.ID != 3 {
		t.Error("a later object changed the body of an earlier one")
	}
}

func TestRecordFields(t *testing.T) {
	t.Parallel()
	te := stream(t, "time_entries")
	rec, _ := decode(t, te, `{"id":2871330945,"spent_date":"1970-01-03","updated_at":"1970-01-01T00:00:02Z","is_running":true,"project":{"id":41}}`)
	if rec.ID != 2871330945 || rec.Account != account || rec.Owner != 41 || rec.Day != 2 || rec.Updated != 2000 || !rec.Running {
		t.Errorf("%+v", rec)
	}
	rec, _ = decode(t, te, `{"id":1}`)
	if rec.Day != schema.NoDay || rec.Updated != 0 || rec.Owner != 0 || rec.Running {
		t.Errorf("%+v", rec)
	}
	rec, _ = decode(t, stream(t, "invoice_payments"), `{"id":1}`)
	if rec.Parent != parent || rec.Owner != parent {
		t.Errorf("%+v", rec)
	}
	rec, _ = decode(t, stream(t, "company"), `{"name":"Account 1"}`)
	if rec.ID != account || rec.Account != account {
		t.Errorf("%+v", rec)
	}
}

// TestExact holds that no decimal passes through a float: of numbers that no float64 holds every digit arrives.
func TestExact(t *testing.T) {
	t.Parallel()
	for _, st := range schema.All() {
		for i := range st.Schema.Fields {
			f := &st.Schema.Fields[i]
			if f.Kind != schema.Decimal {
				continue
			}
			const number = "12345678901234567890123456789.123456789"
			object := `"` + f.From[len(f.From)-1] + `":` + number
			for _, name := range slices.Backward(f.From[:len(f.From)-1]) {
				object = `"` + name + `":{` + object + `}`
			}
			rec, _ := decode(t, st, `{"id":1,`+object+`}`)
			if got := fieldJSON(t, st, rec, f.Name); got != number {
				t.Errorf("%s.%s is %s, want %s", st.Name, f.Name, got, number)
			}
		}
	}
}

func TestOmit(t *testing.T) {
	t.Parallel()
	omit, err := schema.ParseOmit(" users.cost_rate, *.notes ,time_entries.client_name,invoices.line_items,tasks.extra")
	if err != nil {
		t.Fatal(err)
	}
	if got := omit.Fields("time_entries"); !slices.Equal(got, []string{"client_name", "notes"}) || !omit.Has("expenses", "notes") || omit.Has("users", "email") {
		t.Errorf("left out of time_entries: %v", got)
	}
	for _, c := range []struct{ stream, object, absent string }{
		{"users", `{"id":1,"cost_rate":"secret"}`, "secret"},
		{"time_entries", `{"id":1,"notes":["secret"],"client":{"id":4,"name":{"a":"secret"}}}`, "secret"},
		{"time_entries", `{"id":1,"client":["secret"]}`, "secret"},
		{"invoices", `{"id":1,"line_items":[{"kind":"secret","new":"secret"}],"notes":"secret"}`, "secret"},
		{"tasks", `{"id":1,"new":"secret","is_active":"secret"}`, "secret"},
	} {
		e := schema.NewEncoder(stream(t, c.stream), account, omit)
		var rec schema.Record
		if _, err := e.Decode([]byte(c.object), 0, &rec); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(rec.Body, []byte(c.absent)) {
			t.Errorf("%s kept what is left out: %q", c.object, rec.Body)
		}
	}
	for _, list := range []string{"users", "users.none", "nobody.notes", "*.id", "time_entries.account_id", "invoice_payments.invoice_id", "*.updated_at",
		"time_entries.spent_date", "time_entries.*", "users._seq", "users.[", "invoices.client_id"} {
		if _, err := schema.ParseOmit(list); err == nil {
			t.Errorf("%q is accepted", list)
		}
	}
}

// TestSteadyState holds that encoding and reading a record allocate nothing once buffers have grown, extra included.
func TestSteadyState(t *testing.T) {
	object := []byte(`{"new":{"b":[1,2],"a":"x"},` + string(sample(t, "invoices"))[1:])
	st := stream(t, "invoices")
	e := schema.NewEncoder(st, account, schema.Omit{})
	var rec schema.Record
	run := func() {
		if _, err := e.Decode(object, 0, &rec); err != nil {
			t.Error(err)
		}
		e.Reset()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 1 { // the name of the fault, once per Reset
		t.Errorf("%v allocations to encode a record", n)
	}
	value := published(rec)
	if n := testing.AllocsPerRun(100, func() {
		if err := st.Schema.ReadRecord(st, value, &rec); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations to read a record", n)
	}
}

// rat returns a JSON number's value.
func rat(t *testing.T, text string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return r
}

package schema_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// outcome is all that decoding a row brings.
type outcome struct {
	n      int
	rec    schema.Record
	faults []schema.Fault
	err    string
}

func outcomeOf(e *schema.Encoder, row []byte, parent int64, known uint64) (o outcome) {
	e.Reset()
	n, err := e.DecodeNew(row, parent, known, &o.rec)
	if o.n = n; err != nil {
		return outcome{err: err.Error()} // the whole answer is refused
	}
	o.rec.Body = bytes.Clone(o.rec.Body)
	o.faults = e.Faults()
	return o
}

// sameAsAlone checks that an encoder that has read other rows makes of one what a new encoder makes of it.
func sameAsAlone(t *testing.T, e *schema.Encoder, st *schema.Stream, row []byte) {
	t.Helper()
	want := outcomeOf(schema.NewEncoder(st, account, schema.Omit{}), row, parentOf(st), 0)
	if got := outcomeOf(e, row, parentOf(st), 0); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\ngot  %+v\nwant %+v", row, got, want)
	}
	other := outcomeOf(e, row, parentOf(st), want.rec.Hash+1)
	if !reflect.DeepEqual(other, want) {
		t.Fatalf("%s, of another hash\ngot  %+v\nwant %+v", row, other, want)
	}
	known := outcomeOf(e, row, parentOf(st), want.rec.Hash)
	if known.rec.Body == nil {
		known.rec.Body = want.rec.Body
	}
	if !reflect.DeepEqual(known, want) {
		t.Fatalf("%s, of a known hash\ngot  %+v\nwant %+v", row, known, want)
	}
}

// TestRowsAmongOthers: whatever rows an encoder has read before, each gets what it gets alone.
func TestRowsAmongOthers(t *testing.T) {
	each(t, 25, func(t *testing.T, r *rand.Rand, st *schema.Stream) {
		e := schema.NewEncoder(st, account, schema.Omit{})
		row := randomObject(r, st)
		for range 20 {
			sameAsAlone(t, e, st, []byte(row+`,{"id":1}]`))
			if all := values(row); len(all) == 0 || r.IntN(5) == 0 {
				row = randomObject(r, st)
			} else {
				row = edited(row, all[r.IntN(len(all))], edits[r.IntN(len(edits))])
			}
		}
	})
}

// edits are values, and what is none.
var edits = []string{"null", "true", "false", "0", "12", "-7", "1.50", "1.", "1e2", "1.5e2", "01", "01.5", "0.1234567891", "1234567890.5", "9.99999999999999999999", "999999999999999999", "99999999999999999999",
	`"text"`, `"\u00e9\ud800"`, `"é,漢 and more of them"`, "\"\xff\"", "\"\x1f\"", "\"as plain as it gets, with a quote: \\\" and a\ttab\"", `"unfinished`, `"`,
	`"2026-02-29"`, `"2026-02-28"`, `"2026-02-28T23:59:59Z"`, `"2026-02-28T24:59:59Z"`, `"2026-02-28T23:59:59.5+01:00"`, `"2026-02-28T23:59:59Z`,
	"{}", `{"id":5,"name":"x"}`, `{"id":5,"new":1}`, `{"id":5,"new":null}`, `{"id":5,"id":5}`, "[]", `[1,"a",{"id":3}]`, "nul", "nullx", "truefalse", "", "null "}

// edited puts something else in the place of the value that begins at a byte.
func edited(row string, from int, value string) string {
	to := from
	for quoted := false; to < len(row) && (quoted || !strings.ContainsRune(`,}]`, rune(row[to]))); to++ {
		quoted = quoted != (row[to] == '"')
	}
	return row[:from] + value + row[to:]
}

// values are where the values of a row begin.
func values(row string) []int {
	all := indexes(row, `":`)
	for i := range all {
		all[i] += len(`":`)
		all[i] += len(row[all[i]:]) - len(strings.TrimLeft(row[all[i]:], " "))
	}
	return all
}

// TestRowsWithOneOtherValue: any value in any place, after a row that has the documented one there.
func TestRowsWithOneOtherValue(t *testing.T) {
	t.Parallel()
	for _, st := range schema.All() {
		row := string(sample(t, st.Name))
		for _, at := range values(row) {
			for _, value := range edits {
				e := schema.NewEncoder(st, account, schema.Omit{})
				outcomeOf(e, []byte(row), parentOf(st), 0)
				sameAsAlone(t, e, st, []byte(edited(row, at, value)))
			}
		}
	}
}

// TestObjectsThatComeAgain: an embedded object that does not fit takes nothing over from one of the same id, nor does that one from it.
func TestObjectsThatComeAgain(t *testing.T) {
	t.Parallel()
	st := stream(t, "time_entries")
	e := schema.NewEncoder(st, account, schema.Omit{})
	for _, project := range []string{`{"id":1,"name":"A"}`, `{"id":2871330945,"name":"Bridge"}`, `{"id":2871330945,"name":"Bridge 2","code":5}`, `{"id":1,"name":"A"}`, `{"id":2871330945,"name":"Bridge"}`,
		`{"id":2871330945,"name":"Bridge","code":"5"}`, `{"id":2871330945,"name":"Bridge","code":null}`, `{"name":"Bridge","id":2871330945}`, `null`, `{}`, `{"id":2871330945,"name":"Bridge"}`} {
		sameAsAlone(t, e, st, []byte(`{"id":5,"project":`+project+`,"spent_date":"2026-03-02","hours":1.5}`))
	}
}

// TestLargeObjects: two embedded objects of a row that are too large to be kept stay two.
func TestLargeObjects(t *testing.T) {
	t.Parallel()
	st := stream(t, "time_entries")
	e := schema.NewEncoder(st, account, schema.Omit{})
	for i := range 5 {
		name := strings.Repeat(string(rune('a'+i)), 600)
		sameAsAlone(t, e, st, fmt.Appendf(nil, `{"id":5,"client":{"id":1,"name":"%s"},"project":{"id":2,"name":"%s!"},"task":{"id":3,"name":"%s?"}}`, name, name, name))
	}
}

// TestObjectsApart: schemas whose embedded objects no pattern can tell of.
func TestObjectsApart(t *testing.T) {
	t.Parallel()
	const price, seq = `"from":"offer.price"`, `{"name":"extra","type":["null","string"],"default":null,"compare":false,"doc":"Extra."},
	{"name":"_seq"`
	for name, edits := range map[string][]string{
		"another field between": {seq, `{"name":"currency","type":["null","string"],"default":null,"from":"offer.currency","doc":"Currency."},` + seq},
		"one in another":        {price, `"from":"offer.sum.price"`},
		"its stamp embedded":    {`"default":null,"doc":"Changed."`, `"default":null,"from":"offer.updated_at","doc":"Changed."`},
		"a timer":               {price, price + `,"timer":true`},
	} {
		text := strings.NewReplacer(edits...).Replace(widget)
		streams, err := schema.Load(fstest.MapFS{"widgets.avsc": {Data: []byte(text)}}, []schema.Stream{{Name: "widgets"}})
		if err != nil || text == widget {
			t.Fatalf("%s: %v", name, err)
		}
		e := schema.NewEncoder(streams[0], account, schema.Omit{})
		for i := range 20 {
			offer := fmt.Sprintf(`{"id":2871330945,"price":%d.5,"currency":"EUR","sum":{"price":%d},"updated_at":"2026-03-02T13:21:%02dZ"}`, i/2%3, i/2%3, i/2)
			if i%7 == 6 {
				offer = "null"
			}
			sameAsAlone(t, e, streams[0], fmt.Appendf(nil, `{"id":%d,"parts":[],"offer":%s}`, i+1, offer))
		}
	}
}

func indexes(s, part string) (all []int) {
	for from := 0; ; {
		i := strings.Index(s[from:], part)
		if i < 0 {
			return all
		}
		all = append(all, from+i)
		from += i + 1
	}
}

// FuzzRowAfterRow: a row read after one that differs from it somewhere gets what it gets alone.
func FuzzRowAfterRow(f *testing.F) {
	for i, st := range schema.All() {
		row := sample(f, st.Name)
		for _, at := range values(string(row)) {
			f.Add(uint8(i), row, uint16(at), uint8(1), []byte("7"))
			f.Add(uint8(i), row, uint16(at), uint8(0), []byte(`null,"new":`))
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, row []byte, at uint16, cut uint8, put []byte) {
		st := streamAt(i)
		e := schema.NewEncoder(st, account, schema.Omit{})
		if outcomeOf(e, row, parentOf(st), 0).err != "" {
			return
		}
		from := min(int(at), len(row))
		to := min(from+int(cut), len(row))
		other := slices.Concat(row[:from], put, row[to:])
		sameAsAlone(t, e, st, other)
		sameAsAlone(t, e, st, row)
	})
}

// TestRowsOfAnotherParent: a child's parent is not in its JSON, but in its record.
func TestRowsOfAnotherParent(t *testing.T) {
	t.Parallel()
	st := stream(t, "invoice_payments")
	e := schema.NewEncoder(st, account, schema.Omit{})
	row := sample(t, st.Name)
	for parent := range int64(3) {
		want := outcomeOf(schema.NewEncoder(st, account, schema.Omit{}), row, parent+1, 0)
		if got := outcomeOf(e, row, parent+1, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("under parent %d\ngot  %+v\nwant %+v", parent+1, got, want)
		}
	}
}

// TestKnownRowsHaveNoBody: of a row like the one before it, and of known content, no record is made.
func TestKnownRowsHaveNoBody(t *testing.T) {
	t.Parallel()
	st := stream(t, "time_entries")
	e := schema.NewEncoder(st, account, schema.Omit{})
	outcomeOf(e, harvesttest.AppendTimeEntry(nil, 1), 0, 0)
	for i := range 100 {
		row := harvesttest.AppendTimeEntry(nil, i)
		want := outcomeOf(schema.NewEncoder(st, account, schema.Omit{}), row, 0, 0)
		if got := outcomeOf(e, row, 0, want.rec.Hash); got.rec.Body != nil {
			t.Errorf("row %d was encoded", i)
		}
	}
}

// TestOmittedAmongOthers: HARVEST_OMIT holds for rows like others, too.
func TestOmittedAmongOthers(t *testing.T) {
	t.Parallel()
	omit, err := schema.ParseOmit("time_entries.notes,time_entries.client_name")
	if err != nil {
		t.Fatal(err)
	}
	st := stream(t, "time_entries")
	e := schema.NewEncoder(st, account, omit)
	for i := range 20 {
		row := harvesttest.AppendTimeEntry(nil, i)
		want := outcomeOf(schema.NewEncoder(st, account, omit), row, 0, 0)
		if got := outcomeOf(e, row, 0, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("row %d\ngot  %+v\nwant %+v", i, got, want)
		}
	}
}

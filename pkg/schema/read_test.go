package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"harveststream/pkg/schema"
)

// each runs a property for random objects of every stream; the seed is in the subtest's name.
func each(t *testing.T, n int, property func(t *testing.T, r *rand.Rand, st *schema.Stream)) {
	t.Parallel()
	for i, st := range schema.All() {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%s/%d", st.Name, seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range n {
				property(t, r, st)
			}
		})
	}
}

// TestReadBack: what ReadRecord says of a published value is what the encoder said of the object.
func TestReadBack(t *testing.T) {
	each(t, 100, func(t *testing.T, r *rand.Rand, st *schema.Stream) {
		want, _ := decode(t, st, randomObject(r, st))
		value := published(want)
		var got schema.Record
		if err := st.Schema.ReadRecord(st, value, &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Body, want.Body) || got.Seq != seq || got.Observed != observed {
			t.Fatalf("read back %+v", got)
		}
		sameRecord(t, got, want)
	})
}

func sameRecord(t *testing.T, got, want schema.Record) {
	t.Helper()
	if got.ID != want.ID || got.Account != want.Account || got.Parent != want.Parent || got.Owner != want.Owner || got.Day != want.Day ||
		got.Updated != want.Updated || got.Running != want.Running || got.Hash != want.Hash || got.Rest != want.Rest {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

// TestHashSurvivesSchemas: fields moved, added, dropped where null, unions the other way round, other framing of arrays: the content
// hash stays.
func TestHashSurvivesSchemas(t *testing.T) {
	each(t, 25, func(t *testing.T, r *rand.Rand, st *schema.Stream) {
		want, _ := decode(t, st, randomObject(r, st))
		w := rewriter{t, r}
		columns := w.columns(st.Schema, published(want))
		r.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
		var text struct {
			Fields []map[string]any `json:"fields"`
		}
		if err := json.Unmarshal([]byte(st.Schema.Text()), &text); err != nil {
			t.Fatal(err)
		}
		fields := []map[string]any{{"name": "added", "type": []any{"null", "string"}, "default": nil}}
		value := []byte{0}
		for _, col := range columns {
			i := slices.IndexFunc(text.Fields, func(f map[string]any) bool { return f["name"] == col.field.Name })
			field := text.Fields[i]
			if col.null && r.IntN(2) == 0 {
				continue
			}
			b := slices.Clone(w.reframed(col))
			if union, ok := field["type"].([]any); ok && r.IntN(2) == 0 {
				field["type"] = []any{union[1], union[0]}
				delete(field, "default")
				b[0] ^= 2
			}
			if r.IntN(2) == 0 { // what is compared is the present schema's choice
				delete(field, "compare")
				delete(field, "timer")
			}
			fields = append(fields, field)
			value = append(value, b...)
		}
		writer, err := json.Marshal(map[string]any{"type": "record", "name": "Other", "fields": fields})
		if err != nil {
			t.Fatal(err)
		}
		s, err := schema.ParseSchema(string(writer))
		if err != nil {
			t.Fatal(err)
		}
		var got schema.Record
		if err := s.ReadRecord(st, value, &got); err != nil {
			t.Fatalf("%v\n%s", err, writer)
		}
		sameRecord(t, got, want)
		value[0] = 2
		value = slices.Insert(value, 1, 2, 'x') // the added field is not null
		if err := s.ReadRecord(st, value, &got); err != nil {
			t.Fatal(err)
		}
		if got.Hash == want.Hash {
			t.Fatal("a value in a new field is no change")
		}
	})
}

// TestHashCounts holds which fields count: another value in any compared one is a change, in any other none; timers are set apart.
func TestHashCounts(t *testing.T) {
	t.Parallel()
	others := map[schema.Kind]string{schema.Long: "77", schema.String: `"other"`, schema.Decimal: "77.7", schema.Date: `"1999-09-09"`,
		schema.Timestamp: `"1999-09-09T09:09:09Z"`, schema.Strings: `["other"]`, schema.Longs: "[77]", schema.Items: `[{"other":1}]`}
	for _, st := range schema.All() {
		base := string(sample(t, st.Name))
		want, _ := decode(t, st, base)
		for i := range st.Schema.Fields {
			f := &st.Schema.Fields[i]
			switch f.Name {
			case schema.FieldAccount, st.ParentID, schema.FieldExtra, schema.FieldSeq, schema.FieldObserved:
				continue
			}
			if f.Name == schema.FieldID && st.Read == schema.Single {
				continue
			}
			other := others[f.Kind]
			if f.Kind == schema.Bool {
				other = fmt.Sprint(fieldJSON(t, st, want, f.Name) != "true")
			}
			got, _ := decode(t, st, replaced(t, base, f.From, other))
			if changed := got.Hash != want.Hash; changed != f.Compare {
				t.Errorf("%s.%s: another value changes the hash: %v, want %v", st.Name, f.Name, changed, f.Compare)
			}
			if changed := got.Rest != want.Rest; changed != (f.Compare && !f.Timer) {
				t.Errorf("%s.%s: another value changes the rest: %v", st.Name, f.Name, changed)
			}
		}
		if got, _ := decode(t, st, strings.Replace(base, "{", `{"unknown":1,`, 1)); got.Hash != want.Hash {
			t.Errorf("%s: an unknown member changes the hash", st.Name)
		}
	}
}

// replaced returns the object with another value at a path.
func replaced(t *testing.T, object string, path []string, value string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &members); err != nil {
		t.Fatal(err)
	}
	if len(path) > 1 {
		value = replaced(t, string(members[path[0]]), path[1:], value)
	}
	members[path[0]] = json.RawMessage(value)
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestHashOfArrays: arrays are sets that know how often an element occurs, and an empty one is not null.
func TestHashOfArrays(t *testing.T) {
	t.Parallel()
	hash := func(stream_, member string) uint64 {
		rec, _ := decode(t, stream(t, stream_), `{"id":1,`+member+`}`)
		return rec.Hash
	}
	for _, c := range []struct {
		stream, a, b string
		same         bool
	}{
		{"users", `"roles":["a","b","c"]`, `"roles":["c","a","b"]`, true},
		{"users", `"roles":["a","b","b"]`, `"roles":["a","a","b"]`, false},
		{"users", `"roles":["a","a"]`, `"roles":["a"]`, false},
		{"users", `"roles":["a","a"]`, `"roles":["b","b"]`, false},
		{"users", `"roles":["ab"]`, `"roles":["a","b"]`, false},
		{"users", `"roles":[]`, `"roles":null`, false},
		{"users", `"roles":[""]`, `"roles":[]`, false},
		{"users", `"roles":["a"]`, `"access_roles":["a"]`, false},
		{"users", `"first_name":"a","last_name":"b"`, `"first_name":"b","last_name":"a"`, false},
		{"roles", `"user_ids":[1,4]`, `"user_ids":[2,3]`, false},
		{"roles", `"user_ids":[3,1,2]`, `"user_ids":[1,2,3]`, true},
		{"roles", `"user_ids":[0]`, `"user_ids":[]`, false},
		{"invoices", `"line_items":[{"id":1,"taxed":true},{"id":2}]`, `"line_items":[{"id":2},{"taxed":true,"id":1}]`, true},
		{"invoices", `"line_items":[{"id":1,"taxed":true},{"id":2}]`, `"line_items":[{"id":1},{"id":2,"taxed":true}]`, false},
		{"invoices", `"line_items":[{"id":1,"kind":null}]`, `"line_items":[{"id":1}]`, true},
		{"invoices", `"line_items":[{"id":1,"new":null,"also":5}]`, `"line_items":[{"id":1}]`, true},
		{"invoices", `"line_items":[{}]`, `"line_items":[]`, false},
		{"invoices", `"line_items":[{"quantity":1.0,"unit_price":2}]`, `"line_items":[{"quantity":2,"unit_price":1}]`, false},
		{"invoices", `"amount":1.50`, `"amount":15e-1`, true},
		{"invoices", `"amount":-1`, `"amount":1`, false},
		{"invoices", `"amount":0`, `"amount":null`, false},
		{"time_entries", `"billable":false`, `"billable":null`, false},
		{"time_entries", `"client":{"id":5}`, `"client":{"id":5,"name":null},"project":null`, true},
	} {
		if same := hash(c.stream, c.a) == hash(c.stream, c.b); same != c.same {
			t.Errorf("%s against %s: same content %v, want %v", c.a, c.b, same, c.same)
		}
	}
}

// TestPrefixes: no proper prefix of a record is a record, nor is one with a byte more.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	for _, st := range schema.All() {
		rec, _ := decode(t, st, string(sample(t, st.Name)))
		value := published(rec)
		for n := range value {
			if err := st.Schema.ReadRecord(st, value[:n:n], &rec); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted", st.Name, n, len(value))
			}
			if _, err := schema.JSON(st.Schema, value[:n:n]); err == nil {
				t.Errorf("%s: JSON accepts %d of %d bytes", st.Name, n, len(value))
			}
		}
		if err := st.Schema.ReadRecord(st, append(value, 0), &rec); err == nil {
			t.Errorf("%s: a byte too many is accepted", st.Name)
		}
	}
}

// TestHostileValues: counts, sizes and branches beyond what is there are refused at once.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	const text = `{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"account_id","type":"long"},
		{"name":"s","type":["null","string"]},{"name":"a","type":["null",{"type":"array","items":"string"}]},
		{"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":9}]},
		{"name":"t","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},{"name":"day","type":["null",{"type":"int","logicalType":"date"}]},
		{"name":"b","type":["null","boolean"]}]}`
	s, err := schema.ParseSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	ok := []byte{2, 2, 2, 2, 'x', 2, 2, 0, 0, 2, 2, 5, 2, 0, 2, 0, 2, 1}
	max64 := []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	min64 := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	at := func(start, end int, b ...byte) []byte {
		return slices.Concat(ok[:start], b, ok[end:])
	}
	huge := bytes.Repeat([]byte{0x7f}, 16) // over 38 digits
	st := stream(t, "tasks")
	var rec schema.Record
	if err := s.ReadRecord(st, ok, &rec); err != nil || rec.Body != nil {
		t.Fatalf("the valid one: %v, body %v", err, rec.Body)
	}
	for name, value := range map[string][]byte{
		"empty":               {},
		"id 0":                at(0, 1, 0),
		"id negative":         at(0, 1, 1),
		"account 0":           at(1, 2, 0),
		"branch 2":            at(2, 3, 4),
		"branch -1":           at(2, 3, 1),
		"branch 99":           at(2, 3, 198, 1),
		"length -1":           at(3, 4, 1),
		"length huge":         at(3, 4, max64...),
		"length min":          at(3, 4, min64...),
		"11 bytes":            at(3, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0),
		"65 bits":             at(3, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2),
		"count huge":          at(6, 7, max64...),
		"count min":           at(6, 7, min64...),
		"block size negative": at(6, 7, 1, 1),
		"block size huge":     at(6, 7, append([]byte{1}, max64...)...),
		"block size wrong":    at(6, 7, 1, 4),
		"no decimal":          at(10, 12, 0),
		"39 digits":           at(10, 12, append([]byte{32}, huge...)...),
		"-39 digits":          at(10, 12, append([]byte{32, 0x80}, huge[1:]...)...),
		"17 bytes":            at(10, 12, append([]byte{34, 1}, huge...)...),
		"instant max":         at(13, 14, max64...),
		"instant min":         at(13, 14, min64...),
		"day max":             at(15, 16, max64...),
		"day 10000-01-01":     at(15, 16, 0xc2, 0x82, 0xe6, 0x02),
		"boolean 2":           at(17, 18, 2),
	} {
		if err := s.ReadRecord(st, value, &rec); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if _, err := schema.JSON(s, value); err == nil && !strings.HasPrefix(name, "id") && !strings.HasPrefix(name, "account") {
			t.Errorf("%s is accepted by JSON", name)
		}
	}
	if err := s.ReadRecord(st, at(15, 16, 0xc0, 0x82, 0xe6, 0x02), &rec); err != nil { // 9999-12-31
		t.Error(err)
	}
}

// TestRoleKinds: a writer whose fields have other types than ours is refused, not misread.
func TestRoleKinds(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{
		`{"name":"id","type":"string"},{"name":"account_id","type":"long"}`,
		`{"name":"id","type":"long"}`,
		`{"name":"account_id","type":"long"}`,
		`{"name":"id","type":"long"},{"name":"account_id","type":"long"},{"name":"updated_at","type":"string"}`,
	} {
		s, err := schema.ParseSchema(`{"type":"record","name":"R","fields":[` + fields + `]}`)
		if err != nil {
			t.Fatal(err)
		}
		var rec schema.Record
		if err := s.ReadRecord(stream(t, "tasks"), []byte{2, 2, 2}, &rec); err == nil {
			t.Errorf("%s is accepted", fields)
		}
	}
}

package schema_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	twmb "github.com/twmb/avro"

	"harveststream/pkg/schema"
)

func streamAt(i uint8) *schema.Stream {
	all := schema.All()
	return all[int(i)%len(all)]
}

// FuzzDecode: of any bytes, Decode makes either an *AnswerError or a record that reads back as it is and whose texts are clean.
func FuzzDecode(f *testing.F) {
	for i, st := range schema.All() {
		f.Add(uint8(i), sample(f, st.Name))
	}
	for _, object := range []string{`{"id":1,"hours":"x","client":{"id":[1]},"n":{"b":"\ud800","a":1e99999}}`, "{\"id\":1,\"notes\":\"\xff\\u0000\"}", `{"id":1,"a":1,"a":2}`, `{"id":1e0,"line_items":[5,{"project":7}]}`} {
		for i := range uint8(21) {
			f.Add(i, []byte(object))
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, object []byte) {
		st := streamAt(i)
		want, _, err := tryDecode(st, string(object))
		if err != nil {
			if _, ok := errors.AsType[*schema.AnswerError](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		value := published(want)
		var got schema.Record
		if err := st.Schema.ReadRecord(st, value, &got); err != nil {
			t.Fatal(err)
		}
		sameRecord(t, got, want)
		text, err := schema.JSON(st.Schema, value)
		if err != nil || !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(false)) {
			t.Fatalf("%s, %v", text, err)
		}
		c := schema.NewCursor(value)
		for j := range st.Schema.Fields {
			field := &st.Schema.Fields[j]
			if field.Kind != schema.String {
				if err := c.Skip(field); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if null, err := c.Null(field); err != nil || null {
				continue
			}
			b, err := c.Bytes()
			if err != nil || !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 || field.Name == schema.FieldExtra && (!jsontext.Value(b).IsValid() || bytes.Contains(b, []byte(`\u0000`))) {
				t.Fatalf("%s is %q, %v", field.Name, b, err)
			}
		}
	})
}

// FuzzGrammar: Decode takes the same bytes for one JSON object as the general reader does, and of the same length. Whatever is wrong
// with an object besides its grammar (no id, names twice, nesting) is left aside.
func FuzzGrammar(f *testing.F) {
	for _, text := range []string{`{"id":1}`, `{"id":1} x`, `{ "id" :	1 ,
"a":[ ] , "b" : [1 , -0.5e+7,"\ud800\"" , true,false , null, {}]}`, `{"id":1,}`, `{"id":01}`, `{"id":1,"a":-}`, `{"id":1,"a":1.}`, `{"id":1,"a":1e}`, `{"id":1,"a":tru}`,
		`{"id":1,"a":"\x"}`, `{"id":1,"a":"\u12g4"}`, "{\"id\":1,\"a\":\"\x1f\"}", "{\"id\":1,\"a\":\"\xff\"}", "{\"id\":1\x00}", "{\f\"id\":1}", `{"id":1,"user":{"id":[}}`, `{"id":1,"a":[1 2]}`, `{"id" 1}`, `{"id":1`, `{id:1}`,
		`{"id":1,"a":[1,]}`, `{"id":1,"user":{,}}`, `{"id":1,"a":"`, `{"id":1,"a":"\`, `{"id":1,"a":"\u00`, `{"id":1,"a":nullx}`, `{"id":1,"a":1x}`, `{"id":1,"a"`, `{"id":1,"a":`, `{"id":1,"line_items":[{"id":2},{"id":]}`} {
		f.Add([]byte(text))
	}
	for _, st := range schema.All() {
		f.Add(sample(f, st.Name))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dec := newDecoder(text)
		value, want := dec.ReadValue()
		for _, name := range []string{"time_entries", "invoices"} {
			e := schema.NewEncoder(stream(t, name), account, schema.Omit{})
			var rec schema.Record
			n, err := e.Decode(text, 0, &rec)
			var refused *schema.AnswerError
			switch {
			case err == nil && (want != nil || int64(n) != dec.InputOffset()):
				t.Fatalf("%q: %d bytes taken; the general reader: %q, %v", text, n, value, want)
			case errors.As(err, &refused) && refused.Reason == "reading JSON" && (want == nil || refused.Err == nil):
				t.Fatalf("%q: %v; the general reader: %q", text, err, value)
			}
		}
	})
}

// FuzzReadRecord: of any bytes, ReadRecord, JSON and Skip all make an error or none does, and a second library agrees with what is
// accepted.
func FuzzReadRecord(f *testing.F) {
	libraries := map[string]*twmb.Schema{}
	for i, st := range schema.All() {
		rec, _, err := tryDecode(st, string(sample(f, st.Name)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), published(rec))
		if libraries[st.Name], err = twmb.Parse(st.Schema.Text()); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, value []byte) {
		st := streamAt(i)
		var rec schema.Record
		err := st.Schema.ReadRecord(st, value, &rec)
		text, jsonErr := schema.JSON(st.Schema, value)
		c := schema.NewCursor(value)
		var skipErr error
		for j := range st.Schema.Fields {
			if skipErr = c.Skip(&st.Schema.Fields[j]); skipErr != nil {
				break
			}
		}
		if skipErr == nil {
			skipErr = c.Done()
		}
		if (skipErr == nil) != (jsonErr == nil) || err == nil && skipErr != nil {
			t.Fatalf("ReadRecord %v, JSON %v, Skip %v", err, jsonErr, skipErr)
		}
		if err != nil {
			return
		}
		if !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Fatalf("%q", text)
		}
		var decoded any
		if rest, err := libraries[st.Name].Decode(value, &decoded); err != nil || len(rest) > 0 {
			if !utf8.Valid(value) || bytes.IndexByte(value, 0) >= 0 {
				return // text that is no UTF-8 is the reader's business
			}
			t.Fatalf("the second library: %v, %d bytes left", err, len(rest))
		}
	})
}

func FuzzParseSchema(f *testing.F) {
	for _, st := range schema.All() {
		f.Add(st.Schema.Text())
	}
	f.Add(widget)
	f.Add(record(idField, textField, `{"name":"b","type":{"type":"array","items":"R"}}`))
	f.Add(`{"type":"record","name":"R","aliases":["S"],"fields":[{"name":"x","type":["null",{"type":"record","name":"S","fields":[]}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := schema.ParseSchema(text)
		if err != nil {
			return
		}
		again, err := schema.ParseSchema(s.Text())
		if err != nil || again.Text() != s.Text() || len(again.Fields) != len(s.Fields) || len(s.Fields) == 0 || len(s.Fields) > 1000 {
			t.Fatalf("%v: %s", err, s.Text())
		}
		if err := schema.Compatible(s.Text(), text); err != nil && !strings.Contains(text, "alias") {
			t.Fatalf("not compatible with itself: %v", err)
		}
		var rec schema.Record
		st, _ := schema.ByName("time_entries")
		_ = s.ReadRecord(st, []byte{2, 2, 0, 0, 0, 0}, &rec)
		_, _ = schema.JSON(s, []byte{2, 2, 0, 0, 0, 0})
	})
}

func FuzzWire(f *testing.F) {
	f.Add(schema.AppendKey(nil, 1, 2871330945, account))
	f.Add([]byte{0, 0, 0, 0, 1, 0x82, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, body, err := schema.SplitHeader(b)
		if err == nil && !bytes.Equal(append(schema.AppendHeader(nil, id), body...), b) {
			t.Fatal("another header")
		}
		id, object, owner, keyErr := schema.ParseKey(b)
		if keyErr == nil && (err != nil || !bytes.Equal(schema.AppendKey(nil, id, object, owner), b)) {
			t.Fatal("another key")
		}
	})
}

package schema_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	hamba "github.com/hamba/avro/v2"
	twmb "github.com/twmb/avro"

	"harveststream/pkg/schema"
)

// expected returns what a field of an object is by the plain reading of its JSON: the model for both libraries.
func expected(t *testing.T, object map[string]any, f *schema.Field) any {
	t.Helper()
	var v any = object
	for _, name := range f.From {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	if v == nil {
		return nil
	}
	switch f.Kind {
	case schema.Long:
		n, err := v.(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	case schema.Decimal:
		return rat(t, v.(json.Number).String())
	case schema.Date:
		return instant(t, time.DateOnly, v)
	case schema.Timestamp:
		return instant(t, time.RFC3339, v)
	case schema.Longs:
		var all []any
		for _, e := range v.([]any) {
			n, _ := e.(json.Number).Int64()
			all = append(all, n)
		}
		return all
	case schema.Items:
		var all []any
		for _, e := range v.([]any) {
			item := map[string]any{}
			for i := range f.Items.Fields {
				item[f.Items.Fields[i].Name] = expected(t, e.(map[string]any), &f.Items.Fields[i])
			}
			all = append(all, item)
		}
		return all
	}
	return v
}

func instant(t *testing.T, layout string, v any) time.Time {
	t.Helper()
	at, err := time.Parse(layout, v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// same compares what a library decoded with the model. hamba wraps a union's branch in a map with its name.
func same(got, want any) bool {
	if m, ok := got.(map[string]any); ok && len(m) == 1 {
		if _, isRecord := want.(map[string]any); !isRecord {
			for _, v := range m {
				return same(v, want)
			}
		}
	}
	switch w := want.(type) {
	case *big.Rat:
		switch g := got.(type) {
		case *big.Rat:
			return g.Cmp(w) == 0
		case big.Rat:
			return g.Cmp(w) == 0
		}
		return false
	case time.Time:
		g, ok := got.(time.Time)
		return ok && g.Equal(w)
	case []any:
		g, ok := got.([]any)
		if len(w) == 0 && len(g) == 0 {
			return ok
		}
		return ok && slices.EqualFunc(g, w, same)
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for name := range w {
			if !same(g[name], w[name]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(got, want)
}

// TestLibraries: two other Avro libraries read from our bytes what the JSON says, for the samples and for random objects.
func TestLibraries(t *testing.T) {
	each(t, 15, func(t *testing.T, r *rand.Rand, st *schema.Stream) {
		text := randomObject(r, st)
		if r.IntN(10) == 0 {
			text = string(sample(t, st.Name))
		}
		rec, _ := decode(t, st, text)
		value := published(rec)
		var object map[string]any
		dec := json.NewDecoder(bytes.NewReader([]byte(text)))
		dec.UseNumber()
		if err := dec.Decode(&object); err != nil {
			t.Fatal(err)
		}
		var byTwmb, byHamba any
		ts, err := twmb.Parse(st.Schema.Text())
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := ts.Decode(value, &byTwmb); err != nil || len(rest) > 0 {
			t.Fatalf("twmb/avro: %v, %d bytes left", err, len(rest))
		}
		hs, err := hamba.ParseWithCache(st.Schema.Text(), "", &hamba.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		if err := hamba.Unmarshal(hs, value, &byHamba); err != nil {
			t.Fatalf("hamba/avro: %v", err)
		}
		for i := range st.Schema.Fields {
			f := &st.Schema.Fields[i]
			var want any
			switch f.Name {
			case schema.FieldAccount:
				want = int64(account)
			case schema.FieldSeq:
				want = int64(seq)
			case schema.FieldObserved:
				want = time.UnixMilli(observed)
			case st.ParentID:
				want = int64(parent)
			case schema.FieldExtra:
				continue
			default:
				want = expected(t, object, f)
			}
			if f.Name == schema.FieldID && st.Read == schema.Single {
				want = int64(account)
			}
			for library, decoded := range map[string]any{"twmb": byTwmb, "hamba": byHamba} {
				if got := decoded.(map[string]any)[f.Name]; !same(got, want) {
					t.Fatalf("%s: %s.%s is %#v, want %#v, of %s", library, st.Name, f.Name, got, want, text)
				}
			}
		}
	})
}

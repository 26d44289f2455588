package sinker_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/schema"
)

// encode writes a row in Avro, appended to dst: this test's own encoder.
func encode(dst []byte, s *schema.Schema, r row) []byte {
	for i := range s.Fields {
		f := &s.Fields[i]
		v := r[f.Name]
		if !f.Required {
			if v == nil {
				dst = append(dst, 0)
				continue
			}
			dst = append(dst, 2)
		}
		dst = encodeValue(dst, f, v)
	}
	return dst
}

func encodeValue(dst []byte, f *schema.Field, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.AppendVarint(dst, v)
	case bool:
		if v {
			return append(dst, 1)
		}
		return append(dst, 0)
	case string:
		return append(binary.AppendVarint(dst, int64(len(v))), v...)
	case *big.Rat:
		b := twosComplement(new(big.Int).Div(new(big.Int).Mul(v.Num(), big.NewInt(1e9)), v.Denom()))
		return append(binary.AppendVarint(dst, int64(len(b))), b...)
	case time.Time:
		if f.Kind == schema.Date {
			return binary.AppendVarint(dst, v.Unix()/86400)
		}
		return binary.AppendVarint(dst, v.UnixMilli())
	case []string:
		return encodeArray(dst, v, func(dst []byte, e string) []byte { return encodeValue(dst, nil, e) })
	case []int64:
		return encodeArray(dst, v, func(dst []byte, e int64) []byte { return encodeValue(dst, nil, e) })
	case []row:
		return encodeArray(dst, v, func(dst []byte, e row) []byte { return encode(dst, f.Items, e) })
	}
	panic(fmt.Sprintf("field %s: %T", f.Name, v))
}

func encodeArray[T any](dst []byte, list []T, one func([]byte, T) []byte) []byte {
	if len(list) > 0 {
		dst = binary.AppendVarint(dst, int64(len(list)))
		for _, e := range list {
			dst = one(dst, e)
		}
	}
	return append(dst, 0)
}

func twosComplement(n *big.Int) []byte {
	size := n.BitLen()/8 + 1
	if n.Sign() < 0 {
		size = new(big.Int).Not(n).BitLen()/8 + 1
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return n.FillBytes(make([]byte, size))
}

// randomRow is a row with every kind of value, now and then null, at the edges, or odd.
func randomRow(r *rand.Rand, s *schema.Schema) row {
	out := row{}
	for i := range s.Fields {
		f := &s.Fields[i]
		switch f.Name {
		case "id", "account_id", "_seq", "_observed_at":
			if f.Required || f.Name[0] == '_' {
				continue
			}
		case "extra":
			if r.IntN(4) == 0 {
				out["extra"] = fmt.Sprintf(`{"a": %d, "b": {"c": "%d"}}`, r.IntN(100), r.IntN(100))
			}
			continue
		}
		if r.IntN(5) > 0 {
			out[f.Name] = randomValue(r, f)
		}
	}
	return out
}

func randomValue(r *rand.Rand, f *schema.Field) any {
	switch f.Kind {
	case schema.Long:
		return r.Int64() >> r.IntN(63)
	case schema.Bool:
		return r.IntN(2) == 0
	case schema.String:
		return randomText(r)
	case schema.Decimal:
		n := randomBelow(r, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(r.IntN(39))), nil))
		if r.IntN(2) == 0 {
			n.Neg(n)
		}
		if r.IntN(3) == 0 {
			n.Mul(n.Div(n, big.NewInt(1e9)), big.NewInt(1e9))
		}
		return new(big.Rat).SetFrac(n, big.NewInt(1e9))
	case schema.Date:
		return time.Date(1+r.IntN(9998), 1, 1+r.IntN(365), 0, 0, 0, 0, time.UTC)
	case schema.Timestamp:
		return time.Date(1+r.IntN(9998), 1, 1+r.IntN(365), 0, 0, 0, 1e6*r.IntN(1000), time.UTC).Add(time.Duration(r.IntN(86400)) * time.Second)
	case schema.Strings:
		list := make([]string, r.IntN(4))
		for i := range list {
			list[i] = randomText(r)
		}
		return list
	case schema.Longs:
		list := make([]int64, r.IntN(4))
		for i := range list {
			list[i] = r.Int64()
		}
		return list
	}
	list := make([]row, r.IntN(4))
	for i := range list {
		list[i] = randomRow(r, f.Items)
		if r.IntN(2) == 0 {
			list[i]["id"] = r.Int64()
		}
		if f.Items.Field("id") < 0 {
			delete(list[i], "id")
		}
	}
	return list
}

func randomBelow(r *rand.Rand, limit *big.Int) *big.Int {
	n := new(big.Int)
	for range 3 {
		n.Add(n.Lsh(n, 63), big.NewInt(r.Int64()))
	}
	return n.Mod(n, limit)
}

func randomText(r *rand.Rand) string {
	return []string{"", "plain", `quo"te\`, "line\r\nend\t", "ünï→😀", "\u0001\u001f", "\\N", "{}", "null", strconv.Itoa(r.IntN(1e6))}[r.IntN(10)]
}

// expected is what to_jsonb says of the row that a version makes.
func expected(t testing.TB, v *version, deletedAt any, soft bool) string {
	t.Helper()
	out := map[string]any{}
	for i := range v.stream.Schema.Fields {
		f := &v.stream.Schema.Fields[i]
		out[f.Name] = asJSON(f, v.row[f.Name], false)
	}
	out["id"], out["account_id"], out["_seq"], out["_observed_at"] = v.id, v.account, v.seq, zoned(v.at)
	if soft {
		out["_deleted_at"] = deletedAt
	}
	return canonical(t, out)
}

func zoned(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999-07:00") }

func asJSON(f *schema.Field, v any, inside bool) any {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if f.Name == "extra" {
			return json.RawMessage(v)
		}
		return v
	case *big.Rat:
		text := v.FloatString(9)
		return json.RawMessage(strings.TrimSuffix(strings.TrimRight(text, "0"), "."))
	case time.Time:
		switch {
		case f.Kind == schema.Date:
			return v.Format(time.DateOnly)
		case inside:
			return v.Format("2006-01-02T15:04:05.999Z07:00")
		}
		return zoned(v)
	case []row:
		items := make([]any, len(v))
		for i, item := range v {
			m := map[string]any{}
			for j := range f.Items.Fields {
				inner := &f.Items.Fields[j]
				m[inner.Name] = asJSON(inner, item[inner.Name], true)
			}
			items[i] = m
		}
		return items
	}
	return v
}

// canonical is a JSON value with sorted names and numbers as they are.
func canonical(t testing.TB, v any) string {
	t.Helper()
	b, ok := v.(string)
	if !ok {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b = string(raw)
	}
	dec := json.NewDecoder(strings.NewReader(b))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

func (w *world) equal(got map[string]string, want map[string]string) {
	w.t.Helper()
	for k, g := range got {
		if g = canonical(w.t, g); want[k] == "" {
			w.t.Errorf("row %s should not be there: %s", k, g)
		} else if g != want[k] {
			w.t.Errorf("row %s\n got %s\nwant %s", k, g, want[k])
		}
	}
	for k := range want {
		if got[k] == "" {
			w.t.Errorf("row %s is missing", k)
		}
	}
}

package schema_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/pkg/schema"
)

// randomObject returns an object of the stream as Harvest might send it: members in any order, some null or missing, some unknown.
func randomObject(r *rand.Rand, st *schema.Stream) string {
	members := map[string][]string{} // by the name of the embedded object; "" the object itself
	for i := range st.Schema.Fields {
		f := &st.Schema.Fields[i]
		switch f.Name {
		case schema.FieldID, schema.FieldAccount, st.ParentID, schema.FieldExtra, schema.FieldSeq, schema.FieldObserved:
			continue
		}
		if r.IntN(8) == 0 {
			continue // missing
		}
		outer := strings.Join(f.From[:len(f.From)-1], ".")
		members[outer] = append(members[outer], strconv.Quote(f.From[len(f.From)-1])+":"+randomValue(r, f))
	}
	if r.IntN(4) == 0 {
		members[""] = append(members[""], fmt.Sprintf(`"unknown %d":{"b":[1.0,null],"a":null}`, r.IntN(3)))
	}
	all := members[""]
	all = append(all, `"id":`+strconv.Itoa(1+r.IntN(1<<40)))
	delete(members, "")
	if st.Read == schema.Single {
		all = all[:len(all)-1]
	}
	for i := range st.Schema.Fields { // not over the map: a seed makes one object
		outer := st.Schema.Fields[i].From[0]
		if m := members[outer]; m != nil {
			all = append(all, strconv.Quote(outer)+":{"+strings.Join(shuffled(r, m), ",")+"}")
			delete(members, outer)
		}
	}
	return "{" + strings.Join(shuffled(r, all), ", ") + "}"
}

func shuffled(r *rand.Rand, s []string) []string {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
	return s
}

func randomValue(r *rand.Rand, f *schema.Field) string {
	if r.IntN(5) == 0 {
		return "null"
	}
	switch f.Kind {
	case schema.Long:
		return strconv.FormatInt(r.Int64()>>r.IntN(60), 10)
	case schema.Bool:
		return strconv.FormatBool(r.IntN(2) == 0)
	case schema.String:
		return randomText(r)
	case schema.Decimal:
		return fmt.Sprintf("%d.%0*d", r.Int64N(1<<60)>>r.IntN(60)-1<<10, 1+r.IntN(9), r.IntN(10))
	case schema.Date:
		return fmt.Sprintf(`"%04d-%02d-%02d"`, 1+r.IntN(9999), 1+r.IntN(12), 1+r.IntN(28))
	case schema.Timestamp:
		return fmt.Sprintf(`"%04d-%02d-%02dT%02d:%02d:%02dZ"`, 1+r.IntN(9999), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60))
	}
	elements := make([]string, r.IntN(4))
	for i := range elements {
		switch f.Kind {
		case schema.Strings:
			elements[i] = randomText(r)
		case schema.Longs:
			elements[i] = strconv.Itoa(r.IntN(1000))
		default:
			elements[i] = randomItem(r, f.Items)
		}
	}
	return "[" + strings.Join(elements, ",") + "]"
}

func randomItem(r *rand.Rand, s *schema.Schema) string {
	var all, project []string
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Name == schema.FieldExtra || r.IntN(6) == 0 {
			continue
		}
		m := strconv.Quote(f.From[len(f.From)-1]) + ":" + randomValue(r, f)
		if len(f.From) > 1 {
			project = append(project, m)
		} else {
			all = append(all, m)
		}
	}
	if project != nil {
		all = append(all, `"project":{`+strings.Join(project, ",")+"}")
	}
	return "{" + strings.Join(shuffled(r, all), ",") + "}"
}

func randomText(r *rand.Rand) string {
	alphabet := []rune("ab \"\\\n/<é漢🚀\u2028\x7f")
	text := make([]rune, r.IntN(12))
	for i := range text {
		text[i] = alphabet[r.IntN(len(alphabet))]
	}
	quoted, err := jsontext.AppendQuote(nil, string(text))
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

// rewriter writes a published value as another library or another version of the schema might.
type rewriter struct {
	t *testing.T
	r *rand.Rand
}

// column is a field of a value: its bytes, union included.
type column struct {
	field *schema.Field
	bytes []byte
	null  bool
}

// columns takes a value apart.
func (w rewriter) columns(s *schema.Schema, value []byte) []column {
	c := schema.NewCursor(value)
	columns := make([]column, len(s.Fields))
	for i := range s.Fields {
		start := c.Offset()
		if err := c.Skip(&s.Fields[i]); err != nil {
			w.t.Fatal(err)
		}
		b := value[start:c.Offset()]
		columns[i] = column{&s.Fields[i], b, len(b) == 1 && b[0] == 0 && !s.Fields[i].Required}
	}
	if err := c.Done(); err != nil {
		w.t.Fatal(err)
	}
	return columns
}

// reframed returns a column's bytes with other array blocks and redundant sign bytes.
func (w rewriter) reframed(col column) []byte {
	if col.null || col.field.Required {
		return col.bytes
	}
	switch col.field.Kind {
	case schema.Decimal:
		c := schema.NewCursor(col.bytes[1:])
		b, err := c.Bytes()
		if err != nil {
			w.t.Fatal(err)
		}
		sign := byte(int8(b[0]) >> 7)
		n := w.r.IntN(3)
		out := binary.AppendVarint([]byte{2}, int64(len(b)+n))
		for range n {
			out = append(out, sign)
		}
		return append(out, b...)
	case schema.Strings, schema.Longs, schema.Items:
		return w.reblocked(col)
	}
	return col.bytes
}

// reblocked splits an array into blocks, with and without sizes.
func (w rewriter) reblocked(col column) []byte {
	c := schema.NewCursor(col.bytes[1:])
	out := []byte{2}
	var block []byte
	n := int64(0)
	flush := func() {
		if n > 0 && w.r.IntN(2) == 0 {
			out = binary.AppendVarint(out, n)
		} else if n > 0 {
			out = binary.AppendVarint(binary.AppendVarint(out, -n), int64(len(block)))
		}
		out = append(out, block...)
		block, n = nil, 0
	}
	for a := c.Array(); a.Next(); {
		start := c.Offset()
		switch col.field.Kind {
		case schema.Strings:
			_, _ = c.Bytes()
		case schema.Longs:
			_, _ = c.Long()
		default:
			for i := range col.field.Items.Fields {
				_ = c.Skip(&col.field.Items.Fields[i])
			}
		}
		block = append(block, col.bytes[1+start:1+c.Offset()]...)
		if n++; w.r.IntN(2) == 0 {
			flush()
		}
	}
	flush()
	return append(out, 0)
}

package schema_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"harveststream/pkg/schema"
)

func record(fields ...string) string {
	return `{"type":"record","name":"R","fields":[` + strings.Join(fields, ",") + `]}`
}

const (
	idField      = `{"name":"id","type":"long"}`
	textField    = `{"name":"a","type":["null","string"],"default":null}`
	longField    = `{"name":"a","type":["null","long"],"default":null}`
	dateField    = `{"name":"a","type":["null",{"type":"int","logicalType":"date"}],"default":null}`
	instantField = `{"name":"a","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null}`
	bytesDecimal = `{"name":"a","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":9}],"default":null}`
)

func TestParseSchema(t *testing.T) {
	t.Parallel()
	s, err := schema.ParseSchema(`{"type":"record", "name":"R", "doc":"A record.", "namespace":"harvest.v2", "fields":[
		{"name":"id","type":"int"}, {"name":"b","type":["boolean","null"],"from":"x.y.b","compare":false,"timer":true,"doc":"What."},
		{"name":"i","type":["null",{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"n","type":"long"}]}}]},
		{"name":"j","type":{"type":"array","items":"I"}}, {"name":"l","type":{"type":"array","items":"long"}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Fields[1]
	if s.Name != "R" || s.Doc != "A record." || s.Fields[0].Kind != schema.Long || !s.Fields[0].Required || b.Kind != schema.Bool || b.Required || b.Compare || !b.Timer ||
		strings.Join(b.From, "/") != "x/y/b" || b.Doc != "What." || s.Fields[2].Items.Fields[0].Name != "n" || s.Fields[3].Items.Name != "I" || s.Fields[4].Kind != schema.Longs {
		t.Errorf("%+v", s)
	}
}

func TestParseSchemaRefuses(t *testing.T) {
	t.Parallel()
	many := make([]string, 100_000)
	for i := range many {
		many[i] = fmt.Sprintf(`{"name":"f%d","type":"long"}`, i)
	}
	field := func(typ string) string { return record(`{"name":"a","type":` + typ + `}`) }
	for name, text := range map[string]string{
		"empty":              ``,
		"no JSON":            `record`,
		"a primitive":        `"long"`,
		"an array":           `{"type":"array","items":"long"}`,
		"two":                record(idField) + record(idField),
		"no fields":          record(),
		"name twice":         record(idField, idField),
		"member twice":       `{"type":"record","name":"R","name":"S","fields":[` + idField + `]}`,
		"float":              field(`"double"`),
		"bytes":              field(`"bytes"`),
		"enum":               field(`{"type":"enum","name":"E","symbols":["A"]}`),
		"fixed":              field(`{"type":"fixed","name":"F","size":4}`),
		"map":                field(`{"type":"map","values":"long"}`),
		"record in record":   field(`{"type":"record","name":"S","fields":[` + idField + `]}`),
		"null alone":         field(`"null"`),
		"union of one":       field(`["null"]`),
		"union without null": field(`["long","string"]`),
		"union of three":     field(`["null","long","string"]`),
		"micros":             field(`{"type":"long","logicalType":"timestamp-micros"}`),
		"uuid":               field(`{"type":"string","logicalType":"uuid"}`),
		"another scale":      field(`{"type":"bytes","logicalType":"decimal","precision":38,"scale":2}`),
		"another precision":  field(`{"type":"bytes","logicalType":"decimal","precision":10,"scale":9}`),
		"array of bool":      field(`{"type":"array","items":"boolean"}`),
		"array of nullable":  field(`{"type":"array","items":["null","string"]}`),
		"array of arrays":    field(`{"type":"array","items":{"type":"array","items":"long"}}`),
		"array in items":     field(`{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"x","type":{"type":"array","items":"long"}}]}}`),
		"recursive":          field(`{"type":"array","items":"R"}`),
		"empty items":        field(`{"type":"array","items":{"type":"record","name":"I","fields":[]}}`),
		"unknown type":       field(`"Elsewhere"`),
		"100,000 fields":     record(many...),
		"1,001 fields":       record(many[:1001]...),
		"depth":              strings.Repeat(`{"type":"array","items":`, 10_000) + `"long"` + strings.Repeat("}", 10_000),
		"long name":          record(`{"name":"` + strings.Repeat("a", 64) + `","type":"long"}`),
		"name of 1 MiB":      record(`{"name":"` + strings.Repeat("a", 1<<20) + `","type":"long"}`),
		"quotes":             record(`{"name":"a\"; DROP","type":"long"}`),
		"no name":            record(`{"name":"","type":"long"}`),
		"deep default":       record(`{"name":"a","type":"long","default":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`),
	} {
		if _, err := schema.ParseSchema(text); err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 2000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestCompatible(t *testing.T) {
	t.Parallel()
	base := record(idField, textField)
	for name, c := range map[string]struct {
		other string
		ok    bool
	}{
		"same":                 {base, true},
		"docs and attributes":  {record(`{"name":"id","type":"long","doc":"x"}`, `{"name":"a","type":["null","string"],"default":null,"compare":false}`), true},
		"moved":                {record(textField, idField), true},
		"added":                {record(idField, textField, `{"name":"b","type":["null","long"],"default":null}`), true},
		"dropped":              {record(idField), true},
		"added without null":   {record(idField, textField, `{"name":"b","type":"long"}`), false},
		"dropped id":           {record(textField), false},
		"no default":           {record(idField, `{"name":"a","type":["null","string"]}`), true}, // both have the field
		"added, no default":    {record(idField, textField, `{"name":"b","type":["null","long"]}`), false},
		"string to long":       {record(idField, longField), false},
		"string to bytes":      {record(idField, bytesDecimal), false},
		"required":             {record(idField, `{"name":"a","type":"string"}`), false},
		"another record":       {strings.Replace(base, `"R"`, `"S"`, 1), false},
		"broken":               {`{`, false},
		"a type we do not use": {record(idField, textField, `{"name":"b","type":["null","double"],"default":null}`), false},
	} {
		if err := schema.Compatible(c.other, base); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err := schema.Compatible(base, c.other); (err == nil) != c.ok {
			t.Errorf("%s, the other way round: %v", name, err)
		}
	}
	for _, pair := range [][2]string{{longField, instantField}, {longField, dateField}, {dateField, instantField}} {
		if err := schema.Compatible(record(idField, pair[0]), record(idField, pair[1])); err == nil {
			t.Errorf("%s and %s are compatible", pair[0], pair[1])
		}
	}
	for _, st := range schema.All() {
		if err := schema.Compatible(st.Schema.Text(), st.Schema.Text()); err != nil {
			t.Errorf("%s: %v", st.Name, err)
		}
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var registry schema.Registry = schema.NewLocal()
	register := func(subject, text string) int {
		t.Helper()
		id, err := registry.Register(ctx, subject, text)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	one := register("a", record(idField))
	two := register("a", record(idField, textField))
	if again := register("a", record(idField)); one == two || again != one || register("b", record(idField)) != one {
		t.Errorf("ids %d, %d, %d", one, two, again)
	}
	// Compatible with the last version alone: FULL_TRANSITIVE looks at all.
	register("c", record(idField, textField))
	register("c", record(idField))
	_, err := registry.Register(ctx, "c", record(idField, longField))
	if incompatible, ok := errors.AsType[*schema.IncompatibleError](err); !ok || incompatible.Subject != "c" || !schema.IsIncompatible(fmt.Errorf("x: %w", err)) || schema.IsUnknownID(err) {
		t.Errorf("an incompatible version: %v", err)
	}
	if _, err := registry.Register(ctx, "d", `"nothing"`); err == nil {
		t.Error("no schema is accepted")
	}
	if text, err := registry.Schema(ctx, two); err != nil || text != record(idField, textField) {
		t.Errorf("%s, %v", text, err)
	}
	for _, id := range []int{0, -1, 99} {
		if _, err := registry.Schema(ctx, id); !errors.Is(err, schema.ErrUnknownID) || !schema.IsUnknownID(err) || schema.IsIncompatible(err) {
			t.Errorf("id %d: %v", id, err)
		}
	}
}

// foreign are errors of another package's registry.
type foreign struct{ unknown, incompatible bool }

func (foreign) Error() string        { return "foreign" }
func (f foreign) UnknownID() bool    { return f.unknown }
func (f foreign) Incompatible() bool { return f.incompatible }

func TestForeignErrors(t *testing.T) {
	t.Parallel()
	for _, f := range []foreign{{}, {unknown: true}, {incompatible: true}} {
		err := fmt.Errorf("asking: %w", f)
		if schema.IsUnknownID(err) != f.unknown || schema.IsIncompatible(err) != f.incompatible {
			t.Errorf("%+v", f)
		}
	}
	if schema.IsUnknownID(nil) || schema.IsIncompatible(nil) || schema.IsUnknownID(errors.New("x")) {
		t.Error("any error will do")
	}
}

// BenchmarkHostileSchema is the most a text can cost that is within the bounds of its length (A9).
func BenchmarkHostileSchema(b *testing.B) {
	var fields []string
	for i := range 1700 {
		fields = append(fields, fmt.Sprintf(`{"name":"f%d","type":"long"}`, i))
	}
	text := record(fields...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.ParseSchema(text); err == nil {
			b.Fatal("accepted")
		}
	}
}

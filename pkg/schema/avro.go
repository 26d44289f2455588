package schema

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/hamba/avro/v2"
)

// Bounds on schema texts, ours or foreign (A9). Ours are below 16 KiB, 100 fields and a depth of 12. A name of 63 bytes is the
// longest that databases keep whole.
const (
	maxSchemaText   = 64 << 10
	maxSchemaDepth  = 24
	maxSchemaFields = 1000
	maxSchemaName   = 63
)

// ParseSchema parses the text of one of our schemas, or of a writer's from a registry. A writer may order fields and unions as it
// likes, leave the nulls out and write int for long; types that our streams do not use are refused, and so are hostile texts,
// before any use is made of them (A9).
func ParseSchema(text string) (*Schema, error) {
	compact, err := compactSchema(text)
	if err != nil {
		return nil, fmt.Errorf("parsing schema: %w", err)
	}
	record, err := parseRecord(compact)
	if err != nil {
		return nil, fmt.Errorf("parsing schema: %w", err)
	}
	s, err := newSchema(record, false)
	if err != nil {
		return nil, fmt.Errorf("parsing schema %s: %w", record.Name(), err)
	}
	s.text = compact
	return s, nil
}

// compactSchema checks that the text is bounded JSON and returns it without white space.
func compactSchema(text string) (string, error) {
	if len(text) > maxSchemaText {
		return "", fmt.Errorf("text has %d bytes, more than %d", len(text), maxSchemaText)
	}
	dec := jsontext.NewDecoder(strings.NewReader(text))
	for {
		_, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("reading JSON: %w", err)
		}
		if dec.StackDepth() > maxSchemaDepth {
			return "", fmt.Errorf("nested more than %d deep", maxSchemaDepth)
		}
	}
	value := jsontext.Value(text)
	if err := value.Compact(); err != nil {
		return "", fmt.Errorf("reading JSON: %w", err)
	}
	return string(value), nil
}

// parseRecord has the library parse a text, which must be a record. The cache is fresh: the library's own would let one text refer
// to another's types.
func parseRecord(text string) (*avro.RecordSchema, error) {
	parsed, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, err
	}
	record, ok := parsed.(*avro.RecordSchema)
	if !ok {
		return nil, fmt.Errorf("%s is not a record", parsed.Type())
	}
	return record, nil
}

// newSchema turns the library's record into ours; nested says that it is that of an array's members.
func newSchema(record *avro.RecordSchema, nested bool) (*Schema, error) {
	n := len(record.Fields())
	if n == 0 || n > maxSchemaFields {
		return nil, fmt.Errorf("%d fields, not 1 to %d", n, maxSchemaFields)
	}
	s := &Schema{Name: record.Name(), Doc: record.Doc(), Fields: make([]Field, 0, n)}
	for _, af := range record.Fields() {
		f, err := newField(af, nested)
		if err != nil {
			return nil, fmt.Errorf("field %.80q: %w", af.Name(), err)
		}
		s.Fields = append(s.Fields, f)
	}
	return s, nil
}

func newField(af *avro.Field, nested bool) (Field, error) {
	f := Field{Name: af.Name(), Doc: af.Doc(), Compare: true, From: []string{af.Name()}, name: hashString(af.Name())}
	if len(f.Name) > maxSchemaName {
		return f, fmt.Errorf("name is longer than %d bytes", maxSchemaName)
	}
	if from, ok := af.Prop("from").(string); ok {
		f.From = strings.Split(from, ".")
	}
	if compare, ok := af.Prop("compare").(bool); ok {
		f.Compare = compare
	}
	f.Timer, _ = af.Prop("timer").(bool)
	typ, null, err := branch(af.Type())
	if err != nil {
		return f, err
	}
	f.null, f.Required = null, null < 0
	f.Kind, f.Items, err = kindOf(typ, nested)
	return f, err
}

// branch returns the type that is not null and the index of null, -1 where the type is no union.
func branch(typ avro.Schema) (avro.Schema, int, error) {
	union, ok := typ.(*avro.UnionSchema)
	if !ok {
		return typ, -1, nil
	}
	if types := union.Types(); len(types) == 2 {
		for i, t := range types {
			if t.Type() == avro.Null && types[1-i].Type() != avro.Null {
				return types[1-i], i, nil
			}
		}
	}
	return nil, 0, errors.New("only unions of null and one type are read")
}

// kindOf returns the kind of a type without its null.
func kindOf(typ avro.Schema, nested bool) (Kind, *Schema, error) {
	var logical avro.LogicalSchema
	if p, ok := typ.(*avro.PrimitiveSchema); ok {
		logical = p.Logical()
	}
	switch {
	case typ.Type() == avro.Array:
		return arrayKind(typ.(*avro.ArraySchema).Items(), nested)
	case logical == nil:
		switch typ.Type() {
		case avro.Long, avro.Int:
			return Long, nil, nil
		case avro.Boolean:
			return Bool, nil, nil
		case avro.String:
			return String, nil, nil
		}
	case typ.Type() == avro.Int && logical.Type() == avro.Date:
		return Date, nil, nil
	case typ.Type() == avro.Long && logical.Type() == avro.TimestampMillis:
		return Timestamp, nil, nil
	case typ.Type() == avro.Bytes && logical.Type() == avro.Decimal:
		if d, ok := logical.(*avro.DecimalLogicalSchema); ok && d.Precision() == decimalDigits && d.Scale() == decimalScale {
			return Decimal, nil, nil
		}
		return 0, nil, fmt.Errorf("only decimal(%d,%d) is read", decimalDigits, decimalScale)
	}
	return 0, nil, fmt.Errorf("type %.200s is not read", typ.String())
}

// arrayKind returns the kind of an array by its items. Arrays do not nest: a recursive record would have no end.
func arrayKind(items avro.Schema, nested bool) (Kind, *Schema, error) {
	if nested {
		return 0, nil, errors.New("an array inside an array's records is not read")
	}
	if ref, ok := items.(*avro.RefSchema); ok {
		items = ref.Schema()
	}
	if record, ok := items.(*avro.RecordSchema); ok {
		s, err := newSchema(record, true)
		return Items, s, err
	}
	kind, _, err := kindOf(items, true)
	switch {
	case err != nil:
		return 0, nil, err
	case kind == String:
		return Strings, nil, nil
	case kind == Long:
		return Longs, nil, nil
	}
	return 0, nil, fmt.Errorf("array of %.200s is not read", items.String())
}

// Compatible returns nil where each of two schemas can read what the other wrote: FULL in a registry's words. Subjects are
// FULL_TRANSITIVE, so each pair of versions must pass.
func Compatible(reader, writer string) error {
	for _, pair := range [2][2]string{{reader, writer}, {writer, reader}} {
		r, err := parseRecord(pair[0])
		if err != nil {
			return err
		}
		w, err := parseRecord(pair[1])
		if err != nil {
			return err
		}
		if err := avro.NewSchemaCompatibility().Compatible(r, w); err != nil {
			return err
		}
	}
	return sameKinds(reader, writer)
}

// sameKinds looks at what the library does not: logical types, and string against bytes.
func sameKinds(a, b string) error {
	sa, err := ParseSchema(a)
	if err != nil {
		return err
	}
	sb, err := ParseSchema(b)
	if err != nil {
		return err
	}
	return sa.sameKinds(sb)
}

func (s *Schema) sameKinds(o *Schema) error {
	for i := range s.Fields {
		j := o.Field(s.Fields[i].Name)
		if j < 0 {
			continue
		}
		a, b := &s.Fields[i], &o.Fields[j]
		if a.Kind != b.Kind {
			return fmt.Errorf("field %s changes from %s to %s", a.Name, b.Kind, a.Kind)
		}
		if a.Items != nil {
			if err := a.Items.sameKinds(b.Items); err != nil {
				return err
			}
		}
	}
	return nil
}

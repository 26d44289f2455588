package schema

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// JSON returns a published value (without header) as JSON for people: decimals as numbers, instants and days as text, extra as the
// JSON it is.
func JSON(s *Schema, value []byte) ([]byte, error) {
	c := NewCursor(value)
	dst, err := c.appendRecord(nil, s)
	if err == nil {
		err = c.Done()
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.Name, err)
	}
	return dst, nil
}

func (c *Cursor) appendRecord(dst []byte, s *Schema) (out []byte, err error) {
	dst = append(dst, '{')
	for i := range s.Fields {
		f := &s.Fields[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), f.Name...), '"', ':')
		if dst, err = c.AppendJSON(dst, f); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// AppendJSON reads a field, its union included, and appends it as JSON. The text is valid whatever the bytes are: what is no UTF-8,
// and U+0000, become U+FFFD.
func (c *Cursor) AppendJSON(dst []byte, f *Field) ([]byte, error) {
	null, err := c.Null(f)
	if err != nil {
		return dst, err
	}
	if null {
		return append(dst, "null"...), nil
	}
	switch f.Kind {
	case Bool:
		v, err := c.Bool()
		return strconv.AppendBool(dst, v), err
	case String:
		return c.appendText(dst, f.Name == FieldExtra)
	case Decimal:
		b, err := c.Decimal()
		if err != nil {
			return dst, err
		}
		return AppendDecimal(dst, b), nil
	case Date:
		v, err := c.Date()
		return time.Unix(int64(v)*dayMillis/1000, 0).UTC().AppendFormat(dst, `"2006-01-02"`), err
	case Timestamp:
		v, err := c.Timestamp()
		return time.UnixMilli(v).UTC().AppendFormat(dst, `"2006-01-02T15:04:05.999Z"`), err
	case Strings, Longs, Items:
		return c.appendArray(dst, f)
	}
	v, err := c.Long()
	return strconv.AppendInt(dst, v, 10), err
}

// appendText appends a text as a JSON string, or, where it says that it is JSON and is, as such.
func (c *Cursor) appendText(dst []byte, raw bool) ([]byte, error) {
	b, err := c.Bytes()
	if err != nil {
		return dst, err
	}
	if raw && jsontext.Value(b).IsValid() {
		return append(dst, b...), nil
	}
	if bytes.IndexByte(b, 0) >= 0 {
		b = bytes.ReplaceAll(b, []byte{0}, []byte("\uFFFD"))
	}
	dst, _ = jsontext.AppendQuote(dst, b) // an error only says that something was replaced
	return dst, nil
}

func (c *Cursor) appendArray(dst []byte, f *Field) (out []byte, err error) {
	element := &Field{Kind: Long, null: -1}
	if f.Kind == Strings {
		element.Kind = String
	}
	dst = append(dst, '[')
	a := c.Array()
	for n := 0; a.Next(); n++ {
		if n > 0 {
			dst = append(dst, ',')
		}
		if f.Kind == Items {
			dst, err = c.appendRecord(dst, f.Items)
		} else {
			dst, err = c.AppendJSON(dst, element)
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), a.Err()
}

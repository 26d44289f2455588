package sinker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"harveststream/pkg/schema"
)

// appendItems appends an array of records as jsonb to the row, and its items as rows to the child table (design §6).
func (e *encoder) appendItems(dst []byte, cur *schema.Cursor, s *step, m *rowMeta) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 1, '[')
	items := cur.Array()
	for ordinal := int64(1); items.Next(); ordinal++ {
		if ordinal > 1 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = e.appendItem(dst, cur, s.items, m, ordinal); err != nil {
			return dst, fmt.Errorf("item %d: %w", ordinal, err)
		}
	}
	if err := items.Err(); err != nil {
		return dst, err
	}
	dst = append(dst, ']')
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

// appendItem appends one item twice: its JSON to dst, its row to the child table. The bytes are walked once for each.
func (e *encoder) appendItem(dst []byte, cur *schema.Cursor, p *itemPlan, m *rowMeta, ordinal int64) ([]byte, error) {
	again := *cur
	dst = append(dst, '{')
	begin := len(dst)
	for i := range p.fields {
		f := p.fields[i].field
		dst = appendMember(dst, f.Name)
		var null bool
		var err error
		if dst, null, err = appendJSON(dst, cur, f); err != nil {
			return dst, fmt.Errorf("field %s: %w", f.Name, err)
		}
		if null {
			dst = append(dst, "null"...)
		}
	}
	dst = append(removeComma(dst, begin), '}')
	row, err := e.childRow(e.kids[p.number], &again, p, m, ordinal)
	e.kids[p.number] = row
	e.rows[p.number]++
	return dst, err
}

// removeComma takes out the comma that every member begins with, before the first one.
func removeComma(dst []byte, begin int) []byte {
	if len(dst) == begin {
		return dst
	}
	return append(dst[:begin], dst[begin+1:]...)
}

func (e *encoder) childRow(dst []byte, cur *schema.Cursor, p *itemPlan, m *rowMeta, ordinal int64) ([]byte, error) {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.columns)))
	dst = appendLong(dst, m.id)
	dst = appendLong(dst, m.account)
	dst = appendLong(dst, ordinal)
	mark := len(e.unknown)
	var extra []byte
	for i := range p.fields {
		s := &p.fields[i]
		if s.place == toUnknown {
			if err := e.keep(cur, s.field); err != nil {
				return dst, err
			}
			continue
		}
		null, err := cur.Null(s.field)
		switch {
		case err != nil:
		case null && s.place == toColumn:
			dst = appendNull(dst)
		case null:
		case s.place == toExtra:
			extra, err = cur.Bytes()
			e.lift = e.lift || p.absent > 0
		default:
			dst, err = appendValue(dst, cur, s.field.Kind)
		}
		if err != nil {
			return dst, err
		}
	}
	for range p.absent {
		dst = appendNull(dst)
	}
	unknown := e.unknown[mark:]
	e.unknown = e.unknown[:mark]
	switch {
	case len(unknown) > 0:
		e.extra = appendMerged(e.extra[:0], extra, unknown)
		return appendJSONB(dst, e.extra), nil
	case extra != nil:
		return appendJSONB(dst, extra), nil
	}
	return appendNull(dst), nil
}

// appendMember appends a comma and a JSON member's name. Names of Avro fields need no escapes.
func appendMember(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendJSON reads a field, its union included, and appends it as JSON; nothing where it is null. extra is JSON already.
func appendJSON(dst []byte, cur *schema.Cursor, f *schema.Field) ([]byte, bool, error) {
	null, err := cur.Null(f)
	if err != nil || null {
		return dst, null, err
	}
	switch f.Kind {
	case schema.Strings, schema.Longs, schema.Items:
		dst, err = appendJSONArray(dst, cur, f)
		return dst, false, err
	}
	dst, err = appendJSONScalar(dst, cur, f.Kind, f.Name == schema.FieldExtra)
	return dst, false, err
}

func appendJSONScalar(dst []byte, cur *schema.Cursor, kind schema.Kind, isJSON bool) ([]byte, error) {
	switch kind {
	case schema.Long:
		v, err := cur.Long()
		return strconv.AppendInt(dst, v, 10), err
	case schema.Bool:
		v, err := cur.Bool()
		return strconv.AppendBool(dst, v), err
	case schema.Decimal:
		v, err := cur.Decimal()
		if err != nil {
			return dst, err
		}
		return appendDecimalText(dst, v)
	case schema.Date:
		v, err := cur.Date()
		return appendDay(dst, v), err
	case schema.Timestamp:
		v, err := cur.Timestamp()
		dst = append(dst, '"')
		dst = time.UnixMilli(v).UTC().AppendFormat(dst, "2006-01-02T15:04:05.999Z07:00")
		return append(dst, '"'), err
	}
	v, err := cur.Bytes()
	if err != nil {
		return dst, err
	}
	if isJSON {
		return appendCleaned(dst, v), nil
	}
	return appendJSONString(dst, v), nil
}

func appendDay(dst []byte, days int32) []byte {
	dst = append(dst, '"')
	dst = time.Unix(int64(days)*24*3600, 0).UTC().AppendFormat(dst, time.DateOnly)
	return append(dst, '"')
}

func appendJSONArray(dst []byte, cur *schema.Cursor, f *schema.Field) ([]byte, error) {
	dst = append(dst, '[')
	items := cur.Array()
	for n := 0; items.Next(); n++ {
		if n > 0 {
			dst = append(dst, ',')
		}
		var err error
		switch f.Kind {
		case schema.Longs:
			dst, err = appendJSONScalar(dst, cur, schema.Long, false)
		case schema.Strings:
			dst, err = appendJSONScalar(dst, cur, schema.String, false)
		default:
			dst, err = appendJSONObject(dst, cur, f.Items)
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), items.Err()
}

func appendJSONObject(dst []byte, cur *schema.Cursor, s *schema.Schema) ([]byte, error) {
	dst = append(dst, '{')
	begin := len(dst)
	for i := range s.Fields {
		mark := len(dst)
		dst = appendMember(dst, s.Fields[i].Name)
		var null bool
		var err error
		if dst, null, err = appendJSON(dst, cur, &s.Fields[i]); err != nil {
			return dst, err
		}
		if null {
			dst = dst[:mark]
		}
	}
	return append(removeComma(dst, begin), '}'), nil
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends text as a JSON string.
func appendJSONString(dst, v []byte) []byte {
	dst = append(dst, '"')
	for len(v) > 0 {
		b := v[0]
		if b < utf8.RuneSelf {
			switch {
			case b == '"' || b == '\\':
				dst = append(dst, '\\', b)
			case b == 0:
				dst = utf8.AppendRune(dst, utf8.RuneError)
			case b < ' ':
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
			default:
				dst = append(dst, b)
			}
			v = v[1:]
			continue
		}
		r, n := utf8.DecodeRune(v)
		dst = utf8.AppendRune(dst, r) // what is no UTF-8 is RuneError
		v = v[n:]
	}
	return append(dst, '"')
}

// clean reports whether PostgreSQL takes the text: UTF-8 without zero bytes. Most text is short ASCII, looked at eight bytes at a time.
func clean(v []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	rest := v
	for len(rest) >= 8 {
		x := binary.LittleEndian.Uint64(rest)
		if (x|(x-ones))&tops != 0 { // a byte above 127, or a zero
			return cleanSlow(v)
		}
		rest = rest[8:]
	}
	for _, b := range rest {
		if b-1 >= utf8.RuneSelf-1 {
			return cleanSlow(v)
		}
	}
	return true
}

func cleanSlow(v []byte) bool { return bytes.IndexByte(v, 0) < 0 && utf8.Valid(v) }

// appendCleaned appends text; U+0000 and what is no UTF-8 become U+FFFD (P14).
func appendCleaned(dst, v []byte) []byte {
	if clean(v) {
		return append(dst, v...)
	}
	for len(v) > 0 {
		r, n := utf8.DecodeRune(v)
		if r == 0 {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
		v = v[n:]
	}
	return dst
}

func appendRepaired(dst, v []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendCleaned(dst, v)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

package schema

import (
	"encoding/binary"
	"math"
)

// value is what became of a field's JSON.
type value struct {
	n    int64  // of what fits an integer
	hash uint64 // as Cursor.value makes it
	ok   bool   // not null
}

// value appends the value b[at] of an object's field, or null where there is none or it does not fit. reason is one to refuse the
// answer.
func (e *Encoder) value(dst []byte, o *object, f *field, b []byte, at span) (out []byte, v value, reason string) {
	raw := b[at.start:at.end]
	absent := len(raw) == 0 || isNull(raw)
	if f.role == roleID && absent {
		return dst, v, reasonID
	}
	if absent || f.omit {
		return append(dst, branchNull), v, ""
	}
	start := len(dst)
	if !f.Required {
		dst = append(dst, branchValue)
	}
	var fault string
	switch f.Kind {
	case Long:
		if v.n, fault = parseLong(raw); fault == "" {
			v.hash = uint64(v.n)
			dst = appendLong(dst, v.n)
		}
	case Bool:
		dst, v, fault = appendBool(dst, raw)
	case String:
		dst, v.hash, fault = e.appendString(dst, f, raw)
	case Decimal:
		dst, v.hash, fault = e.appendDecimal(dst, f, raw)
	case Date, Timestamp:
		if v.n, fault = parseTime(f.Kind, raw); fault == "" {
			v.hash = uint64(v.n)
			dst = appendLong(dst, v.n)
		}
	default:
		if dst, v.hash, fault, reason = e.array(dst, f, b, at); reason != "" {
			return dst, v, reason
		}
	}
	v.ok = fault == ""
	switch {
	case f.role == roleID && (!v.ok || v.n <= 0):
		return dst, value{}, reasonID
	case !v.ok:
		e.misfit(o, f.at, f.key, raw, fault, false)
		return append(dst[:start], branchNull), value{}, ""
	}
	return dst, v, ""
}

// appendLong is binary.AppendVarint, with a shorter way for what has one byte.
func appendLong(dst []byte, v int64) []byte {
	if u := uint64(v<<1) ^ uint64(v>>63); u < 0x80 {
		return append(dst, byte(u))
	}
	return binary.AppendVarint(dst, v)
}

func appendBool(dst, raw []byte) (out []byte, v value, fault string) {
	switch string(raw) {
	case "true":
		return append(dst, 1), value{n: 1, hash: 1}, ""
	case "false":
		return append(dst, 0), value{}, ""
	}
	return dst, v, FaultType
}

func (e *Encoder) appendString(dst []byte, f *field, raw []byte) (out []byte, hash uint64, fault string) {
	if raw[0] != '"' {
		return dst, 0, FaultType
	}
	text := raw[1 : len(raw)-1]
	if !plainASCII(text) {
		var replaced bool
		if e.text, replaced = appendText(e.text[:0], raw); replaced {
			e.fault(f.at, f.key, FaultText)
		}
		text = e.text
	}
	if f.Compare {
		hash = hashBytes(text)
	}
	return append(appendLong(dst, int64(len(text))), text...), hash, ""
}

func (e *Encoder) appendDecimal(dst []byte, f *field, raw []byte) (out []byte, hash uint64, fault string) {
	d, state := parseDecimal(numberText(raw))
	switch state {
	case noNumber:
		return dst, 0, FaultType
	case overlong:
		return dst, 0, FaultDigits
	case rounded:
		e.rec.Rounded++
		e.fault(f.at, f.key, FaultRounded)
	}
	d = d.signed()
	return d.append(dst), mix(d.lo, d.hi), ""
}

// numberText returns the number that a JSON number or a number in quotes holds.
func numberText(raw []byte) []byte {
	if raw[0] == '"' {
		return raw[1 : len(raw)-1]
	}
	return raw
}

// parseLong reads an integer: exactly, also where it is written 1e3 or 1.0.
func parseLong(raw []byte) (n int64, fault string) {
	text := numberText(raw)
	digits := text
	if len(text) > 0 && text[0] == '-' {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(digits) > 1 || digitsEnd(digits, 0) != len(digits) {
		return parseInteger(text)
	}
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	if len(digits) != len(text) {
		n = -n
	}
	return n, ""
}

func parseInteger(text []byte) (n int64, fault string) {
	d, state := parseDecimal(text)
	switch state {
	case noNumber:
		return 0, FaultType
	case rounded:
		return 0, FaultForm
	case overlong:
		return 0, FaultRange
	}
	whole, rest := d.divide(billion)
	switch {
	case rest != 0:
		return 0, FaultForm
	case whole.hi != 0 || whole.lo > math.MaxInt64 && (!d.neg || whole.lo != 1<<63):
		return 0, FaultRange
	case d.neg:
		return -int64(whole.lo), ""
	}
	return int64(whole.lo), ""
}

func parseTime(kind Kind, raw []byte) (n int64, fault string) {
	if raw[0] != '"' {
		return 0, FaultType
	}
	text := raw[1 : len(raw)-1]
	var ok bool
	if kind == Date {
		var day int32
		day, ok = parseDate(text)
		n = int64(day)
	} else {
		n, ok = ParseInstant(text)
	}
	if !ok {
		return 0, FaultForm
	}
	return n, ""
}

// array appends an array and returns its hash as a set. Of one of records, what does not fit is null in its record, and the whole
// array goes to extra as well (P14).
func (e *Encoder) array(dst []byte, f *field, b []byte, at span) (out []byte, hash uint64, fault, reason string) {
	i := int(at.start)
	if b[i] != '[' {
		return dst, 0, FaultType, ""
	}
	e.misfits = false
	e.elements = e.elements[:0]
	var sum uint64
	count := 0
	for i, more := begin(b, i, ']'); more; count++ {
		end := valueEnd(b, i, maxDepth)
		if count == maxElements {
			return dst, 0, "", reasonElements
		}
		var h uint64
		if h, fault, reason = e.element(f, b, i, end); fault != "" || reason != "" {
			return dst, 0, fault, reason
		}
		sum += mix(h, elementSalt)
		i, more = next(b, end, ']')
	}
	if e.misfits {
		e.top.stray(f.at, f.key, b[at.start:at.end])
	}
	if count > 0 {
		dst = append(appendLong(dst, int64(count)), e.elements...)
	}
	return append(dst, 0), hashElements(sum, count), "", ""
}

// element appends the array's element b[start:end] to the elements.
func (e *Encoder) element(f *field, b []byte, start, end int) (hash uint64, fault, reason string) {
	raw := b[start:end]
	switch f.Kind {
	case Strings:
		e.elements, hash, fault = e.appendString(e.elements, f, raw)
		return hash, fault, ""
	case Longs:
		n, fault := parseLong(raw)
		e.elements = appendLong(e.elements, n)
		return uint64(n), fault, ""
	}
	e.begin(f.items)
	if raw[0] != '{' {
		e.misfit(f.items, f.at, f.key, raw, FaultType, false)
	} else if _, reason = e.scan(f.items, f.items.root, b, start, maxDepth); reason != "" {
		return 0, "", reason
	}
	for i := range f.items.fields {
		item := &f.items.fields[i]
		if item.role == roleExtra {
			e.elements, reason = e.extra(e.elements, f.items)
		} else {
			var v value
			e.elements, v, reason = e.value(e.elements, f.items, item, b, f.items.vals[i])
			if v.ok && item.Compare {
				hash += mix(item.name, v.hash)
			}
		}
		if reason != "" {
			return 0, "", reason
		}
	}
	return hash, "", ""
}

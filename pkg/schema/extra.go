package schema

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// extra is canonical JSON: names sorted, nulls left out, numbers as they came. So another order of members, or a null that comes or
// goes, is no change.

// Numbers beyond these are kept in quotes: JSON readers and databases refuse them, and with them the row. The size of extra has no
// bound of its own: an answer has one, and a record its topic's (P2).
const (
	maxNumberLength = 1000
	maxNumberExp    = 9999
)

// entry is a member of an object in extra: raw JSON, or an embedded object's strays.
type entry struct {
	name  []byte
	value []byte
	node  *node
}

// extra appends the field extra of an object.
func (e *Encoder) extra(dst []byte, o *object) (out []byte, reason string) {
	if o.root.stray != o.number {
		return append(dst, branchNull), ""
	}
	var ok bool
	e.entries = e.entries[:0]
	if e.text, ok = e.appendStrays(e.text[:0], o, o.root); !ok {
		return dst, reasonDuplicate
	}
	dst = appendLong(append(dst, branchValue), int64(len(e.text)))
	return append(dst, e.text...), ""
}

// appendStrays appends a node's strays, and those below it, as an object; false where a member comes twice.
func (e *Encoder) appendStrays(dst []byte, o *object, n *node) ([]byte, bool) {
	base := len(e.entries)
	for i := range o.strays {
		if s := &o.strays[i]; s.at == n {
			e.entries = append(e.entries, entry{name: s.name, value: s.value})
		}
	}
	for i := range n.members {
		if sub := n.members[i].node; sub != nil && sub.stray == o.number {
			e.entries = append(e.entries, entry{name: sub.name, node: sub})
		}
	}
	return e.appendEntries(dst, o, base)
}

// appendEntries appends the entries from base on as an object and drops them.
func (e *Encoder) appendEntries(dst []byte, o *object, base int) (out []byte, ok bool) {
	slices.SortFunc(e.entries[base:], func(a, b entry) int { return bytes.Compare(a.name, b.name) })
	n := len(e.entries)
	dst = append(dst, '{')
	empty := true
	for i := base; i < n; i++ {
		if i > base && bytes.Equal(e.entries[i].name, e.entries[i-1].name) {
			return dst, false
		}
		m := e.entries[i]
		if m.node == nil && isNull(m.value) {
			continue
		}
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
		dst, _ = jsontext.AppendQuote(dst, m.name) // is valid UTF-8 by now
		dst = append(dst, ':')
		if m.node != nil {
			dst, ok = e.appendStrays(dst, o, m.node)
		} else {
			dst, ok = e.appendCanonical(dst, m.value)
		}
		if !ok {
			return dst, false
		}
	}
	e.entries = e.entries[:base]
	return append(dst, '}'), true
}

// appendCanonical appends a raw JSON value in canonical form; false where a member of an object comes twice.
func (e *Encoder) appendCanonical(dst, raw []byte) (out []byte, ok bool) {
	switch raw[0] {
	case '{':
		base := len(e.entries)
		for i, more := begin(raw, 0, '}'); more; {
			end := stringEnd(raw, i)
			start := afterColon(raw, end)
			name := nameText(raw[i:end])
			end = valueEnd(raw, start, maxDepth)
			e.entries = append(e.entries, entry{name: name, value: raw[start:end]})
			i, more = next(raw, end, '}')
		}
		return e.appendEntries(dst, nil, base)
	case '[':
		dst = append(dst, '[')
		for i, more := begin(raw, 0, ']'); more; {
			end := valueEnd(raw, i, maxDepth)
			if dst, ok = e.appendCanonical(dst, raw[i:end]); !ok {
				return dst, false
			}
			if i, more = next(raw, end, ']'); more {
				dst = append(dst, ',')
			}
		}
		return append(dst, ']'), true
	case '"':
		if plainASCII(raw[1 : len(raw)-1]) {
			return append(dst, raw...), true
		}
		e.word, _ = appendText(e.word[:0], raw)
		dst, _ = jsontext.AppendQuote(dst, e.word)
		return dst, true
	}
	if !readableNumber(raw) {
		return append(append(append(dst, '"'), raw...), '"'), true
	}
	return append(dst, raw...), true
}

// readableNumber reports whether a number, or a literal, can be left as it came.
func readableNumber(raw []byte) bool {
	if raw[0] > '9' {
		return true
	}
	n, _ := splitNumber(raw)
	return len(raw) <= maxNumberLength && n.exp <= maxNumberExp && n.exp >= -maxNumberExp
}

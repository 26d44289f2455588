package schema

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// AnswerError refuses an answer of Harvest (P11): an object in it cannot be one of the stream.
type AnswerError struct {
	Stream string
	ID     int64 // of the object; 0 where it has no usable one
	Reason string
	Err    error // of the JSON decoder; nil otherwise
}

func (e *AnswerError) Error() string {
	s := e.Stream + " object"
	if e.ID != 0 {
		s = fmt.Sprintf("%s %d", s, e.ID)
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", s, e.Reason, e.Err)
	}
	return s + ": " + e.Reason
}

func (e *AnswerError) Unwrap() error { return e.Err }

// Encoder turns the JSON objects of one stream and account into records. It keeps its buffers and is not for concurrent use.
//
// One walk over the bytes checks their grammar and notes where each field's value stands (scan), and one over the fields, in the
// schema's order, encodes them (encode). An object like the one before is only compared with it (alike).
type Encoder struct {
	NoText bool // nobody asks for Record.Text

	stream  *Stream
	account int64
	top     *object

	rec     *Record // at hand
	misfits bool    // something in the array at hand did not fit
	faulty  bool    // something of the object at hand was counted as a fault
	number  uint64  // of the JSON object at hand
	arena   []byte  // Bodies since Reset
	faults  []fault

	pattern pattern
	unlike  bool     // no object is a pattern: see blocks
	places  []place  // of the object at hand, as the pattern's
	starts  []int    // where each field of the object at hand begins in its body, and where the last one ends
	parts   []uint64 // what each adds to the content hash
	patched []patch  // what the object at hand has in the place of the pattern's values
	patches []byte   // its encodings
	write   bool     // they are wanted
	quiet   bool     // faults are not counted: with one, the object is read again member by member

	elements, text, word []byte // scratch: an array; a text or an extra; a text inside an extra
	entries              []entry
}

// NewEncoder returns an encoder for a stream of the catalogue.
func NewEncoder(st *Stream, account int64, omit Omit) *Encoder {
	top, err := newObject("", st.Schema, st, omit)
	if err != nil {
		panic(err) // Load has refused the stream
	}
	e := &Encoder{stream: st, account: account, top: top, starts: make([]int, len(top.fields)+1), parts: make([]uint64, len(top.fields))}
	e.unlike = !top.blocks()
	return e
}

// Reset frees the Bodies of all records since the last Reset and forgets their faults: call it once they are published.
func (e *Encoder) Reset() {
	e.arena = e.arena[:0]
	e.faults = e.faults[:0]
}

// Decode reads the object that b begins with, of a child stream under the given parent, and returns where it ends; what follows is
// not looked at. Only what is no object of the stream at all is refused, with an *AnswerError: what is not JSON, no usable id, a member
// twice, nesting or arrays beyond all measure. What merely does not fit its field goes to extra (P14).
func (e *Encoder) Decode(b []byte, parent int64, rec *Record) (n int, err error) {
	return e.DecodeNew(b, parent, 0, rec)
}

// DecodeNew is Decode, but may leave Body nil where the content hash is the known one: of such an object nothing is published.
func (e *Encoder) DecodeNew(b []byte, parent int64, known uint64, rec *Record) (n int, err error) {
	*rec = Record{Day: NoDay, Parent: parent, Owner: parent}
	i := skipSpace(b, 0)
	if len(b) > maxObject || at(b, i) != '{' {
		return 0, &AnswerError{Stream: e.stream.Name, Reason: "not an object"}
	}
	e.rec = rec
	row := b[i:]
	if n = e.alike(row, parent, known); n == 0 {
		var reason string
		if n, reason = e.members(row, parent); reason != "" {
			return 0, e.refuse(b, max(rec.ID, 0), reason)
		}
	}
	if !e.faulty && !e.NoText {
		rec.Text = textOf(row[:n])
	}
	return i + n, nil
}

// members decodes the object that b begins with member by member and makes it the pattern of others.
func (e *Encoder) members(b []byte, parent int64) (n int, reason string) {
	*e.rec = Record{Day: NoDay, Parent: parent, Owner: parent}
	e.faulty = false
	e.places = e.places[:0]
	e.begin(e.top)
	if n, reason = e.scan(e.top, e.top.root, b, 0, maxDepth); reason != "" {
		return 0, reason
	}
	start := len(e.arena)
	if reason = e.encode(b[:n]); reason != "" {
		e.arena = e.arena[:start]
		return 0, reason
	}
	e.rec.Body = e.arena[start:len(e.arena):len(e.arena)]
	if !e.faulty {
		e.keep(b[:n])
	}
	return n, ""
}

// refuse makes the error for an object; where its JSON is wrong, a reader that is good at saying so says where.
func (e *Encoder) refuse(b []byte, id int64, reason string) error {
	refusal := &AnswerError{Stream: e.stream.Name, ID: id, Reason: reason}
	if reason == reasonJSON {
		dec := jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		_, refusal.Err = dec.ReadValue()
	}
	return refusal
}

// Reasons of an AnswerError.
const (
	reasonJSON      = "reading JSON"
	reasonDepth     = "nested too deep"
	reasonElements  = "array of too many elements"
	reasonDuplicate = "a member comes twice"
	reasonID        = "no usable id"
)

// begin forgets the object before.
func (e *Encoder) begin(o *object) {
	e.number++
	o.number = e.number
	o.strays = o.strays[:0]
	clear(o.vals)
}

// scan notes where the values of an object stand, which begins at b[i] and may nest up to depth. It returns the index after it, or
// a reason to refuse the answer.
func (e *Encoder) scan(o *object, n *node, b []byte, i, depth int) (end int, reason string) {
	if depth == 0 {
		return 0, reasonDepth
	}
	e.number++
	number := e.number
	i, more := begin(b, i, '}')
	link := &n.first
	for more {
		index, nameEnd := n.find(b, i, *link)
		start := afterColon(b, nameEnd)
		if start <= 0 {
			return 0, reasonJSON
		}
		if index == len(n.members) {
			if end = valueEnd(b, start, depth-1); end <= 0 {
				return 0, reasonOf(end)
			}
			e.unknown(o, n, nameText(b[i:nameEnd]), b[start:end])
		} else {
			*link = index
			m := &n.members[index]
			link = &m.next
			if m.seen == number {
				return 0, reasonDuplicate
			}
			m.seen = number
			if end, reason = e.member(o, n, m, b, start, depth-1); reason != "" {
				return 0, reason
			}
			if n == e.top.root {
				e.places = append(e.places, place{member: m, start: start, end: end})
			}
		}
		i, more = next(b, end, '}')
	}
	if i <= 0 {
		return 0, reasonJSON
	}
	return i, ""
}

// reasonOf says why a value has no end.
func reasonOf(end int) string {
	if end == tooDeep {
		return reasonDepth
	}
	return reasonJSON
}

// member notes a known member's value, which begins at b[start].
func (e *Encoder) member(o *object, n *node, m *member, b []byte, start, depth int) (end int, reason string) {
	if m.node != nil && at(b, start) == '{' {
		return e.scan(o, m.node, b, start, depth)
	}
	if end = valueEnd(b, start, depth); end <= 0 {
		return 0, reasonOf(end)
	}
	switch {
	case m.node == nil:
		o.vals[m.field] = span{uint32(start), uint32(end)}
	case !isNull(b[start:]):
		e.misfit(o, n, m.node.name, b[start:end], FaultType, m.node.omits)
	}
	return end, ""
}

// unknown keeps a member that no field is made of.
func (e *Encoder) unknown(o *object, n *node, name, value []byte) {
	if isNull(value) { // as if it were missing, unless its name comes twice
		o.strays = append(o.strays, stray{n, name, value})
		return
	}
	e.rec.Unknown++
	e.fault(n, name, FaultUnknown)
	o.stray(n, name, value)
}

// misfit keeps a value that does not fit (P14). In an array's objects nothing of it is kept by itself: the whole array is. With
// something of it left out (HARVEST_OMIT), it is dropped.
func (e *Encoder) misfit(o *object, n *node, name, value []byte, reason string, omits bool) {
	e.rec.Bad++
	e.fault(n, name, reason)
	switch {
	case o != e.top:
		e.misfits = true
	case !omits:
		o.stray(n, name, value)
	}
}

func (o *object) stray(n *node, name, value []byte) {
	n.markStray(o.number)
	o.strays = append(o.strays, stray{n, name, value})
}

// encode appends the record's fields to the arena and fills in what the record says of itself.
func (e *Encoder) encode(raw []byte) (reason string) {
	rec, body := e.rec, len(e.arena)
	var timers uint64
	for i := range e.top.fields {
		f := &e.top.fields[i]
		var v value
		e.starts[i] = len(e.arena) - body
		switch {
		case f.fixed:
			v, reason = e.fixed(f)
		default:
			e.arena, v, reason = e.value(e.arena, e.top, f, raw, e.top.vals[i])
		}
		if reason != "" {
			return reason
		}
		if v.ok {
			rec.set(f.role, v.n)
		}
		part := f.part(v)
		e.parts[i] = part
		rec.Hash += part
		if f.Timer {
			timers += part
		}
	}
	e.starts[len(e.top.fields)] = len(e.arena) - body
	rec.Rest = rec.Hash - timers
	return ""
}

// part is what a value adds to the content hash.
func (f *field) part(v value) uint64 {
	if !v.ok || !f.Compare {
		return 0
	}
	return mix(f.name, v.hash)
}

// fixed appends a field that is not from JSON.
func (e *Encoder) fixed(f *field) (v value, reason string) {
	switch {
	case f.omit:
		e.arena = append(e.arena, branchNull)
		return value{}, ""
	case f.role == roleExtra:
		e.arena, reason = e.extra(e.arena, e.top)
		return value{}, reason
	case f.role == roleParent:
		v.n = e.rec.Parent
	default:
		v.n = e.account
	}
	v.ok, v.hash = true, uint64(v.n)
	if !f.Required {
		e.arena = append(e.arena, branchValue)
	}
	e.arena = appendLong(e.arena, v.n)
	return v, ""
}

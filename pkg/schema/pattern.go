package schema

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Rows of a list are alike: the same members in the same order, many values those of the row before. So the encoder keeps one row that
// it read member by member, the pattern, and of those after it reads only the values in which they differ: what is equal was checked,
// hashed and encoded before. A row that differs in anything but values of known members of its own, or has a value that does not fit,
// is read member by member.
type pattern struct {
	raw    []byte // the row; empty: there is none
	body   []byte
	rec    Record
	places []place
}

// place is where the pattern has a known member's value, and what became of it.
type place struct {
	*member
	start, end int    // in raw
	from, to   int    // in body
	part       uint64 // of the content hash
}

// patch is what a body has instead of a part of the pattern's.
type patch struct {
	from, to int
	bytes    []byte
}

// alike decodes the row that b begins with as far as it differs from the pattern; known is as for DecodeNew. It returns the row's length,
// 0 where it has to be read member by member, whatever the reason.
func (e *Encoder) alike(b []byte, parent int64, known uint64) (length int) {
	if len(e.pattern.raw) == 0 || e.pattern.rec.Parent != parent {
		return 0
	}
	e.quiet = true
	if length = e.compare(b, known == 0); length > 0 && known != 0 && e.rec.Hash != known {
		length = e.compare(b, true)
	}
	e.quiet = false
	return length
}

// compare is alike, with a body or without.
func (e *Encoder) compare(b []byte, write bool) (length int) {
	p := &e.pattern
	*e.rec = p.rec
	e.begin(e.top)
	e.patches, e.patched, e.faulty, e.write = e.patches[:0], e.patched[:0], false, write
	i, at, next := 0, 0, 0
	for {
		n := samePrefix(b[i:], p.raw[at:])
		if i, at = i+n, at+n; at == len(p.raw) {
			break
		}
		for next < len(p.places) && p.places[next].end < at {
			next++
		}
		if next == len(p.places) || at < p.places[next].start {
			return 0
		}
		l := &p.places[next]
		if i = e.differs(b, i-(at-l.start), l); i == 0 {
			return 0
		}
		at = l.end
		next++
	}
	if write {
		e.assemble()
	}
	return i
}

// differs reads the value that begins at b[i] and stands where the pattern has another one. It returns its end, 0 where it does not fit.
func (e *Encoder) differs(b []byte, i int, l *place) (end int) {
	if l.node != nil {
		return e.object(b, i, l)
	}
	f := &e.top.fields[l.field]
	start := len(e.patches)
	v, text, end := f.plain(b, i)
	if end == 0 {
		if end = valueEnd(b, i, maxDepth-1); end <= 0 {
			return 0
		}
		var fits bool
		if v, fits = e.append(f, b, span{uint32(i), uint32(end)}); !fits {
			return 0
		}
	} else if e.write {
		e.patches = f.appendPlain(e.patches, v, text)
	}
	part := f.part(v) - l.part
	e.rec.Hash += part
	if !f.Timer {
		e.rec.Rest += part
	}
	e.rec.take(f.role, v)
	e.patch(l, e.patches[start:])
	return end
}

// append is Encoder.value for a row that is being compared; false where the value does not fit.
func (e *Encoder) append(f *field, b []byte, at span) (v value, fits bool) {
	var reason string
	e.patches, v, reason = e.value(e.patches, e.top, f, b, at)
	return v, reason == "" && !e.faulty
}

// patch notes what stands in the place of the pattern's value. Patches are in the order of the body.
func (e *Encoder) patch(l *place, encoded []byte) {
	if !e.write {
		return
	}
	i := len(e.patched)
	e.patched = e.patched[:i+1] // at most one for each place
	p := &e.patched[i]
	p.from, p.to, p.bytes = l.from, l.to, encoded
	for ; i > 0 && e.patched[i-1].from > l.from; i-- {
		e.patched[i-1], e.patched[i] = e.patched[i], e.patched[i-1]
	}
}

// assemble makes the record's body of the pattern's and the patches.
func (e *Encoder) assemble() {
	start, from, body := len(e.arena), 0, e.pattern.body
	for i := range e.patched {
		p := &e.patched[i]
		e.arena = append(append(e.arena, body[from:p.from]...), p.bytes...)
		from = p.to
	}
	e.arena = append(e.arena, body[from:]...)
	e.rec.Body = e.arena[start:len(e.arena):len(e.arena)]
}

// keep makes the row that was just read member by member the pattern.
func (e *Encoder) keep(raw []byte) {
	if e.unlike || len(raw) > math.MaxUint16 { // few rows are so long, and each encoder keeps one
		return
	}
	p := &e.pattern
	p.raw, p.body = append(p.raw[:0], raw...), append(p.body[:0], e.rec.Body...)
	p.places, e.places = e.places, p.places
	p.rec = *e.rec
	p.rec.Body = nil
	e.patched = slices.Grow(e.patched[:0], len(p.places))
	for i := range p.places {
		l := &p.places[i]
		first, after := l.field, l.field+1
		if l.node != nil {
			first, after = l.node.fields.first, l.node.fields.after
		}
		l.from, l.to, l.part = e.starts[first], e.starts[after], 0
		for _, part := range e.parts[first:after] {
			l.part += part
		}
	}
}

// blocks notes which fields the embedded objects have; false where a pattern cannot tell: those of one do not lie together, or a timer or
// what a record tells of itself is among them, other than the owner.
func (o *object) blocks() bool {
	for i := range o.fields {
		f := &o.fields[i]
		if f.at == nil || f.at == o.root {
			continue
		}
		n := f.at
		switch {
		case n.parent != o.root || f.Timer || f.role != roleNone && f.role != roleOwner:
			return false
		case n.fields.after == 0:
			n.fields.first = i
		case n.fields.after != i:
			return false
		}
		n.fields.after = i + 1
		n.owner = n.owner || f.role == roleOwner
	}
	return true
}

// take takes over the value of a member of the row's own with a role, or that there is none.
func (rec *Record) take(r role, v value) {
	switch {
	case r == roleNone:
	case v.ok:
		rec.set(r, v.n)
	case r == roleDay:
		rec.Day = NoDay
	default:
		rec.set(r, 0)
	}
}

// samePrefix returns how many bytes a and b have in common from their beginning on. Inlined, its loop would run out of registers.
//
//go:noinline
func samePrefix(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

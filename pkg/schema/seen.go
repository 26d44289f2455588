package schema

import (
	"bytes"
	"encoding/binary"
)

// Of embedded objects (a client, a task, the assignment of a user) there are few, and they come again and again. So each node of a plan
// keeps those it met last, with what became of them, and knows them by their bytes.
type seen struct {
	raw, body []byte // its JSON, the encodings of its fields
	part      uint64 // of the content hash
	owner     int64  // Record.Owner, where it is one of its fields
}

const (
	seenBits = 11  // of a slot's number: so many objects a node keeps at most
	seenSize = 512 // of the largest it keeps
)

// object is differs of an embedded object.
func (e *Encoder) object(b []byte, i int, l *place) (end int) {
	n := l.node
	s := n.slot(b, i)
	if s == nil || len(s.raw) == 0 || !bytes.HasPrefix(b[i:], s.raw) {
		if s, end = e.read(b, i, n, s); end == 0 {
			return 0
		}
	} else {
		end = i + len(s.raw)
	}
	e.rec.Hash += s.part - l.part
	e.rec.Rest += s.part - l.part // P8: no timer is in an embedded object
	if n.owner {
		e.rec.Owner = s.owner
	}
	e.patch(l, s.body)
	return end
}

// read reads an embedded object, or the null in its place, member by member. It is kept in s, if that is not nil and takes it.
func (e *Encoder) read(b []byte, i int, n *node, s *seen) (_ *seen, end int) {
	switch at(b, i) {
	case '{':
		var reason string
		if end, reason = e.scan(e.top, n, b, i, maxDepth-1); reason != "" {
			return nil, 0
		}
	case 'n':
		if end = literalEnd(b, i, "null"); end == 0 {
			return nil, 0
		}
	default:
		return nil, 0
	}
	if s == nil || end-i > seenSize {
		s = new(seen)
	}
	s.raw, s.part, s.owner = s.raw[:0], 0, e.rec.Parent // no longer what it was, also where the new one does not fit
	start := len(e.patches)
	for j := n.fields.first; j < n.fields.after; j++ {
		f := &e.top.fields[j]
		v, fits := e.append(f, b, e.top.vals[j])
		if !fits {
			return nil, 0
		}
		s.part += f.part(v)
		if f.role == roleOwner && v.ok {
			s.owner = v.n
		}
	}
	s.raw, s.body = append(s.raw, b[i:end]...), append(s.body[:0], e.patches[start:]...)
	return s, end
}

// slot returns where an object is kept, by bytes that tell most of them apart: those of its id and what follows. It returns nil close to
// the end of b.
func (n *node) slot(b []byte, i int) *seen {
	const id = len(`{"id":`)
	if len(b) < i+id+16 {
		return nil
	}
	if n.seen == nil {
		n.seen = make([]*seen, 1<<seenBits)
	}
	h := binary.LittleEndian.Uint64(b[i+id:])*0x9E3779B97F4A7C15 ^ binary.LittleEndian.Uint64(b[i+id+8:])
	s := &n.seen[h*0xC2B2AE3D27D4EB4F>>(64-seenBits)]
	if *s == nil {
		*s = new(seen)
	}
	return *s
}

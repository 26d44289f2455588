package schema

import "math"

// Text is enough of an object's JSON to know the very same bytes again. The zero value is no text; objects of 64 KiB and more have
// none. It is comparable within this process only.
type Text struct {
	Hash uint64
	Size uint16 // 0: none
}

func textOf(b []byte) Text {
	if len(b) > math.MaxUint16 {
		return Text{}
	}
	return Text{Hash: hashBytes(b), Size: uint16(len(b))}
}

// Begins returns the text's length where b begins with it, 0 otherwise.
func (t Text) Begins(b []byte) int {
	n := int(t.Size)
	if n == 0 || n > len(b) || hashBytes(b[:n]) != t.Hash {
		return 0
	}
	return n
}

// LeadingID returns the id of an object whose first member it is, as in all that Harvest sends: {"id":2871330945,… It checks nothing
// else; 0 is none.
func LeadingID(b []byte) (id int64) {
	const before = `{"id":`
	if len(b) < len(before) || string(b[:len(before)]) != before {
		return 0
	}
	end := digitsEnd(b, len(before))
	if end-len(before) > 18 {
		return 0
	}
	for _, c := range b[len(before):end] {
		id = id*10 + int64(c-'0')
	}
	return id
}

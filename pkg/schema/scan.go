package schema

import (
	"bytes"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here walk JSON that jsontext has read already: they rely on its grammar and check only what jsontext does not.

// Bounds on one object (reliability §3.1).
const (
	maxDepth    = 64
	maxElements = 100_000
	maxObject   = math.MaxInt32
)

// skipSpace returns the index of the first byte from i that is no white space.
func skipSpace(b []byte, i int) int {
	for b[i] <= ' ' {
		i++
	}
	return i
}

// stringEnd returns the index after the string that begins at b[i].
func stringEnd(b []byte, i int) int {
	for i++; ; i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}

// valueEnd returns the index after the value that begins at b[i], 0 where it is nested deeper than depth.
func valueEnd(b []byte, i, depth int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		return nestedEnd(b, i, depth)
	}
	for i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']' {
		i++
	}
	return i
}

func nestedEnd(b []byte, i, depth int) int {
	for level := 0; ; i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			if level++; level > depth {
				return 0
			}
		case '}', ']':
			if level--; level == 0 {
				return i + 1
			}
		}
	}
}

// next returns the index of the member or element after the value that ended at b[i], and whether there is one.
func next(b []byte, i int) (int, bool) {
	if i = skipSpace(b, i); b[i] != ',' {
		return i + 1, false
	}
	return skipSpace(b, i+1), true
}

// begin returns the index of the first member or element of the object or array that begins at b[i], and whether there is one.
func begin(b []byte, i int) (int, bool) {
	i = skipSpace(b, i+1)
	return i, b[i] != '}' && b[i] != ']'
}

// afterColon returns the index of the value of the member whose name ended at b[i].
func afterColon(b []byte, i int) int { return skipSpace(b, skipSpace(b, i)+1) }

// isNull reports whether a raw value is null.
func isNull(raw []byte) bool { return raw[0] == 'n' }

// plainASCII reports whether the inside of a JSON string stands for itself: no escape, nothing beyond ASCII.
func plainASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || c == '\\' {
			return false
		}
	}
	return true
}

// nameText returns the text of a member's name, a part of raw where it stands for itself.
func nameText(raw []byte) []byte {
	if inside := raw[1 : len(raw)-1]; plainASCII(inside) {
		return inside
	}
	text, _ := appendText(nil, raw)
	return text
}

// appendText appends the text of a JSON string as it may be stored: U+0000, which databases do not take, invalid UTF-8 and halves
// of surrogate pairs become U+FFFD. It reports whether any did.
func appendText(dst, raw []byte) (out []byte, replaced bool) {
	if inside := raw[1 : len(raw)-1]; plainASCII(inside) {
		return append(dst, inside...), false
	}
	start := len(dst)
	dst, err := jsontext.AppendUnquote(dst, raw)
	if bytes.IndexByte(dst[start:], 0) >= 0 {
		text := bytes.ReplaceAll(dst[start:], []byte{0}, []byte("\uFFFD"))
		return append(dst[:start], text...), true
	}
	return dst, err != nil
}

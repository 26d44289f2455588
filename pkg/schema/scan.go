package schema

import (
	"bytes"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here walk JSON and check its grammar (RFC 8259) as they go, so that an object is read once. What they accept, the
// general reader accepts, and the other way round (FuzzGrammar). An index of 0 or below is none: the reasons are two.
const (
	noJSON  = 0
	tooDeep = -1
)

// Bounds on one object (reliability §3.1).
const (
	maxDepth    = 64
	maxElements = 100_000
	maxObject   = math.MaxInt32
)

// at returns the byte b[i], 0 behind the end: no byte of JSON's grammar.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// skipSpace returns the index of the first byte from i that is no white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// stringEnd returns the index after the string that begins at b[i].
func stringEnd(b []byte, i int) int {
	if at(b, i) != '"' {
		return noJSON
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return noJSON
		case c == '\\':
			if i = escapeEnd(b, i) - 1; i < 0 {
				return noJSON
			}
		}
	}
	return noJSON
}

// escapeEnd returns the index after the escape that begins at b[i].
func escapeEnd(b []byte, i int) int {
	switch at(b, i+1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if c := at(b, j); c-'0' > 9 && (c|0x20)-'a' > 5 {
				return noJSON
			}
		}
		return i + 6
	}
	return noJSON
}

// valueEnd returns the index after the value that begins at b[i] and may nest up to depth.
func valueEnd(b []byte, i, depth int) int {
	switch at(b, i) {
	case '"':
		return stringEnd(b, i)
	case '{':
		return objectEnd(b, i, depth)
	case '[':
		return arrayEnd(b, i, depth)
	case 'n':
		return literalEnd(b, i, "null")
	case 't':
		return literalEnd(b, i, "true")
	case 'f':
		return literalEnd(b, i, "false")
	}
	return numberEnd(b, i)
}

func objectEnd(b []byte, i, depth int) int {
	if depth == 0 {
		return tooDeep
	}
	i, more := begin(b, i, '}')
	for more {
		if i = afterColon(b, stringEnd(b, i)); i <= 0 {
			return i
		}
		if i = valueEnd(b, i, depth-1); i <= 0 {
			return i
		}
		i, more = next(b, i, '}')
	}
	return i
}

func arrayEnd(b []byte, i, depth int) int {
	if depth == 0 {
		return tooDeep
	}
	i, more := begin(b, i, ']')
	for more {
		if i = valueEnd(b, i, depth-1); i <= 0 {
			return i
		}
		i, more = next(b, i, ']')
	}
	return i
}

func literalEnd(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return noJSON
}

// numberEnd returns the index after the number that begins at b[i].
func numberEnd(b []byte, i int) int {
	if at(b, i) == '-' {
		i++
	}
	start := i
	if i = digitsEnd(b, i); i == start || i > start+1 && b[start] == '0' {
		return noJSON
	}
	if at(b, i) == '.' {
		start = i + 1
		if i = digitsEnd(b, start); i == start {
			return noJSON
		}
	}
	if at(b, i)|0x20 != 'e' {
		return i
	}
	if i++; at(b, i) == '+' || at(b, i) == '-' {
		i++
	}
	start = i
	if i = digitsEnd(b, i); i == start {
		return noJSON
	}
	return i
}

// next returns the index of the member or element after the value that ended at b[i], and whether there is one: without, the index
// is that behind the closing bracket.
func next(b []byte, i int, closing byte) (int, bool) {
	switch i = skipSpace(b, i); at(b, i) {
	case ',':
		return skipSpace(b, i+1), true
	case closing:
		return i + 1, false
	}
	return noJSON, false
}

// begin returns the index of the first member or element of the object or array that begins at b[i], as next does of others.
func begin(b []byte, i int, closing byte) (int, bool) {
	if i = skipSpace(b, i+1); at(b, i) == closing {
		return i + 1, false
	}
	return i, true
}

// afterColon returns the index of the value of the member whose name ended at b[i].
func afterColon(b []byte, i int) int {
	if i <= 0 {
		return i
	}
	if i = skipSpace(b, i); at(b, i) != ':' {
		return noJSON
	}
	return skipSpace(b, i+1)
}

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

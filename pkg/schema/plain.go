package schema

import (
	"encoding/binary"
	"math/bits"
)

// plain reads the value that begins at b[i] where it has the plainest of its field's forms, as nearly all of Harvest's have, in one step;
// of a Decimal n counts the billionths, text is a String's. Elsewhere end is 0, which is no verdict: see Encoder.value. What follows has to
// be what follows the pattern's value, so a number is not cut short.
func (f *field) plain(b []byte, i int) (v value, text []byte, end int) {
	switch c := at(b, i); {
	case f.omit || f.role == roleID && c == '0':
		return v, nil, 0
	case c == 'n' && !f.Required:
		return v, nil, literalEnd(b, i, "null")
	}
	switch f.Kind {
	case Long:
		v.n, end = plainLong(b, i)
		v.hash = uint64(v.n)
	case Bool:
		if end = literalEnd(b, i, "false"); end == 0 {
			end, v.n, v.hash = literalEnd(b, i, "true"), 1, 1
		}
	case Decimal:
		v.n, end = plainDecimal(b, i)
		v.hash = mix(uint64(v.n), 0)
	case Date, Timestamp:
		v.n, end = plainTime(f.Kind, b, i)
		v.hash = uint64(v.n)
	case String:
		if end = plainString(b, i); end > 0 {
			if text = b[i+1 : end-1]; f.Compare {
				v.hash = hashBytes(text)
			}
		}
	}
	v.ok = end > 0
	return v, text, end
}

// appendPlain appends what plain read.
func (f *field) appendPlain(dst []byte, v value, text []byte) []byte {
	if !v.ok {
		return append(dst, branchNull)
	}
	if !f.Required {
		dst = append(dst, branchValue)
	}
	switch f.Kind {
	case Bool:
		return append(dst, byte(v.n))
	case Decimal:
		return decimal{lo: uint64(v.n)}.append(dst)
	case String:
		return append(appendLong(dst, int64(len(text))), text...)
	}
	return appendLong(dst, v.n)
}

// plainLong reads an integer of at most 18 digits without a sign.
func plainLong(b []byte, i int) (n int64, end int) {
	for end = i; end < len(b) && b[end]-'0' <= 9; end++ {
		n = n*10 + int64(b[end]-'0')
	}
	if digits := end - i; digits == 0 || digits > 18 || b[i] == '0' && digits > 1 {
		return 0, 0
	}
	return n, end
}

// plainDecimal reads, as billionths, a number of at most nine digits on either side of the point, without sign and exponent.
func plainDecimal(b []byte, i int) (n int64, end int) {
	for end = i; end < len(b) && b[end]-'0' <= 9; end++ {
		n = n*10 + int64(b[end]-'0')
	}
	if digits := end - i; digits == 0 || digits > 9 || b[i] == '0' && digits > 1 {
		return 0, 0
	}
	places := 0
	if at(b, end) == '.' {
		first := end + 1
		for end = first; end < len(b) && b[end]-'0' <= 9; end++ {
			n = n*10 + int64(b[end]-'0')
		}
		if places = end - first; places == 0 || places > decimalScale {
			return 0, 0
		}
	}
	return n * int64(pow10[decimalScale-places]), end
}

// plainTime reads "2017-06-26" or "2017-06-26T22:32:52Z".
func plainTime(kind Kind, b []byte, i int) (n int64, end int) {
	length := len(`"2017-06-26"`)
	if kind == Timestamp {
		length = len(`"2017-06-26T22:32:52Z"`)
	}
	if end = i + length; end > len(b) || b[end-1] != '"' {
		return 0, 0
	}
	n, fault := parseTime(kind, b[i:end])
	if fault != "" {
		return 0, 0
	}
	return n, end
}

// plainString returns the end of a string of ASCII without escapes.
func plainString(b []byte, i int) (end int) {
	if at(b, i) != '"' {
		return 0
	}
	for i++; i+8 <= len(b); i += 8 {
		if marks := notPlain(binary.LittleEndian.Uint64(b[i:])); marks != 0 {
			i += bits.TrailingZeros64(marks) / 8
			break
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] < 0x80 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	if at(b, i) != '"' {
		return 0
	}
	return i + 1
}

// notPlain marks, by their highest bits, the bytes of a word that are a quote, a backslash, below space or beyond ASCII. The lowest mark
// is right; above it there may be wrong ones.
func notPlain(w uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^'"'*ones, w^'\\'*ones
	return (w | (w-' '*ones)&^w | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
}

package schema

import (
	"math/bits"
	"strconv"
)

// Decimals are decimal(38,9): an integer of at most 38 digits that counts billionths.
const (
	decimalDigits = 38
	decimalScale  = 9
	billion       = 1_000_000_000
	maxExponent   = 1 << 30 // beyond it exponents are all alike
)

// pow10hi, pow10lo are 10^38, the first number with too many digits.
const (
	pow10hi = 0x4b3b4ca85a86c47a
	pow10lo = 0x098a224000000000
)

var pow10 = func() (p [20]uint64) {
	p[0] = 1
	for i := range p[1:] {
		p[i+1] = p[i] * 10
	}
	return p
}()

// decimal is a number of 128 bits; as two's complement where it comes from bytes, as magnitude and sign elsewhere.
type decimal struct {
	hi, lo uint64
	neg    bool
}

// parseState says what became of a number's text.
type parseState uint8

const (
	exact    parseState = iota
	rounded             // had more than nine places that are not zero
	overlong            // more than 38 digits
	noNumber            // no number in JSON's grammar
)

// parseDecimal reads a JSON number's text as billionths, exactly; what goes beyond nine places is rounded half to even. It works
// in constant space, whatever the exponent.
func parseDecimal(text []byte) (decimal, parseState) {
	n, ok := splitNumber(text)
	if !ok {
		return decimal{}, noNumber
	}
	d := decimal{neg: n.neg}
	shift := n.exp - n.places + decimalScale // the digits, an integer, times 10^shift are the billionths
	keep := n.digits
	if shift < 0 {
		keep = max(n.digits+shift, 0)
	}
	if keep+max(shift, 0) > decimalDigits && n.digits > 0 {
		return d, overlong
	}
	rest, pos := cutZero, 0
	for _, c := range n.text {
		if c == '.' {
			continue
		}
		if pos++; pos <= keep {
			d.mulAdd(10, uint64(c-'0'))
		} else {
			rest = rest.add(pos-keep, c)
		}
	}
	for n.digits > 0 && shift > 0 {
		step := min(shift, len(pow10)-1)
		d.mulAdd(pow10[step], 0)
		shift -= step
	}
	state := exact
	if rest != cutZero {
		state = rounded
		below := n.digits+shift < 0 // zeros precede the first digit that is cut off
		if !below && (rest == cutAbove || rest == cutHalf && d.lo&1 == 1) {
			d.mulAdd(1, 1)
		}
	}
	if d.tooLong() {
		return d, overlong
	}
	if d.hi|d.lo == 0 {
		d.neg = false
	}
	return d, state
}

// cut is what is cut off, compared with half a billionth.
type cut uint8

const (
	cutZero cut = iota
	cutBelow
	cutHalf
	cutAbove
)

// add takes the nth digit that is cut off into account.
func (c cut) add(n int, digit byte) cut {
	switch {
	case n == 1 && digit > '5', c == cutHalf && digit > '0':
		return cutAbove
	case n == 1 && digit == '5':
		return cutHalf
	case c == cutZero && digit > '0':
		return cutBelow
	}
	return c
}

// number is a JSON number's text taken apart.
type number struct {
	neg    bool
	text   []byte // digits without leading zeros, among them perhaps the point
	digits int    // their number
	places int    // of them after the point, leading zeros counted
	exp    int
}

// splitNumber takes a number's text apart by JSON's grammar.
func splitNumber(b []byte) (n number, ok bool) {
	if len(b) > 0 && b[0] == '-' {
		n.neg = true
		b = b[1:]
	}
	i := digitsEnd(b, 0)
	if i == 0 || i > 1 && b[0] == '0' {
		return n, false
	}
	end := i
	if i < len(b) && b[i] == '.' {
		end = digitsEnd(b, i+1)
		n.places = end - i - 1
		if n.places == 0 {
			return n, false
		}
	}
	n.text, n.digits = b[:end], end
	if n.places > 0 {
		n.digits--
	}
	for len(n.text) > 0 && (n.text[0] == '0' || n.text[0] == '.') {
		if n.text[0] == '0' {
			n.digits--
		}
		n.text = n.text[1:]
	}
	if end == len(b) {
		return n, true
	}
	n.exp, ok = exponent(b[end:])
	return n, ok
}

// exponent reads e+12, bounded.
func exponent(b []byte) (exp int, ok bool) {
	if b[0] != 'e' && b[0] != 'E' {
		return 0, false
	}
	b = b[1:]
	neg := len(b) > 0 && b[0] == '-'
	if neg || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 || digitsEnd(b, 0) != len(b) {
		return 0, false
	}
	for _, c := range b {
		exp = min(exp*10+int(c-'0'), maxExponent)
	}
	if neg {
		exp = -exp
	}
	return exp, true
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// mulAdd makes d = d*m + a, for results below 2^128.
func (d *decimal) mulAdd(m, a uint64) {
	hi, lo := bits.Mul64(d.lo, m)
	lo, carry := bits.Add64(lo, a, 0)
	d.hi, d.lo = d.hi*m+hi+carry, lo
}

// tooLong reports whether the number, or the two's complement of a negative one, has more than 38 digits.
func (d decimal) tooLong() bool {
	if d.hi >= 1<<63 { // two's complement of a negative number
		d = d.complement()
	}
	return d.hi > pow10hi || d.hi == pow10hi && d.lo >= pow10lo
}

func (d decimal) complement() decimal {
	lo, carry := bits.Add64(^d.lo, 1, 0)
	return decimal{hi: ^d.hi + carry, lo: lo, neg: d.neg}
}

// signed returns the number as two's complement.
func (d decimal) signed() decimal {
	if d.neg {
		return d.complement()
	}
	return d
}

// divide divides a magnitude by a small number.
func (d decimal) divide(by uint64) (decimal, uint64) {
	lo, rest := bits.Div64(d.hi%by, d.lo, by)
	return decimal{hi: d.hi / by, lo: lo}, rest
}

// append appends two's complement as Avro bytes: length and as few bytes as possible.
func (d decimal) append(dst []byte) []byte {
	v, sign := d.hi, uint64(int64(d.lo)>>63)
	n := 16 // bytes needed
	if v == sign {
		v = d.lo
		n = 8
	}
	n -= (bits.LeadingZeros64(v^uint64(int64(v)>>63)) - 1) / 8
	dst = append(dst, byte(n)<<1)
	for ; n > 8; n-- {
		dst = append(dst, byte(d.hi>>(8*(n-9))))
	}
	for ; n > 0; n-- {
		dst = append(dst, byte(d.lo>>(8*(n-1))))
	}
	return dst
}

// parseDecimalBytes reads at most 16 bytes of two's complement.
func parseDecimalBytes(b []byte) (d decimal) {
	if len(b) > 0 && b[0] >= 0x80 {
		d.hi, d.lo = ^uint64(0), ^uint64(0)
	}
	for _, c := range b {
		d.hi = d.hi<<8 | d.lo>>56
		d.lo = d.lo<<8 | uint64(c)
	}
	return d
}

// AppendDecimal appends the text of a decimal as Cursor.Decimal returns it, without trailing zeros: -12.5.
func AppendDecimal(dst, unscaled []byte) []byte {
	d := parseDecimalBytes(unscaled)
	if d.hi >= 1<<63 {
		d = d.complement()
		dst = append(dst, '-')
	}
	whole, frac := d.divide(billion)
	if upper, lower := bits.Div64(whole.hi, whole.lo, pow10[19]); upper > 0 {
		dst = strconv.AppendUint(dst, upper, 10)
		dst = appendPadded(dst, lower, 19)
	} else {
		dst = strconv.AppendUint(dst, lower, 10)
	}
	if frac == 0 {
		return dst
	}
	dst = appendPadded(append(dst, '.'), frac, decimalScale)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendPadded appends v with leading zeros up to n digits.
func appendPadded(dst []byte, v uint64, n int) []byte {
	start := len(dst)
	for range n {
		dst = append(dst, '0')
	}
	for i := start + n - 1; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

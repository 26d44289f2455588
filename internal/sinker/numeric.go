package sinker

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// errDecimal is a decimal beyond 38 digits.
var errDecimal = errors.New("decimal has more than 38 digits")

const (
	scaleUnit = 1_000_000_000 // decimals have nine places
	myriad    = 10_000        // numeric's base
)

// magnitude reads a big-endian two's complement number as sign and 128-bit magnitude below 10³⁸.
func magnitude(be []byte) (hi, lo uint64, negative bool, err error) {
	if len(be) > 16 {
		return 0, 0, false, errDecimal
	}
	if len(be) > 0 && be[0]&0x80 != 0 {
		hi, lo, negative = ^uint64(0), ^uint64(0), true
	}
	for _, b := range be {
		hi, lo = hi<<8|lo>>56, lo<<8|uint64(b)
	}
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	const maxHi, maxLo = 0x4b3b4ca85a86c47a, 0x098a224000000000 // 10³⁸
	if hi > maxHi || hi == maxHi && lo >= maxLo {
		return 0, 0, false, errDecimal
	}
	return hi, lo, negative, nil
}

// split divides a magnitude into its whole part and its nine places.
func split(hi, lo uint64) (wholeHi, wholeLo, frac uint64) {
	wholeHi, rest := hi/scaleUnit, hi%scaleUnit
	wholeLo, frac = bits.Div64(rest, lo, scaleUnit)
	return wholeHi, wholeLo, frac
}

// appendNumeric appends a decimal(38,9) as a COPY field of type numeric: length, then digits of base 10,000, without trailing
// zeros (design §6).
func appendNumeric(dst, be []byte) ([]byte, error) {
	hi, lo, negative, err := magnitude(be)
	if err != nil {
		return dst, err
	}
	hi, lo, frac := split(hi, lo)
	var digits [11]uint16 // 29 digits before the point, 9 after it
	first := 8            // of the digits before the point, filled from the right
	for hi > 0 {
		var rest uint64
		hi, rest = hi/myriad, hi%myriad
		lo, rest = bits.Div64(rest, lo, myriad)
		first--
		digits[first] = uint16(rest)
	}
	for lo > 0 {
		first--
		digits[first] = uint16(lo % myriad)
		lo /= myriad
	}
	weight := 7 - first
	last := 8
	places := uint16(0)
	if frac > 0 {
		padded := frac * 1000 // twelve places: three digits of base 10,000
		digits[8], digits[9], digits[10] = uint16(padded/(myriad*myriad)), uint16(padded/myriad%myriad), uint16(padded%myriad)
		for places = 9; frac%10 == 0; frac /= 10 {
			places--
		}
		last = 11
	}
	for last > first && digits[last-1] == 0 {
		last--
	}
	for first < last && digits[first] == 0 {
		first++
		weight--
	}
	if first == last {
		weight, negative = 0, false
	}
	n := last - first
	dst = binary.BigEndian.AppendUint32(dst, uint32(8+2*n))
	dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(weight)))
	sign := uint16(0)
	if negative {
		sign = 0x4000
	}
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, places)
	for _, d := range digits[first:last] {
		dst = binary.BigEndian.AppendUint16(dst, d)
	}
	return dst, nil
}

// appendDecimalText appends a decimal(38,9) as a JSON number without trailing zeros.
func appendDecimalText(dst, be []byte) ([]byte, error) {
	hi, lo, negative, err := magnitude(be)
	if err != nil {
		return dst, err
	}
	hi, lo, frac := split(hi, lo)
	if negative {
		dst = append(dst, '-')
	}
	var text [40]byte
	i := len(text)
	for {
		var rest uint64
		hi, rest = hi/10, hi%10
		lo, rest = bits.Div64(rest, lo, 10)
		i--
		text[i] = '0' + byte(rest)
		if hi == 0 && lo == 0 {
			break
		}
	}
	dst = append(dst, text[i:]...)
	if frac == 0 {
		return dst, nil
	}
	dst = append(dst, '.')
	for unit := uint64(scaleUnit / 10); frac > 0; unit /= 10 {
		dst = append(dst, '0'+byte(frac/unit))
		frac %= unit
	}
	return dst, nil
}

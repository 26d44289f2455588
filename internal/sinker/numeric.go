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

// digits are a decimal in numeric's base: up to 29 decimal places before the point, nine after it.
type digits struct {
	list        [11]uint16
	first, last int    // of those that are used; the point is before list[8]
	places      uint16 // after the point, without trailing zeros
}

// appendNumeric appends a decimal(38,9) as a COPY field of type numeric: length, then digits of base 10,000, without trailing
// zeros (design §6).
func appendNumeric(dst, be []byte) ([]byte, error) {
	var d digits
	negative := false
	if len(be) <= 8 { // nearly always
		var v uint64
		for _, b := range be {
			v = v<<8 | uint64(b)
		}
		if len(be) > 0 && be[0]&0x80 != 0 {
			negative = true
			v = -(v | ^uint64(0)<<(8*len(be)))
		}
		d.set(0, v/scaleUnit, v%scaleUnit)
	} else {
		hi, lo, sign, err := magnitude(be)
		if err != nil {
			return dst, err
		}
		negative = sign
		d.set(split(hi, lo))
	}
	weight := 7 - d.first
	if d.first == d.last {
		weight, negative = 0, false
	}
	n := d.last - d.first
	sign := uint64(0)
	if negative {
		sign = 0x4000
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(8+2*n))
	dst = binary.BigEndian.AppendUint64(dst, uint64(n)<<48|uint64(uint16(int16(weight)))<<32|sign<<16|uint64(d.places))
	for _, digit := range d.list[d.first:d.last] {
		dst = binary.BigEndian.AppendUint16(dst, digit)
	}
	return dst, nil
}

// set takes a whole part and its nine places.
func (d *digits) set(hi, lo, frac uint64) {
	d.first, d.last = 8, 8
	for hi > 0 {
		var rest uint64
		hi, rest = hi/myriad, hi%myriad
		lo, rest = bits.Div64(rest, lo, myriad)
		d.first--
		d.list[d.first] = uint16(rest)
	}
	for lo > 0 {
		d.first--
		d.list[d.first] = uint16(lo % myriad)
		lo /= myriad
	}
	if frac > 0 {
		padded := frac * 1000 // twelve places: three digits of base 10,000
		d.list[8], d.list[9], d.list[10] = uint16(padded/(myriad*myriad)), uint16(padded/myriad%myriad), uint16(padded%myriad)
		d.last = 11
		for d.places = 9; frac%10 == 0; frac /= 10 {
			d.places--
		}
	}
	for d.last > d.first && d.list[d.last-1] == 0 {
		d.last--
	}
	for d.first < d.last && d.list[d.first] == 0 {
		d.first++
	}
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

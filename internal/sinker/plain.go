package sinker

import (
	"encoding/binary"
	"math/bits"

	"harveststream/pkg/schema"
)

// appendPlain appends a value as one COPY field if it is of the form that nearly all have, and returns how many bytes of b, which
// begins with the union's branch, it took; 0: the long way has to look at it. It exists for speed alone: in a first load every field of
// every row comes through here, and encoder.field would do the same for each.
func appendPlain(dst, b []byte, kind schema.Kind) ([]byte, int) {
	if len(b) < 10 || b[0] != 2 { // a branch, and a number of eight bytes at most; and not the record's last bytes
		return dst, 0
	}
	if kind == schema.Bool {
		if b[1] > 1 {
			return dst, 0
		}
		return append(dst, 0, 0, 0, 1, b[1]), 2
	}
	v, n := varint(b[1:])
	if n++; n == 1 {
		return dst, 0
	}
	switch kind {
	case schema.Long:
		return appendLong(dst, v), n
	case schema.Timestamp:
		if v < minMillis || v > maxMillis {
			return dst, 0
		}
		return appendLong(dst, (v-epochMillis)*1000), n
	case schema.Date:
		if v < minDay || v > maxDay {
			return dst, 0
		}
		return binary.BigEndian.AppendUint64(dst, 4<<32|uint64(uint32(v-epochDays))), n
	case schema.String:
		if v < 0 || v > int64(len(b)-n) || !clean(b[n:n+int(v)]) {
			return dst, 0
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(v))
		return append(dst, b[n:n+int(v)]...), n + int(v)
	case schema.Decimal:
		if v < 1 || v > 8 || len(b)-n < 8 {
			return dst, 0
		}
		unscaled := int64(binary.BigEndian.Uint64(b[n:])) >> (64 - 8*v)
		out, ok := appendShortNumeric(dst, unscaled)
		if !ok {
			return dst, 0
		}
		return out, n + int(v)
	}
	return dst, 0
}

// The years 0001 to 9999, as schema.Cursor has them.
const (
	minDay, maxDay       = -719162, 2932896
	minMillis, maxMillis = minDay * 24 * 3600 * 1000, (maxDay+1)*24*3600*1000 - 1
)

// varint reads a number of at most eight bytes out of a slice that has as many; 0 bytes: it is longer. The eight are looked at in one
// piece, since a branch for each byte is mispredicted about once a number.
func varint(b []byte) (v int64, n int) {
	x := binary.LittleEndian.Uint64(b)
	if x&0x80 == 0 {
		x &= 0x7f
		return int64(x>>1) ^ -int64(x&1), 1
	}
	n = bits.TrailingZeros64(^x&0x8080808080808080)/8 + 1 // the last byte is the first whose top bit is clear
	if n > 8 {
		return 0, 0
	}
	x &= 1<<(8*n-1) - 1
	x = x&0x007f007f007f007f | x&0x7f007f007f007f00>>1 // seven bits of each byte, joined by twos
	x = x&0x00003fff00003fff | x&0x3fff00003fff0000>>2
	x = x&0x000000000fffffff | x&0x0fffffff00000000>>4
	return int64(x>>1) ^ -int64(x&1), n
}

// appendShortNumeric appends a decimal(38,9) that has at most one digit of base 10,000 on either side of the point, as prices and hours
// have; false for any other.
func appendShortNumeric(dst []byte, unscaled int64) ([]byte, bool) {
	v, sign := uint64(unscaled), uint64(0)
	if unscaled < 0 {
		v, sign = -v, 0x4000
	}
	whole, frac := v/scaleUnit, v%scaleUnit
	digit := frac / 100_000 // the first four places
	if whole >= myriad || digit*100_000 != frac {
		return dst, false
	}
	if frac == 0 {
		if whole == 0 {
			return append(dst, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0), true
		}
		dst = append(dst, 0, 0, 0, 10, 0, 1, 0, 0, byte(sign>>8), 0, 0, 0)
		return binary.BigEndian.AppendUint16(dst, uint16(whole)), true
	}
	places := uint64(4)
	for rest := digit; rest%10 == 0; rest /= 10 {
		places--
	}
	if whole == 0 {
		dst = append(dst, 0, 0, 0, 10, 0, 1, 0xff, 0xff, byte(sign>>8), 0, 0, byte(places))
		return binary.BigEndian.AppendUint16(dst, uint16(digit)), true
	}
	dst = append(dst, 0, 0, 0, 12, 0, 2, 0, 0, byte(sign>>8), 0, 0, byte(places))
	return binary.BigEndian.AppendUint32(dst, uint32(whole)<<16|uint32(digit)), true
}

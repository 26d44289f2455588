package schema

import (
	"hash/maphash"
	"math/bits"
)

// The content hash of a record is the sum, modulo 2^64, of one hash for each field that is compared and not null, made of the
// field's name and its value. So it does not depend on the order of fields, on fields that are null, or on how a library frames
// its bytes. Arrays are sets: the sum of their elements' hashes. It is seeded for each process and never stored: the index is
// rebuilt from the topics at every start (P3).
var (
	seed  = maphash.MakeSeed()
	salt0 = maphash.String(seed, "harveststream 0")
	salt1 = maphash.String(seed, "harveststream 1")
)

func hashString(s string) uint64 { return maphash.String(seed, s) }

func hashBytes(b []byte) uint64 { return maphash.Bytes(seed, b) }

// mix makes one hash of two. One round is a multiplication, too linear for hashes that are summed; two are not.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^salt0, b^salt1)
	hi, lo = bits.Mul64(hi^lo^salt1, a^b^salt0|1)
	return hi ^ lo
}

// elementSalt sets the hashes of elements apart from those of fields.
var elementSalt = maphash.String(seed, "harveststream element")

// hashElements makes the hash of an array of the sum of its elements' and their number.
func hashElements(sum uint64, n int) uint64 { return mix(sum, uint64(n)) }

// hashDecimal hashes a decimal without redundant sign bytes, as Cursor.Decimal returns it.
func hashDecimal(b []byte) uint64 {
	n := parseDecimalBytes(b)
	return mix(n.lo, n.hi)
}

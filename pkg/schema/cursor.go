package schema

import (
	"fmt"
	"math"
)

// MalformedError says where a value stops being a record of its schema.
type MalformedError struct {
	Offset int // in the value, header not counted
	Reason string
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("malformed Avro value at byte %d: %s", e.Offset, e.Reason)
}

// Cursor reads an Avro value (without header) field by field, in its writer's order. Nothing is believed: every count and size is
// bounded by what is left, dates and instants by the years 0001 to 9999, decimals by 38 digits. It never allocates.
type Cursor struct {
	b []byte
	i int
}

// NewCursor returns a cursor at the value's beginning.
func NewCursor(value []byte) Cursor { return Cursor{b: value} }

// CursorAt returns a cursor that has read the value up to offset.
func CursorAt(value []byte, offset int) Cursor { return Cursor{b: value, i: offset} }

// Offset returns the number of bytes read.
func (c *Cursor) Offset() int { return c.i }

// Done returns an error unless all bytes were read.
func (c *Cursor) Done() error {
	if c.i != len(c.b) {
		return c.malformed("bytes follow the record")
	}
	return nil
}

func (c *Cursor) malformed(reason string) error { return &MalformedError{Offset: c.i, Reason: reason} }

// Long reads a long or an int.
func (c *Cursor) Long() (int64, error) {
	if c.i < len(c.b) {
		if x := c.b[c.i]; x < 0x80 {
			c.i++
			return int64(x>>1) ^ -int64(x&1), nil
		}
	}
	return c.longer()
}

// longer reads a long of more than one byte.
func (c *Cursor) longer() (int64, error) {
	b := c.b[c.i:]
	var x uint64
	for n := range min(len(b), 10) {
		x |= uint64(b[n]&0x7f) << (7 * n)
		if b[n] < 0x80 {
			if n == 9 && b[n] > 1 {
				break
			}
			c.i += n + 1
			return int64(x>>1) ^ -int64(x&1), nil
		}
	}
	return 0, c.malformed("number is cut or has more than 64 bits")
}

// Bool reads a boolean.
func (c *Cursor) Bool() (bool, error) {
	if c.i >= len(c.b) {
		return false, c.malformed("boolean is missing")
	}
	v := c.b[c.i]
	if v > 1 {
		return false, c.malformed("boolean is neither 0 nor 1")
	}
	c.i++
	return v == 1, nil
}

// Bytes reads a string or bytes: a part of the value, of any content.
func (c *Cursor) Bytes() ([]byte, error) {
	n, err := c.Long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(c.b)-c.i) {
		return nil, c.malformed("length exceeds the value")
	}
	start := c.i
	c.i += int(n)
	return c.b[start:c.i:c.i], nil
}

// Decimal reads a decimal(38,9): its unscaled value as big-endian two's complement without redundant sign bytes, at least one
// byte, a part of the value.
func (c *Cursor) Decimal() ([]byte, error) {
	b, err := c.Bytes()
	if err != nil {
		return nil, err
	}
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 16 || len(b) == 16 && parseDecimalBytes(b).tooLong() {
		return nil, c.malformed("decimal has no or more than 38 digits")
	}
	return b, nil
}

// Date reads a date: days since 1970-01-01.
func (c *Cursor) Date() (int32, error) {
	v, err := c.Long()
	if err != nil {
		return 0, err
	}
	if v < minDay || v > maxDay {
		return 0, c.malformed("date is not of the years 0001 to 9999")
	}
	return int32(v), nil
}

// Timestamp reads an instant: milliseconds since 1970-01-01 UTC.
func (c *Cursor) Timestamp() (int64, error) {
	v, err := c.Long()
	if err != nil {
		return 0, err
	}
	if v < minDay*dayMillis || v >= (maxDay+1)*dayMillis {
		return 0, c.malformed("instant is not of the years 0001 to 9999")
	}
	return v, nil
}

// Null reads which branch of a field's union follows; a field without null has none to read.
func (c *Cursor) Null(f *Field) (bool, error) { return c.isNull(f.null) }

// NullFirst reports whether null is the first branch of the field's union, as it is in all schemas of ours.
func (f *Field) NullFirst() bool { return f.null == 0 }

func (c *Cursor) isNull(null int) (bool, error) {
	if null < 0 {
		return false, nil
	}
	if c.i < len(c.b) {
		if x := c.b[c.i]; x == 0 || x == 2 { // branches 0 and 1
			c.i++
			return int(x>>1) == null, nil
		}
	}
	return false, c.malformed("union has no such branch")
}

// Skip passes over a field, its union included.
func (c *Cursor) Skip(f *Field) error {
	null, err := c.Null(f)
	if err != nil || null {
		return err
	}
	switch f.Kind {
	case Bool:
		_, err = c.Bool()
	case String:
		_, err = c.Bytes()
	case Decimal:
		_, err = c.Decimal()
	case Date:
		_, err = c.Date()
	case Timestamp:
		_, err = c.Timestamp()
	case Strings, Longs, Items:
		return c.skipArray(f)
	default:
		_, err = c.Long()
	}
	return err
}

func (c *Cursor) skipArray(f *Field) error {
	a := c.Array()
	for a.Next() {
		var err error
		switch f.Kind {
		case Strings:
			_, err = c.Bytes()
		case Longs:
			_, err = c.Long()
		default:
			for i := range f.Items.Fields {
				if err = c.Skip(&f.Items.Fields[i]); err != nil {
					break
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return a.Err()
}

// Array begins to read an array:
//
//	a := c.Array()
//	for a.Next() {
//		… read one element with c, return its error …
//	}
//	return a.Err()
func (c *Cursor) Array() Array { return Array{c: c, end: -1} }

// Array iterates over the elements of an array, which come in blocks.
type Array struct {
	c     *Cursor
	left  int64 // elements left in the block
	end   int   // where the block says it ends; -1 it does not say
	state arrayState
}

// arrayState is a number, not an error: with a pointer here the cursor would be moved to the heap.
type arrayState uint8

const (
	arrayOpen arrayState = iota
	arrayDone
	arrayCount
	arraySize
)

// Next reports whether another element follows; it must be read before Next is called again.
func (a *Array) Next() bool {
	if a.left == 0 && a.state == arrayOpen {
		a.state = a.block()
	}
	a.left--
	return a.state == arrayOpen
}

// block reads the next block's count. Every element has at least one byte, so a count is bounded by what is left.
func (a *Array) block() arrayState {
	if a.end >= 0 && a.end != a.c.i {
		return arraySize
	}
	a.end = -1
	n, err := a.c.Long()
	if err != nil {
		return arrayCount
	}
	if n < 0 && n != math.MinInt64 {
		n = -n
		size, err := a.c.Long()
		if err != nil || size < 0 || size > int64(len(a.c.b)-a.c.i) {
			return arraySize
		}
		a.end = a.c.i + int(size)
	}
	if n < 0 || n > int64(len(a.c.b)-a.c.i) {
		return arrayCount
	}
	if n == 0 {
		return arrayDone
	}
	a.left = n
	return arrayOpen
}

// Err returns what was wrong with the array's counts and sizes, nil at its proper end.
func (a *Array) Err() error {
	switch a.state {
	case arrayCount:
		return a.c.malformed("array count is cut or exceeds the value")
	case arraySize:
		return a.c.malformed("array block has another size than it says")
	}
	return nil
}

package sinker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"harveststream/pkg/schema"
)

// PostgreSQL counts days and microseconds from 2000-01-01.
const (
	epochDays   = 10957
	epochMillis = epochDays * 24 * 3600 * 1000
	noTime      = math.MinInt64 // a moment that is null
)

// OIDs of array elements.
const (
	oidInt8 = 20
	oidText = 25
)

// copyHeader and copyTrailer enclose the rows of a binary COPY.
const (
	copyHeader  = "PGCOPY\n\377\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// micros is a moment as PostgreSQL counts.
func micros(t time.Time) int64 { return t.UnixMicro() - epochMillis*1000 }

// rowMeta is what a row has beside its record's value.
type rowMeta struct {
	id, account, seq int64
	loaded           int64 // _loaded_at, PostgreSQL's microseconds
	deleted          int64 // _deleted_at likewise, or noTime
}

// encoder turns Avro bytes into rows of binary COPY by a plan, in one pass and without values in between (S4). One that failed
// has left nothing behind.
type encoder struct {
	plan *plan
	use  []columnUse // by column
	sent int         // columns that are not left out
	kids [][]byte    // rows for the child tables
	rows []int       // their numbers

	marks     []mark // where the kids stood before the row
	extraText []byte // the row's extra, as its writer has it
	observed  int64  // the row's _observed_at

	unknown []byte // JSON members of fields that have no column
	extra   []byte // scratch for the JSON of extra
	lift    bool   // the last row has values in extra that may belong into columns
}

type mark struct{ bytes, rows int }

// columnUse is what an encoder makes of a column.
type columnUse uint8

const (
	columnUnmet   columnUse = iota // sent; no row had a value yet
	columnMet                      // sent
	columnLeftOut                  // not sent: a row that has a value is refused
)

// errLeftOut is a row's having a value for a column that is left out.
var errLeftOut = errors.New("the column is left out")

func newEncoder(p *plan) *encoder {
	n := len(p.items)
	return &encoder{plan: p, use: make([]columnUse, len(p.columns)), sent: len(p.columns), kids: make([][]byte, n), rows: make([]int, n), marks: make([]mark, n)}
}

// leaveOut leaves those columns out that a guess says.
func (e *encoder) leaveOut(guess []columnUse) {
	copy(e.use, guess)
	e.sent = len(e.sentColumns())
}

// sendAll leaves no column out any more.
func (e *encoder) sendAll() {
	for i, use := range e.use {
		if use == columnLeftOut {
			e.use[i] = columnUnmet
		}
	}
	e.sent = len(e.use)
}

// sentColumns are the columns of the rows.
func (e *encoder) sentColumns() []string {
	sent := make([]string, 0, len(e.use))
	for i, use := range e.use {
		if use != columnLeftOut {
			sent = append(sent, e.plan.columns[i])
		}
	}
	return sent
}

// null appends a null, unless the column is left out.
func (e *encoder) null(dst []byte, column int) []byte {
	if e.use[column] == columnLeftOut {
		return dst
	}
	return appendNull(dst)
}

// met notes that a column has a value.
func (e *encoder) met(column int) error {
	if e.use[column] == columnLeftOut {
		return errLeftOut
	}
	e.use[column] = columnMet
	return nil
}

// appendRow appends the row of a value (without wire header) to dst, and its items to kids.
func (e *encoder) appendRow(dst, body []byte, m rowMeta) ([]byte, error) {
	for i := range e.kids {
		e.marks[i] = mark{len(e.kids[i]), e.rows[i]}
	}
	out, err := e.row(dst, body, m)
	if err != nil {
		for i, at := range e.marks {
			e.kids[i], e.rows[i] = e.kids[i][:at.bytes], at.rows
		}
		return dst, err
	}
	return out, nil
}

func (e *encoder) row(dst, body []byte, m rowMeta) ([]byte, error) {
	dst = binary.BigEndian.AppendUint16(dst, uint16(e.sent))
	e.unknown, e.lift, e.extraText, e.observed = e.unknown[:0], false, nil, noTime
	at := 0
	for i := range e.plan.steps {
		s := &e.plan.steps[i]
		if s.plain && at < len(body) {
			if body[at] == 0 {
				dst = e.null(dst, s.column)
				at++
				continue
			}
			if out, n := appendPlain(dst, body[at:], s.kind); n > 0 && e.use[s.column] != columnLeftOut {
				e.use[s.column] = columnMet
				dst = out
				at += n
				continue
			}
		}
		var err error
		if dst, at, err = e.field(dst, body, at, s, &m); err != nil {
			return dst, fmt.Errorf("field %s: %w", s.field.Name, err)
		}
	}
	if cur := schema.CursorAt(body, at); at != len(body) {
		return dst, cur.Done()
	}
	return e.meta(dst, &m)
}

// field reads any field, from at on, and returns where the next begins.
func (e *encoder) field(dst, body []byte, at int, s *step, m *rowMeta) ([]byte, int, error) {
	cur := schema.CursorAt(body, at)
	if s.place != toColumn {
		dst, err := e.special(dst, &cur, s, m)
		return dst, cur.Offset(), err
	}
	null, err := cur.Null(s.field)
	if err == nil && !null {
		err = e.met(s.column)
	}
	switch {
	case err != nil:
	case null:
		dst = e.null(dst, s.column)
	case s.kind == schema.Items:
		dst, err = e.appendItems(dst, &cur, s, m)
	default:
		dst, err = appendValue(dst, &cur, s.kind)
	}
	return dst, cur.Offset(), err
}

// meta appends what follows the record's own columns.
func (e *encoder) meta(dst []byte, m *rowMeta) ([]byte, error) {
	extra := e.plan.extra
	for column := extra - e.plan.absent; column < extra; column++ {
		dst = e.null(dst, column)
	}
	e.lift = e.lift || e.plan.absent > 0 && e.extraText != nil
	dst, err := e.appendExtra(dst, e.extraText)
	if err != nil {
		return dst, err
	}
	e.use[extra+1], e.use[extra+3] = columnMet, columnMet
	dst = appendLong(dst, m.seq)
	if dst, err = e.appendMoment(dst, extra+2, e.observed); err != nil {
		return dst, err
	}
	dst = appendLong(dst, m.loaded)
	if e.plan.soft {
		return e.appendMoment(dst, extra+4, m.deleted)
	}
	return dst, nil
}

// appendMoment appends a moment, which may be noTime, to a column.
func (e *encoder) appendMoment(dst []byte, column int, v int64) ([]byte, error) {
	if v == noTime {
		return e.null(dst, column), nil
	}
	return appendLong(dst, v), e.met(column)
}

// special reads a field that is more than a column of its own.
func (e *encoder) special(dst []byte, cur *schema.Cursor, s *step, m *rowMeta) ([]byte, error) {
	switch s.place {
	case toID:
		e.use[s.column] = columnMet
		return appendKeyField(dst, cur, m.id)
	case toAccount:
		e.use[s.column] = columnMet
		return appendKeyField(dst, cur, m.account)
	case toUnknown:
		return dst, e.keep(cur, s.field)
	}
	null, err := cur.Null(s.field)
	if err != nil || null {
		return dst, err
	}
	switch s.place {
	case toExtra:
		e.extraText, err = cur.Bytes()
	case toSeq:
		var seq int64
		if seq, err = cur.Long(); err == nil && seq != m.seq {
			err = fmt.Errorf("%d, though the header harvest-seq says %d", seq, m.seq)
		}
	case toObserved:
		var millis int64
		millis, err = cur.Timestamp()
		e.observed = (millis - epochMillis) * 1000
	}
	return dst, err
}

// keep adds a field without a column to what goes to extra (S6).
func (e *encoder) keep(cur *schema.Cursor, f *schema.Field) error {
	mark := len(e.unknown)
	e.unknown = appendMember(e.unknown, f.Name)
	var null bool
	var err error
	if e.unknown, null, err = appendJSON(e.unknown, cur, f); err != nil || null {
		e.unknown = e.unknown[:mark]
	}
	return err
}

// appendExtra appends extra: the writer's, and the fields that have no column.
func (e *encoder) appendExtra(dst, extra []byte) ([]byte, error) {
	if len(e.unknown) == 0 && extra == nil {
		return e.null(dst, e.plan.extra), nil
	}
	if err := e.met(e.plan.extra); err != nil {
		return dst, err
	}
	if len(e.unknown) == 0 {
		return appendJSONB(dst, extra), nil
	}
	e.extra = appendMerged(e.extra[:0], extra, e.unknown)
	return appendJSONB(dst, e.extra), nil
}

// appendMerged joins the members of a JSON object, which may be nil, and further ones (each begins with a comma).
func appendMerged(dst, object, members []byte) []byte {
	end := len(object) - 1
	for end > 0 && (object[end] == ' ' || object[end] == '\n' || object[end] == '\t' || object[end] == '\r') {
		end--
	}
	if end <= 0 || object[end] != '}' || isEmptyObject(object[:end]) {
		return append(append(append(dst, '{'), members[1:]...), '}')
	}
	return append(append(append(dst, object[:end]...), members...), '}')
}

func isEmptyObject(open []byte) bool {
	for _, b := range open {
		if b != '{' && b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			return false
		}
	}
	return true
}

var errKey = errors.New("is another one in the value than in the key")

// appendKeyField appends id or account_id, which the key has too.
func appendKeyField(dst []byte, cur *schema.Cursor, want int64) ([]byte, error) {
	v, err := cur.Long()
	if err != nil {
		return dst, err
	}
	if v != want {
		return dst, errKey
	}
	return appendLong(dst, v), nil
}

// appendValue appends a value that is not null as one COPY field.
func appendValue(dst []byte, cur *schema.Cursor, kind schema.Kind) ([]byte, error) {
	switch kind {
	case schema.Long:
		v, err := cur.Long()
		return appendLong(dst, v), err
	case schema.Bool:
		v, err := cur.Bool()
		b := byte(0)
		if v {
			b = 1
		}
		return append(dst, 0, 0, 0, 1, b), err
	case schema.String:
		v, err := cur.Bytes()
		if err != nil {
			return dst, err
		}
		return appendText(dst, v), nil
	case schema.Decimal:
		v, err := cur.Decimal()
		if err != nil {
			return dst, err
		}
		return appendNumeric(dst, v)
	case schema.Date:
		v, err := cur.Date()
		dst = binary.BigEndian.AppendUint32(dst, 4)
		return binary.BigEndian.AppendUint32(dst, uint32(v-epochDays)), err
	case schema.Timestamp:
		v, err := cur.Timestamp()
		return appendLong(dst, (v-epochMillis)*1000), err
	case schema.Strings, schema.Longs:
		return appendArray(dst, cur, kind)
	}
	return dst, fmt.Errorf("kind %d has no column type", kind)
}

func appendNull(dst []byte) []byte { return append(dst, 0xff, 0xff, 0xff, 0xff) }

func appendLong(dst []byte, v int64) []byte {
	dst = append(dst, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(dst, uint64(v))
}

// appendText appends text with its length.
func appendText(dst, v []byte) []byte {
	if !clean(v) {
		return appendRepaired(dst, v)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
	return append(dst, v...)
}

// appendJSONB appends JSON text as a jsonb field; the server parses it.
func appendJSONB(dst, text []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 1)
	dst = appendCleaned(dst, text)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendArray appends an array of longs or strings: text[] or bigint[].
func appendArray(dst []byte, cur *schema.Cursor, kind schema.Kind) ([]byte, error) {
	oid := uint32(oidInt8)
	if kind == schema.Strings {
		oid = oidText
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0) // length, dimensions, flags
	dst = binary.BigEndian.AppendUint32(dst, oid)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 1) // size, lower bound
	n := uint32(0)
	for items := cur.Array(); ; n++ {
		if !items.Next() {
			if err := items.Err(); err != nil {
				return dst, err
			}
			break
		}
		if kind == schema.Longs {
			v, err := cur.Long()
			if err != nil {
				return dst, err
			}
			dst = appendLong(dst, v)
			continue
		}
		v, err := cur.Bytes()
		if err != nil {
			return dst, err
		}
		dst = appendText(dst, v)
	}
	if n == 0 {
		dst = dst[:at+16] // an empty array has no dimension
		binary.BigEndian.PutUint32(dst[at+4:], 0)
	} else {
		binary.BigEndian.PutUint32(dst[at+16:], n)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

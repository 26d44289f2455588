package schema

import (
	"errors"
	"fmt"
)

// role is what a field means to the producer, apart from being a column.
type role uint8

const (
	roleNone role = iota
	roleID
	roleAccount
	roleParent
	roleOwner
	roleDay
	roleUpdated
	roleRunning
	roleExtra
	roleSeq
	roleObserved
)

// role returns the role of the field of that name.
func (st *Stream) role(name string) role {
	switch name {
	case FieldID:
		return roleID
	case FieldAccount:
		return roleAccount
	case st.ParentID: // also a child's owner, see Record.set
		return roleParent
	case st.Owner:
		return roleOwner
	case st.Dates:
		return roleDay
	case "updated_at":
		return roleUpdated
	case "is_running":
		return roleRunning
	case FieldExtra:
		return roleExtra
	case FieldSeq:
		return roleSeq
	case FieldObserved:
		return roleObserved
	}
	return roleNone
}

// roleKind is the kind that a field of a role must have to play it.
var roleKind = [...]Kind{roleID: Long, roleAccount: Long, roleParent: Long, roleOwner: Long, roleDay: Date, roleUpdated: Timestamp,
	roleRunning: Bool, roleExtra: String, roleSeq: Long, roleObserved: Timestamp}

// set takes over the value of a field with a role.
func (rec *Record) set(r role, v int64) {
	switch r {
	case roleID:
		rec.ID = v
	case roleAccount:
		rec.Account = v
	case roleParent:
		rec.Parent, rec.Owner = v, v
	case roleOwner:
		rec.Owner = v
	case roleDay:
		rec.Day = int32(v)
	case roleUpdated:
		rec.Updated = v
	case roleRunning:
		rec.Running = v == 1
	case roleSeq:
		rec.Seq = v
	case roleObserved:
		rec.Observed = v
	}
}

// readPlan is how the values of one writer's schema are walked for one stream.
type readPlan struct {
	stream *Stream
	fields []readField
	meta   bool // _seq and _observed_at are the last two
}

type readField struct {
	name    uint64
	kind    Kind
	role    role
	null    int8
	compare bool
	timer   bool
	items   []readField
}

// plan returns the writer's plan for a stream. What is compared is the present stream's choice, so that a schema version which
// changes it makes no change of every record.
func (s *Schema) plan(st *Stream) (*readPlan, error) {
	if p := s.read.Load(); p != nil && p.stream == st {
		return p, nil
	}
	p := &readPlan{stream: st, fields: readFields(s, st.Schema)}
	for i := range p.fields {
		f := &p.fields[i]
		f.role = st.role(s.Fields[i].Name)
		if f.role != roleNone && f.kind != roleKind[f.role] {
			return nil, fmt.Errorf("field %s of schema %s is a %s", s.Fields[i].Name, s.Name, f.kind)
		}
	}
	n := len(p.fields)
	if n < 2 || s.Field(FieldID) < 0 || s.Field(FieldAccount) < 0 {
		return nil, fmt.Errorf("schema %s has no %s and %s", s.Name, FieldID, FieldAccount)
	}
	p.meta = p.fields[n-2].role == roleSeq && p.fields[n-1].role == roleObserved
	s.read.Store(p)
	return p, nil
}

// readFields plans the fields of a writer's record; present is ours.
func readFields(writer, present *Schema) []readField {
	fields := make([]readField, len(writer.Fields))
	for i := range writer.Fields {
		f := &writer.Fields[i]
		r := readField{name: f.name, kind: f.Kind, null: int8(f.null), compare: f.Compare, timer: f.Timer}
		ours := f
		if j := present.Field(f.Name); j >= 0 && present.Fields[j].Kind == f.Kind {
			ours = &present.Fields[j]
			r.compare, r.timer = ours.Compare, ours.Timer
		}
		if f.Items != nil {
			r.items = readFields(f.Items, ours.Items)
		}
		fields[i] = r
	}
	return fields
}

// ReadRecord reads a published value (without header), written with this schema, as a record of the stream: all bytes are walked
// and checked, none are decoded. rec.Body is a part of value.
func (s *Schema) ReadRecord(st *Stream, value []byte, rec *Record) error {
	p, err := s.plan(st)
	if err != nil {
		return err
	}
	*rec = Record{Day: NoDay}
	c := NewCursor(value)
	var timers uint64
	for i := range p.fields {
		f := &p.fields[i]
		if f.role == roleSeq && p.meta {
			rec.Body = value[:c.i:c.i]
		}
		if f.null == 0 && c.i < len(value) && value[c.i] == branchNull { // many are, so without a call
			c.i++
			continue
		}
		null, err := c.isNull(int(f.null))
		if err != nil {
			return err
		}
		if null {
			continue
		}
		v, h, err := c.value(f)
		if err != nil {
			return err
		}
		if f.role != roleNone {
			rec.set(f.role, v)
		}
		if f.compare {
			h = mix(f.name, h)
			rec.Hash += h
			if f.timer {
				timers += h
			}
		}
	}
	rec.Rest = rec.Hash - timers
	if rec.ID <= 0 || rec.Account <= 0 {
		return errors.New("record without a usable id")
	}
	return c.Done()
}

// value reads a value and returns its hash, which of texts and arrays is made only where they are compared, and, of what fits an
// integer, the value.
func (c *Cursor) value(f *readField) (v int64, hash uint64, err error) {
	switch f.kind {
	case Long:
		v, err = c.Long()
		return v, uint64(v), err
	case String:
		b, err := c.Bytes()
		if err != nil || !f.compare {
			return 0, 0, err
		}
		return 0, hashBytes(b), nil
	case Bool:
		b, err := c.Bool()
		if b {
			v = 1
		}
		return v, uint64(v), err
	case Decimal:
		b, err := c.Decimal()
		if err != nil {
			return 0, 0, err
		}
		return 0, hashDecimal(b), nil
	case Date:
		d, err := c.Date()
		return int64(d), uint64(d), err
	case Timestamp:
		v, err = c.Timestamp()
		return v, uint64(v), err
	}
	hash, err = c.array(f)
	return 0, hash, err
}

// array reads an array and returns its hash as a set.
func (c *Cursor) array(f *readField) (uint64, error) {
	var sum uint64
	n := 0
	a := c.Array()
	for a.Next() {
		h, err := c.element(f)
		if err != nil {
			return 0, err
		}
		sum += mix(h, elementSalt)
		n++
	}
	return hashElements(sum, n), a.Err()
}

// element reads an array's element and returns its hash.
func (c *Cursor) element(f *readField) (uint64, error) {
	switch f.kind {
	case Strings:
		b, err := c.Bytes()
		return hashBytes(b), err
	case Longs:
		v, err := c.Long()
		return uint64(v), err
	}
	var sum uint64
	for i := range f.items {
		item := &f.items[i]
		null, err := c.isNull(int(item.null))
		if err != nil {
			return 0, err
		}
		if null {
			continue
		}
		_, h, err := c.value(item)
		if err != nil {
			return 0, err
		}
		if item.compare {
			sum += mix(item.name, h)
		}
	}
	return sum, nil
}

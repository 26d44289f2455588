package sinker

import (
	"fmt"

	"harveststream/pkg/schema"
)

// plan says how records of one writer's schema become rows of one table. It is compiled once and then only read (S4).
type plan struct {
	writer  *schema.Schema
	steps   []step // one per field, in the writer's order
	absent  int    // columns of the table this writer does not know: sent as null
	columns []string
	extra   int // the column extra's place; the absent ones are before it, _seq, _observed_at, _loaded_at, _deleted_at behind it
	soft    bool
	items   []*itemPlan // one per child table, in the table's order
}

// place is what becomes of a field.
type place uint8

const (
	toColumn   place = iota // a column, sent when the field is met
	toUnknown               // no column: kept in extra
	toExtra                 // remembered, sent with the unknown ones at the end
	toSeq                   // remembered
	toObserved              // remembered
	toID                    // a column, and compared with the key
	toAccount               // the same
)

type step struct {
	kind   schema.Kind
	place  place
	plain  bool // a column whose value appendPlain may know
	column int  // its place among the plan's, where it has one
	field  *schema.Field
	items  *itemPlan // an array of records that has a child table
}

// itemPlan says how the items of one array become rows of a child table.
type itemPlan struct {
	number  int // of the child table in its table
	fields  []step
	absent  int
	columns []string
}

// newPlan compiles a plan. A writer whose field has another type than the table's column cannot be applied.
func newPlan(t *table, writer *schema.Schema) (*plan, error) {
	p := &plan{writer: writer, soft: t.soft, items: make([]*itemPlan, len(t.children))}
	known := map[string]bool{columnLoaded: true, columnDeleted: true}
	for i := range writer.Fields {
		f := &writer.Fields[i]
		s := step{field: f, kind: f.Kind, place: toUnknown}
		c := t.column(f.Name)
		if c != nil && c.kind != 0 {
			if c.kind != f.Kind {
				return nil, fmt.Errorf("field %s of the writer's schema is no %s", f.Name, c.typ)
			}
			s.place = placeOf(f.Name)
			known[f.Name] = true
		}
		if s.place == toColumn && f.Kind == schema.Items {
			if err := p.compileItems(t, &s); err != nil {
				return nil, err
			}
		}
		if s.place == toColumn || s.place == toID || s.place == toAccount {
			s.column, s.plain = len(p.columns), s.place == toColumn && f.NullFirst() && f.Kind <= schema.Timestamp
			p.columns = append(p.columns, f.Name)
		}
		p.steps = append(p.steps, s)
	}
	if !known[schema.FieldID] || !known[schema.FieldAccount] {
		return nil, fmt.Errorf("the writer's schema %s has no id or no account_id", writer.Name)
	}
	known[schema.FieldExtra], known[columnSeq], known[columnObserved] = true, true, true
	for _, c := range t.columns {
		if !known[c.name] {
			p.absent++
			p.columns = append(p.columns, c.name)
		}
	}
	p.extra = len(p.columns)
	p.columns = append(p.columns, schema.FieldExtra, columnSeq, columnObserved, columnLoaded)
	if t.soft {
		p.columns = append(p.columns, columnDeleted)
	}
	return p, nil
}

func placeOf(name string) place {
	switch name {
	case schema.FieldExtra:
		return toExtra
	case columnSeq:
		return toSeq
	case columnObserved:
		return toObserved
	case schema.FieldID:
		return toID
	case schema.FieldAccount:
		return toAccount
	}
	return toColumn
}

// compileItems plans the child table of an array of records.
func (p *plan) compileItems(t *table, s *step) error {
	for n, c := range t.children {
		if c.field != s.field.Name {
			continue
		}
		ip := &itemPlan{number: n, columns: []string{c.parent, schema.FieldAccount, columnOrdinal}}
		known := map[string]bool{c.parent: true, schema.FieldAccount: true, columnOrdinal: true}
		for i := range s.field.Items.Fields {
			f := &s.field.Items.Fields[i]
			is := step{field: f, kind: f.Kind, place: toUnknown}
			if col := c.column(f.Name); col != nil && col.kind != 0 {
				if col.kind != f.Kind {
					return fmt.Errorf("field %s.%s of the writer's schema is no %s", s.field.Name, f.Name, col.typ)
				}
				is.place = toColumn
				known[f.Name] = true
				if f.Name == schema.FieldExtra {
					is.place = toExtra
				} else {
					ip.columns = append(ip.columns, f.Name)
				}
			}
			ip.fields = append(ip.fields, is)
		}
		known[schema.FieldExtra] = true
		for _, col := range c.columns {
			if !known[col.name] {
				ip.absent++
				ip.columns = append(ip.columns, col.name)
			}
		}
		if c.column(schema.FieldExtra) != nil {
			ip.columns = append(ip.columns, schema.FieldExtra)
		}
		s.items, p.items[n] = ip, ip
	}
	return nil
}

package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// object is the plan by which JSON objects of one kind become Avro records, and the state of the one at hand. The plan is made
// once; the state is reused, so that a record costs no allocation.
type object struct {
	fields []field // in the schema's order, without _seq and _observed_at
	root   *node
	vals   []span  // where each field's value stands in the raw JSON
	strays []stray // members that fit no field
	number uint64  // of the object at hand
}

// field is a schema's field with what the encoder has to know of it.
type field struct {
	*Field
	role  role
	omit  bool    // HARVEST_OMIT: null, and not kept in extra either
	fixed bool    // not from JSON: account_id, a parent's id, company's id
	at    *node   // where it comes from
	key   []byte  // its name there
	items *object // Kind Items
}

// span is a part of the raw JSON; end 0 is none.
type span struct{ start, end uint32 }

// stray is a member that goes to extra: unknown, or of a value that does not fit.
type stray struct {
	at    *node
	name  []byte
	value []byte // raw
}

// node is one JSON object of the plan: the object itself or one embedded in it.
type node struct {
	name    []byte // of the member that holds it; of an array's objects, the array's
	parent  *node  // nil at the root
	members []member
	byName  map[string]int
	first   int    // the member that came first last time
	stray   uint64 // number of the object in which it, or a node below, has strays
	omits   bool   // a field below is left out

	fields block
	owner  bool // one of the fields is Record.Owner
	seen   []*seen
}

// block is a run of fields: those of an embedded object.
type block struct{ first, after int }

// member is a name that a node knows.
type member struct {
	quoted string
	field  int    // index of the field it fills; -1 an embedded object
	node   *node  // the embedded object
	next   int    // the member that followed last time
	seen   uint64 // number of the JSON object in which it was met
}

// newObject plans a stream's schema (name empty), or, without stream, that of the records of the array of that name.
func newObject(name string, s *Schema, st *Stream, omit Omit) (*object, error) {
	o := &object{root: &node{name: []byte(name), byName: map[string]int{}}}
	for i := range s.Fields {
		f := field{Field: &s.Fields[i]}
		if f.Name == FieldExtra {
			f.role, f.fixed = roleExtra, true
		}
		if st != nil {
			f.role = st.role(f.Name)
			f.omit = omit.Has(st.Name, f.Name)
			f.fixed = f.fixed || f.role == roleAccount || f.role == roleParent || f.role == roleID && st.Read == Single
		}
		if f.role == roleSeq || f.role == roleObserved {
			continue
		}
		if !f.fixed {
			if err := o.root.add(&f, len(o.fields)); err != nil {
				return nil, err
			}
		}
		if f.Items != nil {
			items, err := newObject(f.Name, f.Items, nil, Omit{})
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", f.Name, err)
			}
			f.items = items
		}
		o.fields = append(o.fields, f)
	}
	o.vals = make([]span, len(o.fields))
	return o, nil
}

// add enters a field under its path.
func (n *node) add(f *field, index int) error {
	at := n
	at.omits = at.omits || f.omit
	last := len(f.From) - 1
	for _, name := range f.From[:last] {
		i, ok := at.byName[name]
		if !ok {
			i = at.enter(name, member{field: -1, node: &node{name: []byte(name), parent: at, byName: map[string]int{}}})
		}
		if at = at.members[i].node; at == nil {
			return fmt.Errorf("field %s lies inside another one, %s", f.Name, name)
		}
		at.omits = at.omits || f.omit
	}
	f.at, f.key = at, []byte(f.From[last])
	if _, ok := at.byName[f.From[last]]; ok {
		return fmt.Errorf("field %s comes from the same place as another one, %s", f.Name, strings.Join(f.From, "."))
	}
	at.enter(f.From[last], member{field: index})
	return nil
}

func (n *node) enter(name string, m member) int {
	i := len(n.members)
	m.quoted = strconv.Quote(name)
	m.next = i + 1
	n.members = append(n.members, m)
	n.byName[name] = i
	return i
}

// find returns the index of the member whose quoted name begins at b[i], len(members) for an unknown one, and the name's end. guess
// is the member that is likely: Harvest's objects have their members in one order.
func (n *node) find(b []byte, i, guess int) (index, end int) {
	if guess < len(n.members) {
		q := n.members[guess].quoted
		if end = i + len(q); end <= len(b) && string(b[i:end]) == q {
			return guess, end
		}
	}
	if end = stringEnd(b, i); end <= 0 {
		return len(n.members), end
	}
	if index, ok := n.byName[string(nameText(b[i:end]))]; ok {
		return index, end
	}
	return len(n.members), end
}

// markStray notes that a node has strays, for the canonical form of extra.
func (n *node) markStray(object uint64) {
	for ; n != nil && n.stray != object; n = n.parent {
		n.stray = object
	}
}

// path returns where a member of the node is, for people: client.id.
func (n *node) path(name string) string {
	for ; n != nil; n = n.parent {
		if len(n.name) > 0 {
			name = string(n.name) + "." + name
		}
	}
	return name
}

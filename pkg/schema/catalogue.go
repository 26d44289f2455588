package schema

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// lines is the catalogue: a stream says only where it differs from the conventions of fill. The pages of Harvest's documentation
// are named in docs/BEHAVIOR.md.
var lines = []Stream{
	{Name: "company", Read: Single},
	{Name: "users"},
	{Name: "roles", Read: Whole}, // its page has no updated_since
	{Name: "clients"},
	{Name: "contacts", Owner: "client_id"},
	{Name: "tasks"},
	{Name: "projects", Owner: "client_id"},
	{Name: "user_assignments", Owner: "project_id", Get: "projects/{project_id}/user_assignments/{id}"},
	{Name: "task_assignments", Owner: "project_id", Get: "projects/{project_id}/task_assignments/{id}"},
	{Name: "expense_categories", Module: "expense_feature"},
	{Name: "invoice_item_categories", Module: "invoice_feature"},
	{Name: "estimate_item_categories", Module: "estimate_feature"},
	{Name: "time_entries", Dates: "spent_date", Owner: "project_id"},
	{Name: "expenses", Dates: "spent_date", Owner: "project_id", Module: "expense_feature"},
	{Name: "invoices", Dates: "issue_date", Owner: "client_id", Module: "invoice_feature"},
	{Name: "estimates", Dates: "issue_date", Owner: "client_id", Module: "estimate_feature"},
	{Name: "invoice_messages", Parent: "invoices", Module: "invoice_feature"},
	{Name: "invoice_payments", Parent: "invoices", Module: "invoice_feature"},
	{Name: "estimate_messages", Parent: "estimates", Module: "estimate_feature"},
	{Name: "user_billable_rates", Parent: "users", List: "billable_rates", Get: "users/{user_id}/billable_rates/{id}"},
	{Name: "user_cost_rates", Parent: "users", List: "cost_rates", Get: "users/{user_id}/cost_rates/{id}"},
}

// fill sets what a line leaves out: path, list and GET follow the name, an owner's stream the owner's field ("client_id":
// "clients"), a child's path, id field and owner its parent ("invoice_messages": "invoices/{id}/messages", "invoice_id").
func fill(st *Stream) {
	switch {
	case st.Parent != "":
		st.Read = Children
		one := strings.TrimSuffix(st.Parent, "s")
		st.ParentID = one + "_id"
		st.Path = cmp.Or(st.Path, st.Parent+"/{id}/"+strings.TrimPrefix(st.Name, one+"_"))
		st.Owner, st.OwnerStream = st.ParentID, st.Parent
		st.List = cmp.Or(st.List, st.Name)
	case st.Read == Single:
		st.Path = cmp.Or(st.Path, st.Name)
	default:
		st.Path = cmp.Or(st.Path, st.Name)
		st.List = cmp.Or(st.List, st.Name)
		st.Get = cmp.Or(st.Get, st.Name+"/{id}")
	}
	if st.Owner != "" {
		st.OwnerStream = cmp.Or(st.OwnerStream, strings.TrimSuffix(st.Owner, "_id")+"s")
	}
}

// Load builds a catalogue from its lines and the schema files <name>.avsc, and checks one against the other: a 22nd stream is one
// file and one line.
func Load(files fs.FS, lines []Stream) ([]*Stream, error) {
	streams := make([]*Stream, 0, len(lines))
	for _, line := range lines {
		st := &line
		fill(st)
		text, err := fs.ReadFile(files, st.Name+".avsc")
		if err != nil {
			return nil, fmt.Errorf("loading stream %s: %w", st.Name, err)
		}
		if st.Schema, err = ParseSchema(string(text)); err != nil {
			return nil, fmt.Errorf("loading stream %s: %w", st.Name, err)
		}
		if err := st.check(streams); err != nil {
			return nil, fmt.Errorf("loading stream %s: %w", st.Name, err)
		}
		streams = append(streams, st)
	}
	return streams, orphans(files, streams)
}

// orphans finds schema files that no line names.
func orphans(files fs.FS, streams []*Stream) error {
	names, err := fs.Glob(files, "*.avsc")
	if err != nil {
		return fmt.Errorf("listing schema files: %w", err)
	}
	for _, name := range names {
		stream := strings.TrimSuffix(name, ".avsc")
		if !slices.ContainsFunc(streams, func(st *Stream) bool { return st.Name == stream }) {
			return fmt.Errorf("schema file %s belongs to no stream", name)
		}
	}
	return nil
}

// check holds the contract of design §4 for one stream; earlier are the streams before it.
func (st *Stream) check(earlier []*Stream) error {
	for _, name := range []string{st.Parent, st.OwnerStream} {
		if name != "" && !slices.ContainsFunc(earlier, func(o *Stream) bool { return o.Name == name }) {
			return fmt.Errorf("stream %s does not come before it", name)
		}
	}
	if slices.ContainsFunc(earlier, func(o *Stream) bool { return o.Name == st.Name }) {
		return errors.New("comes twice")
	}
	first := []string{FieldID, FieldAccount}
	if st.ParentID != "" {
		first = append(first, st.ParentID)
	}
	fields := st.Schema.Fields
	last := []string{FieldExtra, FieldSeq, FieldObserved}
	if len(fields) < len(first)+len(last) {
		return errors.New("has no fields of its own")
	}
	for i, name := range first {
		if fields[i].Name != name {
			return fmt.Errorf("field %d is %s, not %s", i, fields[i].Name, name)
		}
	}
	for i, name := range last {
		if f := &fields[len(fields)-len(last)+i]; f.Name != name || f.Compare {
			return fmt.Errorf("the last fields are not %s, compared by none", strings.Join(last, ", "))
		}
	}
	for _, name := range []string{st.Owner, st.Dates} {
		if name != "" && st.Schema.Field(name) < 0 {
			return fmt.Errorf("has no field %s", name)
		}
	}
	if err := st.Schema.checkFields(2); err != nil {
		return err
	}
	if _, err := st.Schema.plan(st); err != nil {
		return err
	}
	_, err := newObject("", st.Schema, st, Omit{})
	return err
}

// checkFields holds that only the first fields, the keys, are required, that null is every other union's first branch, and that each
// field says what it means.
func (s *Schema) checkFields(keys int) error {
	for i := range s.Fields {
		f := &s.Fields[i]
		switch {
		case f.Required != (i < keys), f.null > 0:
			return fmt.Errorf("field %s is no union of null and its type, in this order", f.Name)
		case f.Doc == "":
			return fmt.Errorf("field %s has no doc", f.Name)
		case f.Items != nil:
			if err := f.Items.checkFields(0); err != nil {
				return err
			}
		}
	}
	return nil
}

package schema

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Omit is what HARVEST_OMIT leaves out: fields that stay null everywhere. The zero value leaves out nothing.
type Omit struct {
	fields map[string]map[string]bool // by stream
}

// ParseOmit parses HARVEST_OMIT: stream.field, comma-separated, patterns with * on both sides of the point. What matches no field,
// or one that the programs need to recognise an object, its owner or its changes, is an error.
func ParseOmit(list string) (Omit, error) {
	o := Omit{fields: map[string]map[string]bool{}}
	var errs []error
	for pattern := range strings.SplitSeq(list, ",") {
		if pattern = strings.TrimSpace(pattern); pattern == "" {
			continue
		}
		if err := o.add(pattern); err != nil {
			errs = append(errs, err)
		}
	}
	return o, errors.Join(errs...)
}

func (o *Omit) add(pattern string) error {
	streams, fields, ok := strings.Cut(pattern, ".")
	if !ok {
		return fmt.Errorf("omitting %q: not of the form stream.field", pattern)
	}
	matched := false
	for _, st := range All() {
		if !matches(streams, st.Name) {
			continue
		}
		for i := range st.Schema.Fields {
			name := st.Schema.Fields[i].Name
			if !matches(fields, name) {
				continue
			}
			matched = true
			if st.needs(name) {
				return fmt.Errorf("omitting %q: %s.%s is needed and cannot be left out", pattern, st.Name, name)
			}
			if o.fields[st.Name] == nil {
				o.fields[st.Name] = map[string]bool{}
			}
			o.fields[st.Name][name] = true
		}
	}
	if !matched {
		return fmt.Errorf("omitting %q: no stream has such a field", pattern)
	}
	return nil
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// needs reports whether the programs cannot do without a field: all that have a role, save extra.
func (st *Stream) needs(field string) bool {
	r := st.role(field)
	return r != roleNone && r != roleExtra
}

// Has reports whether a field of a stream is left out.
func (o Omit) Has(stream, field string) bool { return o.fields[stream][field] }

// Fields returns the fields of a stream that are left out, sorted.
func (o Omit) Fields(stream string) []string {
	var names []string
	for name := range o.fields[stream] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

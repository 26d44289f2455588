package schema

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"harveststream/schemas"
)

// Read is how a stream is read from Harvest (design §3).
type Read uint8

// The ways a stream is read.
const (
	Changes  Read = iota // a list that takes updated_since
	Whole                // a list without it: read whole and compared
	Single               // one object
	Children             // a list per object of the parent stream
)

// Stream is one kind of object: one topic, one table. Streams are shared and must not be changed.
type Stream struct {
	Name     string // "time_entries"
	Path     string // below the base URL; Children: "invoices/{id}/messages", with the parent's id
	List     string // key of the list in the answer; "" for Single
	Read     Read
	Dates    string // the date that from and to filter by; streams with one are bounded by the anchor (P10)
	Parent   string // Children: the stream of the parents
	ParentID string // Children: the field with the parent's id

	// Owner is the field with the id of the object of OwnerStream that takes this one along when it is deleted (P7).
	Owner, OwnerStream string

	Get    string  // path of the GET of one object, fields of the record in braces; "" where there is none
	Module string  // field of company that switches the stream on; "" always on
	Schema *Schema // of its records
}

var catalogue = sync.OnceValue(func() []*Stream {
	streams, err := Load(schemas.FS, lines)
	if err != nil {
		panic(err) // a broken build: TestCatalogue fails before
	}
	return streams
})

// All returns every stream in catalogue order, parents before their children.
func All() []*Stream { return slices.Clone(catalogue()) }

// ByName returns the stream of that name.
func ByName(name string) (*Stream, bool) {
	for _, st := range catalogue() {
		if st.Name == name {
			return st, true
		}
	}
	return nil, false
}

// Select returns the streams that HARVEST_STREAMS names, in catalogue order: names and patterns with *, "-" before one takes
// out what it matches. A list that only takes out starts from all. A child brings its parent along. Nothing, or a pattern that
// matches nothing or is there twice, is an error.
func Select(patterns []string) ([]*Stream, error) {
	all := catalogue()
	in := make(map[string]bool, len(all))
	var errs []error
	for i, p := range patterns {
		p = strings.TrimSpace(p)
		name, out := strings.CutPrefix(p, "-")
		if i == 0 && out {
			mark(all, "*", in, true)
		}
		if n := mark(all, name, in, !out); n == 0 {
			errs = append(errs, fmt.Errorf("stream pattern %q matches no stream", p))
		}
		if slices.ContainsFunc(patterns[:i], func(q string) bool { return strings.TrimSpace(q) == p }) {
			errs = append(errs, fmt.Errorf("stream pattern %q is there twice", p))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var streams []*Stream
	for _, st := range slices.Backward(all) { // children come after their parents
		if in[st.Name] {
			streams = append(streams, st)
			if st.Parent != "" {
				in[st.Parent] = true
			}
		}
	}
	if len(streams) == 0 {
		return nil, fmt.Errorf("stream patterns %q leave no stream", strings.Join(patterns, ","))
	}
	slices.Reverse(streams)
	return streams, nil
}

// mark sets the streams that match the pattern and returns their number.
func mark(all []*Stream, pattern string, in map[string]bool, value bool) (n int) {
	for _, st := range all {
		if ok, err := path.Match(pattern, st.Name); err == nil && ok {
			in[st.Name] = value
			n++
		}
	}
	return n
}

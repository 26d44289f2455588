package harvesttest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"harveststream/pkg/schema"
)

// Scope is how much of a row a mirror must have.
type Scope uint8

// The scopes. A mirror may always be behind in the hours of running timers (P8), and between reads in what rides along without being a
// change by itself (design §4, "compare": false), extra among it.
const (
	Compared   Scope = iota // what counts as a change
	Everything              // that, and what rides along: of an account that stood still since it was read
)

// Differences holds a mirror of a stream against what an administrator is shown now: rows that are missing, rows that should not be there,
// columns with another value, a line each; nil where they are equal. Each row is a JSON object by column, as PostgreSQL's to_jsonb writes
// it; columns the schema does not name are not looked at. Values are worked out from the answers' JSON and the schema's "from" alone.
func (s *Sim) Differences(st *schema.Stream, rows [][]byte, scope Scope) []string {
	var found []string
	say := func(id int64, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s %d: ", st.Name, id)+fmt.Sprintf(format, args...))
	}
	truth := map[int64]map[string]string{}
	running := map[int64]bool{}
	for _, o := range s.Truth(st.Name) {
		object := decode(o.JSON)
		want := s.expected(st, object, o)
		id := o.ID
		if st.Read == schema.Single {
			id = s.opts.Account
		}
		truth[id], running[id] = want, object["is_running"] == true
	}
	for _, row := range rows {
		v := decode(row)
		id, _ := strconv.ParseInt(fmt.Sprint(v[schema.FieldID]), 10, 64)
		want, ok := truth[id]
		if !ok {
			say(id, "not in the account, or twice in the mirror")
			continue
		}
		delete(truth, id)
		for i := range st.Schema.Fields {
			f := &st.Schema.Fields[i]
			if strings.HasPrefix(f.Name, "_") || f.Timer && running[id] || scope == Compared && !f.Compare {
				continue
			}
			if got := plain(f, v[f.Name], false); got != want[f.Name] {
				say(id, "%s is %s, in the account %s", f.Name, shown(got), shown(want[f.Name]))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(truth)) {
		say(id, "missing")
	}
	return found
}

// decode reads JSON with its numbers as they are written.
func decode(object []byte) map[string]any {
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		panic(fmt.Sprintf("harvesttest: %v in %s", err, object))
	}
	return v
}

// expected is what a mirror has to say of an object, by column; no entry where it is null.
func (s *Sim) expected(st *schema.Stream, object map[string]any, o Object) map[string]string {
	out := columns(st.Schema, object, true)
	out[schema.FieldAccount] = quoted(s.opts.Account)
	if st.ParentID != "" {
		out[st.ParentID] = quoted(o.ParentID)
	}
	if st.Read == schema.Single {
		out[schema.FieldID] = out[schema.FieldAccount]
	}
	return out
}

// columns are a record's values by column. API says whether v is an answer's object, with embedded ones, or a mirror's flat one.
func columns(sc *schema.Schema, v map[string]any, api bool) map[string]string {
	out := map[string]string{}
	for i := range sc.Fields {
		f := &sc.Fields[i]
		x := v[f.Name]
		switch {
		case !api:
		case f.Name == schema.FieldExtra:
			x = remainder(sc, nil, v)
		default:
			x = at(v, f.From)
		}
		if t := plain(f, x, api); t != "" {
			out[f.Name] = t
		}
	}
	return out
}

func at(x any, path []string) any {
	for _, name := range path {
		m, ok := x.(map[string]any)
		if !ok {
			return nil
		}
		x = m[name]
	}
	return x
}

func quoted(id int64) string { return strconv.Quote(strconv.FormatInt(id, 10)) }

// remainder is what an answer says and no field takes, nulls left out; nil when there is nothing.
func remainder(sc *schema.Schema, path []string, v map[string]any) any {
	rest := map[string]any{}
	for name, x := range v {
		here := append(slices.Clone(path), name)
		taken := func(f schema.Field) bool { return f.Name != schema.FieldExtra && slices.Equal(f.From, here) }
		inner, embeds := x.(map[string]any)
		switch {
		case x == nil || slices.ContainsFunc(sc.Fields, taken):
		case embeds && slices.ContainsFunc(sc.Fields, func(f schema.Field) bool { return len(f.From) > len(here) && slices.Equal(f.From[:len(here)], here) }):
			if x := remainder(sc, here, inner); x != nil {
				rest[name] = x
			}
		default:
			rest[name] = x
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// plain is a value in a form that does not depend on who wrote it, "" for null. Arrays count as sets.
func plain(f *schema.Field, x any, api bool) string {
	if x == nil {
		return ""
	}
	if f.Name == schema.FieldExtra {
		b, err := json.Marshal(x) // sorts names
		if err != nil {
			panic(fmt.Sprintf("harvesttest: %v", err)) // it came from JSON
		}
		return string(b)
	}
	switch f.Kind {
	case schema.Decimal:
		if r, ok := new(big.Rat).SetString(fmt.Sprint(x)); ok {
			return r.RatString()
		}
	case schema.Timestamp:
		if t, err := time.Parse(time.RFC3339, fmt.Sprint(x)); err == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	case schema.Strings, schema.Longs, schema.Items:
		return asSet(f, x, api)
	}
	return fmt.Sprintf("%q", fmt.Sprint(x))
}

// shown is a value for people.
func shown(plain string) string { return cmp.Or(plain, "null") }

func asSet(f *schema.Field, x any, api bool) string {
	list, ok := x.([]any)
	if !ok {
		return fmt.Sprint(x)
	}
	members := make([]string, len(list))
	for i, e := range list {
		members[i] = fmt.Sprint(e)
		if item, ok := e.(map[string]any); ok && f.Items != nil {
			members[i] = fmt.Sprint(columns(f.Items, item, api)) // sorts names
		}
	}
	slices.Sort(members)
	return fmt.Sprintf("%q", members)
}

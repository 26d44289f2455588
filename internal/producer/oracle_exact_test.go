package producer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// unannounced is what every object has more under the fault harvesttest.DoUnknown, as extra says it.
const unannounced = `"unannounced":{"level":1,"tags":["a","b"]}`

// extraOf is what an object has and its schema has not (design §4), worked out by encoding/json and the schema's "from" alone: names sorted,
// nulls left out, numbers as they came; "" where there is nothing.
func extraOf(st *schema.Stream, object map[string]any) string {
	known := map[string]bool{}
	for i := range st.Schema.Fields {
		if from := st.Schema.Fields[i].From; len(from) > 0 {
			known[strings.Join(from, ".")] = true
			for n := range from[:len(from)-1] {
				known[strings.Join(from[:n+1], ".")+"."] = true // an embedded object: what is in it may be known
			}
		}
	}
	left := strays(object, "", known)
	if len(left) == 0 {
		return ""
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(left); err != nil {
		panic(err)
	}
	return strings.TrimSpace(text.String())
}

// strays are the members below a path that no field comes from.
func strays(object map[string]any, path string, known map[string]bool) map[string]any {
	left := map[string]any{}
	for name, x := range object {
		sub, embedded := x.(map[string]any)
		switch at := path + name; {
		case x == nil, known[at]:
		case embedded && known[at+"."]:
			if below := strays(sub, at+".", known); len(below) > 0 {
				left[name] = below
			}
		default:
			left[name] = withoutNulls(x)
		}
	}
	return left
}

// withoutNulls drops the members of objects that are null.
func withoutNulls(x any) any {
	switch v := x.(type) {
	case map[string]any:
		for name, x := range v {
			if v[name] = withoutNulls(x); x == nil {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return x
}

// sameExtra says whether a record's extra is what an object's has to be; an answer may have had the unannounced field as well.
func sameExtra(got, want string) bool {
	with := "{" + unannounced + "}"
	if want != "" {
		with = "{" + unannounced + "," + want[1:] // x_odd stands behind it
	}
	return got == want || got == with
}

// exact holds what a record says of itself against what it says of its object, and against the key's record before.
func (w *world) exact(st *schema.Stream, p, old published) {
	w.t.Helper()
	stamp := p.at
	switch told, dated := p.fields["updated_at"]; {
	case p.deleted:
		stamp = old.stamp // the stamp it had
	case dated:
		if at, err := time.Parse(time.RFC3339, told); err != nil || at.Before(stamp) { // never ahead of the server's clock
			stamp = at
		}
	case old.stamp.After(stamp): // dated by the server's clock, which may go back
		stamp = old.stamp
	}
	if stamp = stamp.Truncate(time.Second); !p.stamp.Equal(stamp) {
		w.t.Errorf("%s %d: STAMP: seq %d has %s, should have %s", st.Name, p.id, p.seq, p.stamp.Format(time.RFC3339Nano), stamp.Format(time.RFC3339))
	}
	if p.deleted {
		return
	}
	if seq, at := p.fields["_seq"], p.fields["_observed_at"]; seq != strconv.FormatInt(p.seq, 10) || at != p.at.UTC().Format(time.RFC3339) {
		w.t.Errorf("%s %d: TWICE: the headers say seq %d of %s, the fields %s of %s", st.Name, p.id, p.seq, p.at.Format(time.RFC3339), seq, at)
	}
}

// odd gives a random row a field that the schema does not know, with another field's change: so it is a version (P3), whose extra is known.
func (h *history) odd() {
	free := map[string]string{"time_entries": "notes", "expenses": "notes", "projects": "notes", "clients": "address", "invoices": "notes", "estimates": "notes"}
	names := slices.Sorted(maps.Keys(free))
	stream := names[h.oddRng.IntN(len(names))]
	ids := h.sim.IDs(stream)
	if len(ids) == 0 {
		return
	}
	id, n := ids[h.oddRng.IntN(len(ids))], h.oddRng.IntN(1_000_000_000)
	err := h.sim.Update(stream, id, harvesttest.Fields{free[stream]: fmt.Sprint("odd ", n),
		"x_odd": harvesttest.Raw(fmt.Sprintf(`{"z":[1.50,{"b":null,"a":"<1>"}],"none":null,"n":%d}`, n))})
	h.say("odd %s %d: %v", stream, id, err)
	h.sum.Faults["odd field"]++
}

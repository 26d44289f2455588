package harvesttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"harveststream/pkg/schema"
)

// generic makes a kind of a stream that the catalogue of this package does not know: the 22nd. Its rows are made up from
// its schema; nothing else in the account knows it, but Create, Update, Delete and the rest work.
func (s *Sim) generic(st *schema.Stream) *kind {
	k := &kind{name: st.Name, path: st.Path, list: st.List, parent: st.Parent, dated: st.Dates, since: st.Read == schema.Changes, module: st.Module,
		base: 100, made: map[string]any{}}
	if st.Parent != "" {
		k.path = st.Path[strings.LastIndexByte(st.Path, '/')+1:]
	}
	spec := []string{"id"}
	nested := map[string]map[string]any{}
	for _, f := range st.Schema.Fields {
		top := f.Name
		if len(f.From) > 0 {
			top = f.From[0]
		}
		switch {
		case f.Name == schema.FieldID || f.Name == schema.FieldAccount || f.Name == st.ParentID || f.Name == schema.FieldExtra || strings.HasPrefix(f.Name, "_"):
			continue
		case top == "created_at" || top == "updated_at": // every row has them
		case len(f.From) < 2:
			k.made[top] = sample(f)
		case referenced[top] != "":
			k.group = "client" // only the first could be; others are looked up all the same
			top += ">id,name"
		default:
			if nested[top] == nil {
				nested[top] = map[string]any{}
			}
			nested[top][f.From[1]] = sample(f)
		}
		if !slices.Contains(spec, top) {
			spec = append(spec, top)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(nested)) {
		text, err := json.Marshal(nested[name])
		if err != nil {
			panic("harvesttest: " + err.Error()) // samples can be written
		}
		k.made[name] = s.raw(string(text))
	}
	if !slices.Contains(spec, "client>id,name") {
		k.group = ""
	}
	k.spec = strings.Join(spec, " ")
	return k
}

// sample is a value of a field.
func sample(f schema.Field) any {
	switch f.Kind {
	case schema.Long:
		return 7
	case schema.Bool:
		return true
	case schema.Decimal:
		return 12.5
	case schema.Date:
		return "2026-01-02"
	case schema.Timestamp:
		return "2026-01-02T03:04:05Z"
	case schema.Strings:
		return []string{"a", "b"}
	case schema.Longs:
		return []int64{1, 2}
	case schema.Items:
		return nil
	}
	return f.Name
}

// extras seeds the rows of generic kinds: some of the account, or one below each parent.
func (d *seeder) extras() {
	for _, st := range d.s.opts.Extra {
		k := d.s.kind[st.Name]
		n := 25
		if k.parent != "" {
			n = len(d.s.kind[k.parent].byID)
		}
		d.many(st.Name, n, 90, 95, func(i int) (int64, Fields) {
			f := Fields{}
			for name := range k.slots { // into a map: order does not matter
				if parent := d.s.kind[referenced[name]]; parent != nil && len(parent.byID) > 0 {
					f[name+"_id"] = parent.byID[i%len(parent.byID)].id
				}
			}
			if k.has("name") {
				f["name"] = fmt.Sprintf("Name %d", i+1)
			}
			if k.parent != "" {
				return d.s.kind[k.parent].byID[i].id, f
			}
			return 0, f
		})
	}
}

package harvesttest

import (
	"strconv"
)

// appendRow writes one object. Embedded rows are looked up in the view, so names are those of the moment of reading.
func (v *view) appendRow(dst []byte, k *kind, r *row) []byte {
	v.bare = v.s.opts.Numbers == Bare || v.s.opts.Numbers == Mixed && r.id&1 == 0
	if r.more != nil && len(r.more.over) > 0 {
		return v.appendOverridden(dst, k, r)
	}
	dst = v.appendFields(append(dst, '{'), k.fields, r)
	if v.unknown {
		dst = append(dst, `,"unannounced":{"level":1,"tags":["a","b"]}`...)
	}
	return append(dst, '}')
}

func (v *view) appendFields(dst []byte, fields []field, r *row) []byte {
	first := true
	for i := range fields {
		f := &fields[i]
		var x val
		if f.mode == stored || f.mode == reference {
			if x = r.vals[f.slot]; x == tagMissing {
				continue
			}
		}
		if f.right != 0 && !v.seer.mayRate(f.right) {
			if !v.s.opts.NullRates {
				continue
			}
			dst = append(append(v.comma(dst, &first), f.key...), "null"...)
			continue
		}
		dst = append(v.comma(dst, &first), f.key...)
		switch f.mode {
		case stored:
			dst = v.appendVal(dst, x)
		case theID:
			dst = strconv.AppendInt(dst, r.id, 10)
		case theCreated:
			dst = appendInstant(dst, r.created)
		case theUpdated:
			dst = appendInstant(dst, r.updated)
		case reference:
			dst = v.appendRef(dst, f, x)
		case computed:
			dst = f.calc(v, f.owner, r, dst)
		}
	}
	return dst
}

func (v *view) comma(dst []byte, first *bool) []byte {
	if *first {
		*first = false
		return dst
	}
	return append(dst, ',')
}

func (v *view) appendVal(dst []byte, x val) []byte {
	switch x.tag() {
	case tagFalse:
		return append(dst, "false"...)
	case tagTrue:
		return append(dst, "true"...)
	case tagInt:
		return strconv.AppendInt(dst, x.int(), 10)
	case tagDec:
		return appendNumber(dst, x.int()>>4, int(x.int()&15), v.bare)
	case tagDate:
		return append(appendDate(append(dst, '"'), x.int()), '"')
	case tagClock:
		return appendClock(dst, int(x.int()), v.s.opts.Clock12)
	case tagTime:
		return appendInstant(dst, x.int())
	case tagText:
		return append(dst, v.s.texts[x.int()]...)
	case tagArray:
		return v.appendArray(dst, v.s.arrays[x.int()])
	case tagList:
		return v.appendList(dst, v.s.lists[x.int()])
	}
	return append(dst, "null"...)
}

func (v *view) appendArray(dst []byte, vals []val) []byte {
	dst = append(dst, '[')
	for i := range vals {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = v.appendVal(dst, vals[v.turn(i, len(vals))])
	}
	return append(dst, ']')
}

// appendList writes the rows of a list value; which kind they are follows from the number of their slots.
func (v *view) appendList(dst []byte, rows []*row) []byte {
	dst = append(dst, '[')
	for i := range rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		r := rows[v.turn(i, len(rows))]
		dst = append(v.appendFields(append(dst, '{'), v.s.itemKind(r).fields, r), '}')
	}
	return append(dst, ']')
}

// turn is the i-th index of n, or another one where arrays are shuffled: the last becomes the first.
func (v *view) turn(i, n int) int {
	if v.shuffle {
		return (i + n - 1) % n
	}
	return i
}

func (s *Sim) itemKind(r *row) *kind {
	for _, name := range []string{"recipient", "estimate_line_item"} {
		if k := s.kind[name]; len(k.slots) == len(r.vals) {
			return k
		}
	}
	return s.kind["line_item"]
}

// appendRef writes the short form of another row, from its cache where an administrator asks.
func (v *view) appendRef(dst []byte, f *field, x val) []byte {
	if !x.set() {
		return append(dst, "null"...)
	}
	r := v.get(f.kind, x.int())
	if r == nil {
		return append(dst, "null"...)
	}
	if f.parts != nil {
		return append(v.appendFields(append(dst, '{'), f.parts, r), '}')
	}
	return v.appendBrief(dst, f.kind, r)
}

func (v *view) appendBrief(dst []byte, k *kind, r *row) []byte {
	if v.seer != nil || v.s.opts.Numbers == Mixed {
		return append(v.appendFields(append(dst, '{'), k.brief, r), '}')
	}
	if r.more == nil {
		r.more = &more{}
	}
	if r.more.brief == "" {
		r.more.brief = string(append(v.appendFields([]byte{'{'}, k.brief, r), '}'))
	}
	return append(dst, r.more.brief...)
}

// appendOverridden writes an object some fields of which were replaced, added or taken out (Raw).
func (v *view) appendOverridden(dst []byte, k *kind, r *row) []byte {
	dst = append(dst, '{')
	first := true
	written := map[string]bool{}
	for i := range k.fields {
		f := &k.fields[i]
		at := len(dst)
		if o, ok := r.override(f.name); ok {
			written[f.name] = true
			if o != "" {
				dst = append(append(v.comma(dst, &first), f.key...), o...)
			}
			continue
		}
		dst = v.comma(dst, &first)
		head := len(dst)
		if dst = v.appendFields(dst, k.fields[i:i+1], r); len(dst) == head {
			dst = dst[:at]
			first = at > 0 && dst[at-1] == '{'
		}
	}
	for _, o := range r.more.over {
		if !written[o.name] && o.json != "" {
			dst = append(append(v.comma(dst, &first), quote(o.name)+":"...), o.json...)
		}
	}
	return append(dst, '}')
}

func (r *row) override(name string) (string, bool) {
	for _, o := range r.more.over {
		if o.name == name {
			return o.json, true
		}
	}
	return "", false
}

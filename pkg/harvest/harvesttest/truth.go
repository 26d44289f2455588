package harvesttest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Streams are the names of all streams, parents before children.
func (s *Sim) Streams() []string {
	var names []string
	for _, k := range s.kinds {
		names = append(names, k.name)
	}
	return names
}

// Count is the number of rows of a stream.
func (s *Sim) Count(stream string) int {
	s.enter()
	defer s.mu.Unlock()
	return len(s.kind[stream].byID)
}

// IDs are the ids of a stream, ascending.
func (s *Sim) IDs(stream string) []int64 {
	s.enter()
	defer s.mu.Unlock()
	var ids []int64
	for _, r := range s.kind[stream].byID {
		ids = append(ids, r.id)
	}
	return ids
}

// Truth is what an administrator would be shown of a stream now, ordered by id. Changes that are not visible yet are not in it.
func (s *Sim) Truth(stream string) []Object {
	s.enter()
	defer s.mu.Unlock()
	return s.present().objects(s.kind[stream])
}

// TruthAt is Truth as it was at a moment.
func (s *Sim) TruthAt(stream string, at time.Time) []Object {
	s.enter()
	defer s.mu.Unlock()
	return s.past(at).objects(s.kind[stream])
}

func (v *view) objects(k *kind) []Object {
	rows := v.rows(k)
	out := make([]Object, 0, len(rows))
	for _, r := range rows {
		out = append(out, v.object(k, r))
	}
	slices.SortFunc(out, func(a, b Object) int { return int(a.ID - b.ID) })
	return out
}

func (v *view) object(k *kind, r *row) Object {
	o := Object{ID: r.id, JSON: slices.Clip(v.appendRow(nil, k, r))}
	if k.parent != "" {
		o.ParentID = r.parent
	}
	return o
}

// Object is one row as an administrator would be shown it now.
func (s *Sim) Object(stream string, id int64) (Object, bool) {
	s.enter()
	defer s.mu.Unlock()
	k := s.kind[stream]
	r := k.get(id)
	if r == nil {
		return Object{}, false
	}
	return s.present().object(k, r), true
}

// Versions are all contents an object ever had, oldest first, embedded names included, its absences too.
func (s *Sim) Versions(stream string, id int64) []Version {
	s.enter()
	defer s.mu.Unlock()
	k := s.kind[stream]
	var out []Version
	add := func(pos int, at time.Time) {
		v := view{s: s, pos: pos, now: at.UnixNano()}
		next := Version{From: at, Deleted: true}
		if r := v.get(k, id); r != nil {
			next = Version{From: at, JSON: v.appendRow(nil, k, r), Running: v.running}
		}
		if n := len(out); n > 0 {
			if out[n-1].Deleted == next.Deleted && !next.Running && bytes.Equal(out[n-1].JSON, next.JSON) {
				return
			}
			out[n-1].To = at
		} else if next.Deleted {
			return // it was not there yet
		}
		out = append(out, next)
	}
	add(0, s.born)
	for _, pos := range s.moments(k, id) {
		if pos+1 == len(s.log) || s.log[pos+1].commit != s.log[pos].commit {
			add(pos+1, time.Unix(0, s.log[pos].at))
			continue
		}
		last := pos // the end of its commit is what could be seen
		for last+1 < len(s.log) && s.log[last+1].commit == s.log[pos].commit {
			last++
		}
		add(last+1, time.Unix(0, s.log[pos].at))
	}
	return out
}

// moments are the positions of the log that changed an object or something it shows, ascending.
func (s *Sim) moments(k *kind, id int64) []int {
	keys := []rowKey{{k, id}, {s.kind["company"], s.opts.Account}}
	versions := []*row{k.get(id)}
	for _, pos := range s.timeline[keys[0]] {
		versions = append(versions, s.log[pos].old, s.log[pos].new)
	}
	for _, r := range versions {
		keys = s.shown(keys, k, r)
	}
	var at []int
	seen := map[rowKey]bool{}
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			for _, pos := range s.timeline[key] {
				at = append(at, int(pos))
			}
		}
	}
	if k.name == "users" {
		for _, pos := range s.kind["roles"].log {
			at = append(at, int(pos))
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// shown adds the keys of the rows a row embeds.
func (s *Sim) shown(keys []rowKey, k *kind, r *row) []rowKey {
	if r == nil {
		return keys
	}
	for i := range k.fields {
		f := &k.fields[i]
		if f.mode == stored {
			for _, item := range s.rowsOf(r.vals[f.slot]) {
				keys = s.shown(keys, s.itemKind(item), item)
			}
		}
		if f.mode != reference || !r.vals[f.slot].set() {
			continue
		}
		id := r.vals[f.slot].int()
		keys = append(keys, rowKey{f.kind, id})
		if f.kind.name == "projects" {
			if p := f.kind.get(id); p != nil {
				keys = append(keys, rowKey{s.kind["clients"], p.parent})
			}
			for _, pos := range s.timeline[rowKey{f.kind, id}] {
				if old := s.log[pos].old; old != nil {
					keys = append(keys, rowKey{s.kind["clients"], old.parent})
				}
			}
		}
	}
	return keys
}

// WasVisible says whether an administrator could ever have been shown this object: the same names and values, in any
// order of names; the hours of a running timer may be any that it passed through.
func (s *Sim) WasVisible(stream string, id int64, object []byte) bool {
	return slices.ContainsFunc(s.Versions(stream, id), func(v Version) bool {
		if v.Deleted {
			return false
		}
		got, ok := fields(object)
		want, _ := fields(v.JSON)
		if !ok {
			return false
		}
		if !v.Running {
			return equalFields(want, got)
		}
		to := v.To
		if to.IsZero() {
			to = s.now()
		}
		hours, grown := number(got["hours"]), number(want["hours"])+to.Sub(v.From).Hours()+0.01
		if hours < number(want["hours"])-0.01 || hours > grown {
			return false
		}
		for _, name := range []string{"hours", "rounded_hours"} {
			delete(want, name)
			delete(got, name)
		}
		return equalFields(want, got)
	})
}

func fields(object []byte) (map[string]json.RawMessage, bool) {
	m := map[string]json.RawMessage{}
	return m, json.Unmarshal(object, &m) == nil
}

func number(raw json.RawMessage) float64 {
	f, _ := strconv.ParseFloat(string(raw), 64)
	return f
}

func equalFields(a, b map[string]json.RawMessage) bool {
	if len(a) != len(b) {
		return false
	}
	for name, x := range a {
		if y, ok := b[name]; !ok || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}

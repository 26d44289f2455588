package harvesttest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tx is a change being made: its stamp is when it was asked for, s.commitTime when it became visible.
type tx struct {
	s       *Sim
	stamp   int64 // unix seconds: created_at, updated_at
	restore bool  // stamps may go back
	seeding bool  // no log
	quiet   Silent
}

// pending is a change that was made and is not visible yet (harvest-api §5.16).
type pending struct {
	at, stamp int64 // unix nanoseconds
	quiet     Silent
	fn        func(*tx) error
}

// enter takes the lock and lets everything become visible that is due.
func (s *Sim) enter() {
	s.mu.Lock()
	now := s.now().UnixNano()
	for len(s.pending) > 0 && s.pending[0].at <= now {
		p := s.pending[0]
		s.pending = s.pending[1:]
		s.begin(p.at)
		_ = p.fn(&tx{s: s, stamp: p.stamp / 1e9, quiet: p.quiet}) // what it was about may be gone by now: then it never happened
	}
}

// do makes a change, now or late. A late one answers nil at once and is dropped if it turns out to be impossible.
func (s *Sim) do(fn func(*tx) error) error {
	now := s.now().UnixNano()
	if s.late.share > 0 && s.late.rng.Float64() < s.late.share {
		p := pending{at: now + 1 + s.late.rng.Int64N(int64(s.late.most)), stamp: now, quiet: s.quiet, fn: fn}
		i, _ := slices.BinarySearchFunc(s.pending, p.at, func(q pending, at int64) int {
			if q.at <= at {
				return -1
			}
			return 1
		})
		s.pending = slices.Insert(s.pending, i, p)
		return nil
	}
	s.begin(now)
	return fn(&tx{s: s, stamp: now / 1e9, quiet: s.quiet})
}

// begin opens a commit: what it changes becomes visible together.
func (s *Sim) begin(at int64) {
	s.commitTime = max(s.commitTime, at)
	s.commits++
}

func (t *tx) now() time.Time { return time.Unix(t.stamp, 0).UTC() }

// put makes r the present version of its object.
func (t *tx) put(k *kind, r *row) {
	if k.group != "" {
		r.parent = r.vals[k.slots[k.group]].int()
	}
	old := k.get(r.id)
	if old != nil && !t.restore && r.updated < old.updated && old.updated <= t.s.commitTime/1e9 {
		r.updated = old.updated // a later change overtook this one: a row lock would have ordered them
	}
	t.s.trackTimer(k, old, r)
	if old == nil {
		k.insert(r)
	} else {
		k.replace(old, r)
	}
	if !t.seeding {
		t.s.record(k, r.id, old, r)
	}
}

// remove deletes rows.
func (t *tx) remove(k *kind, rows ...*row) {
	rows = slices.Clone(rows) // may be a slice of the table
	k.remove(rows)
	for _, r := range rows {
		t.s.trackTimer(k, r, nil)
		if !t.seeding {
			t.s.record(k, r.id, r, nil)
		}
	}
}

// edit changes a row; its updated_at moves unless silent.
func (t *tx) edit(k *kind, id int64, silent bool, change func(*row)) {
	old := k.get(id)
	if old == nil {
		return
	}
	r := old.copy()
	change(r)
	if !silent {
		r.updated = t.stamp
	}
	t.put(k, r)
}

func (s *Sim) trackTimer(k *kind, old, next *row) {
	if k.name != "time_entries" {
		return
	}
	user := k.slots["user"]
	if old != nil {
		delete(s.timers, old.id)
	}
	if next != nil {
		if _, ok := s.running(next); ok {
			s.timers[next.id] = next.vals[user].int()
		}
	}
}

// apply sets fields of a new version of a row. Raw goes beside the row, so that even computed fields can be replaced.
func (t *tx) apply(k *kind, r *row, f Fields) error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		x := f[name]
		if raw, ok := x.(Raw); ok {
			r.setOverride(name, string(raw))
			continue
		}
		if r.more != nil {
			r.more = &more{over: slices.DeleteFunc(slices.Clone(r.more.over), func(o override) bool { return o.name == name })}
		}
		if err := t.applyField(k, r, name, x); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) setOverride(name, json string) {
	var over []override
	if r.more != nil {
		over = slices.DeleteFunc(slices.Clone(r.more.over), func(o override) bool { return o.name == name })
	}
	r.more = &more{over: append(over, override{name, json})}
}

func (t *tx) applyField(k *kind, r *row, name string, x any) error {
	s := t.s
	if list, ok := x.([]Fields); ok {
		rows, err := t.itemRows(k, name, list)
		if err != nil {
			return err
		}
		x = s.rowList(rows)
	}
	base, isID := strings.CutSuffix(name, "_id")
	switch {
	case name == "created_at":
		if at, ok := x.(time.Time); ok {
			r.created = at.Unix()
		}
		return nil
	case k.has("_" + name):
		name = "_" + name
	case isID && k.has(base) && referenced[base] != "":
		name = base
	case !k.has(name):
		return fmt.Errorf("%s has no field %s that can be set", k.name, name)
	}
	v, err := s.value(strings.TrimPrefix(name, "_"), x)
	if err != nil {
		return err
	}
	if parent := s.kind[referenced[name]]; parent != nil && v.set() && parent.get(v.int()) == nil {
		return &Refusal{422, strings.ToUpper(name[:1]) + name[1:] + " must exist"}
	}
	r.vals[k.slots[name]] = v
	return nil
}

// itemRows makes the objects of an array.
func (t *tx) itemRows(k *kind, name string, list []Fields) ([]*row, error) {
	item := t.s.kind["recipient"]
	if name == "line_items" {
		item = t.s.kind[map[string]string{"invoices": "line_item", "estimates": "estimate_line_item"}[k.name]]
	}
	var rows []*row
	for _, f := range list {
		r := blank(item)
		item.next++
		r.id = item.next
		if err := t.apply(item, r, f); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// blank is a row of nulls.
func blank(k *kind) *row {
	r := &row{vals: make([]val, len(k.slots))}
	for i := range r.vals {
		r.vals[i] = tagNull
	}
	return r
}

// SetLate makes a share of the following changes visible only after a delay drawn from (0, most]; they keep the stamp and
// the id of the moment they were made. Create and the like answer at once; what turns out to be impossible by then never
// happened.
func (s *Sim) SetLate(share float64, most time.Duration) {
	s.enter()
	defer s.mu.Unlock()
	s.late.share, s.late.most = share, most
}

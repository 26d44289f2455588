package harvesttest

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// row is one version of one object; it is never changed after it was put into its table, so old versions, lists being
// served and the log can share it.
type row struct {
	id               int64
	created, updated int64 // unix seconds
	parent           int64 // path parent (child kinds) or value of the kind's group slot
	vals             []val
	more             *more
}

type more struct {
	brief string // cached short form as an administrator sees it
	over  []override
}

// override replaces or adds a field with JSON text (Raw).
type override struct{ name, json string }

func (r *row) copy() *row {
	c := *r
	c.vals = slices.Clone(r.vals)
	c.more = nil
	if r.more != nil && len(r.more.over) > 0 {
		c.more = &more{over: r.more.over}
	}
	return &c
}

// table holds the present rows of a kind.
type table struct {
	rows     map[int64]*row   // nil: found in byID
	byID     []*row           // ascending
	byDate   []*row           // dated kinds: by date, then id, ascending; rows without a date first
	kids     map[int64][]*row // by parent, ascending by id
	next     int64            // next id
	oldest   int64            // no row was ever updated before this
	newest   int64            // no seeded row was updated after this
	youngest int64            // when the last seeded row was created
	ahead    bool             // some row was stamped later than it was written: the log's times bound nothing
	log      []int32          // positions of this kind's changes
}

// change is an entry of the log; positions in the log are the account's moments.
type change struct {
	at       int64  // unix nanoseconds when it became visible
	commit   uint64 // changes of one commit became visible together
	k        *kind
	id       int64
	old, new *row // nil: absent
}

type rowKey struct {
	k  *kind
	id int64
}

func (k *kind) date(r *row) int64 {
	if x := r.vals[k.slots[k.dated]]; x.tag() == tagDate {
		return x.int()
	}
	return noDay
}

const noDay = -1 << 40

func (k *kind) find(id int64) (int, bool) {
	return slices.BinarySearchFunc(k.byID, id, func(r *row, id int64) int { return cmp.Compare(r.id, id) })
}

func (k *kind) get(id int64) *row {
	if k.rows != nil {
		return k.rows[id]
	}
	if i, ok := k.find(id); ok {
		return k.byID[i]
	}
	return nil
}

func (k *kind) compareDated(a, b *row) int {
	return cmp.Or(cmp.Compare(k.date(a), k.date(b)), cmp.Compare(a.id, b.id))
}

// insert, replace and remove keep the slices of a table in order.
func (k *kind) insert(r *row) {
	k.byID = insertSorted(k.byID, r, byID)
	if k.rows != nil {
		k.rows[r.id] = r
	}
	if k.dated != "" {
		k.byDate = insertSorted(k.byDate, r, k.compareDated)
	}
	if k.kids != nil {
		k.kids[r.parent] = insertSorted(k.kids[r.parent], r, byID)
	}
	k.next = max(k.next, r.id)
}

func (k *kind) replace(old, r *row) {
	i, _ := k.find(r.id)
	k.byID[i] = r
	if k.rows != nil {
		k.rows[r.id] = r
	}
	if k.dated != "" {
		if k.date(old) == k.date(r) {
			i, _ := slices.BinarySearchFunc(k.byDate, old, k.compareDated)
			k.byDate[i] = r
		} else {
			k.byDate = insertSorted(removeSorted(k.byDate, old, k.compareDated), r, k.compareDated)
		}
	}
	if k.kids != nil {
		if old.parent == r.parent {
			i, _ := slices.BinarySearchFunc(k.kids[r.parent], r, byID)
			k.kids[r.parent][i] = r
		} else {
			k.kids[old.parent] = removeSorted(k.kids[old.parent], old, byID)
			k.kids[r.parent] = insertSorted(k.kids[r.parent], r, byID)
		}
	}
}

func (k *kind) remove(rows []*row) {
	if len(rows) > 16 { // one pass instead of a move of the tail for each
		gone := make(map[int64]bool, len(rows))
		for _, r := range rows {
			gone[r.id] = true
		}
		isGone := func(r *row) bool { return gone[r.id] }
		k.byID, k.byDate = slices.DeleteFunc(k.byID, isGone), slices.DeleteFunc(k.byDate, isGone)
	} else {
		for _, r := range rows {
			k.byID = removeSorted(k.byID, r, byID)
			if k.dated != "" {
				k.byDate = removeSorted(k.byDate, r, k.compareDated)
			}
		}
	}
	for _, r := range rows {
		if k.rows != nil {
			delete(k.rows, r.id)
		}
		if k.kids != nil {
			if k.kids[r.parent] = removeSorted(k.kids[r.parent], r, byID); len(k.kids[r.parent]) == 0 {
				delete(k.kids, r.parent)
			}
		}
	}
}

func byID(a, b *row) int { return cmp.Compare(a.id, b.id) }

func insertSorted(rows []*row, r *row, order func(a, b *row) int) []*row {
	i, _ := slices.BinarySearchFunc(rows, r, order)
	return slices.Insert(rows, i, r)
}

func removeSorted(rows []*row, r *row, order func(a, b *row) int) []*row {
	if i, ok := slices.BinarySearchFunc(rows, r, order); ok {
		return slices.Delete(rows, i, i+1)
	}
	return rows
}

// record appends to the log. Without versions the old row is let go.
func (s *Sim) record(k *kind, id int64, old, next *row) {
	pos := int32(len(s.log))
	if s.opts.NoVersions {
		old = nil
	} else {
		key := rowKey{k, id}
		s.timeline[key] = append(s.timeline[key], pos)
	}
	s.log = append(s.log, change{at: s.commitTime, commit: s.commits, k: k, id: id, old: old, new: next})
	k.log = append(k.log, pos)
	if next != nil {
		k.oldest = min(k.oldest, next.updated)
		if next.updated > s.commitTime/1e9 {
			k.ahead = true
		}
	}
	s.version++
}

// A view is the account at a position of the log, at a time, as somebody sees it.
type view struct {
	s       *Sim
	pos     int   // changes from here on have not happened yet
	now     int64 // unix nanoseconds: for running timers
	seer    *seer // nil: an administrator
	unknown bool  // every object has a field more
	shuffle bool  // arrays come in another order
	bare    bool  // numbers of the row being written
	running bool  // a running timer was written
	round   int64 // rounding() + 1
}

func (s *Sim) present() *view { return &view{s: s, pos: len(s.log), now: s.now().UnixNano()} }

// past is the account as it was at that time.
func (s *Sim) past(at time.Time) *view {
	nano := at.UnixNano()
	pos := sort.Search(len(s.log), func(i int) bool { return s.log[i].at > nano })
	return &view{s: s, pos: pos, now: nano}
}

func (v *view) get(k *kind, id int64) *row {
	if v.pos < len(v.s.log) && !v.s.opts.NoVersions {
		line := v.s.timeline[rowKey{k, id}]
		if i := sort.Search(len(line), func(i int) bool { return int(line[i]) >= v.pos }); i < len(line) {
			return v.s.log[line[i]].old
		}
	}
	return k.get(id)
}

// rows are all rows of a kind in its order (by date, or by id), ascending; not to be changed.
func (v *view) rows(k *kind) []*row {
	base, order := k.byID, byID
	if k.dated != "" {
		base, order = k.byDate, k.compareDated
	}
	first := sort.Search(len(k.log), func(i int) bool { return int(k.log[i]) >= v.pos })
	if first == len(k.log) || v.s.opts.NoVersions {
		return base
	}
	then := map[int64]*row{} // ids changed since: what they were
	var back []*row
	for _, pos := range k.log[first:] {
		c := &v.s.log[pos]
		if _, ok := then[c.id]; !ok {
			then[c.id] = c.old
			if c.old != nil {
				back = append(back, c.old)
			}
		}
	}
	rows := slices.DeleteFunc(slices.Clone(base), func(r *row) bool { _, ok := then[r.id]; return ok })
	rows = append(rows, back...)
	slices.SortFunc(rows, order)
	return rows
}

// kids are the rows of a kind below a parent, ascending by id.
func (v *view) kids(k *kind, parent int64) []*row {
	if v.pos == len(v.s.log) {
		return k.kids[parent]
	}
	var rows []*row
	for _, r := range v.rows(k) {
		if r.parent == parent {
			rows = append(rows, r)
		}
	}
	return rows
}

// changedSince are the rows, in the kind's order, that can have been updated at or after a time: all, or, when the log
// reaches back far enough, those it names. The second result says that every row qualifies.
func (v *view) changedSince(k *kind, since int64) ([]*row, bool) {
	switch {
	case since <= k.oldest:
		return v.rows(k), true
	case since <= k.newest || k.ahead || v.pos < len(v.s.log):
		return v.rows(k), false
	}
	var rows []*row
	seen := map[int64]bool{}
	for _, pos := range slices.Backward(k.log) {
		c := &v.s.log[pos]
		if c.at/1e9 < since {
			break // a row is never stamped later than it became visible, or k.ahead would be set
		}
		if seen[c.id] {
			continue
		}
		seen[c.id] = true
		if r := k.get(c.id); r != nil {
			rows = append(rows, r)
		}
	}
	order := byID
	if k.dated != "" {
		order = k.compareDated
	}
	slices.SortFunc(rows, order)
	return rows, false
}

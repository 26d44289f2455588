package producer

import (
	"math"
	"slices"
	"sync"

	"harveststream/pkg/schema"
)

// noDay marks an entry that lies in no window of dates.
const noDay = math.MinInt32

// entry is what the index knows of a key: its last published record and the latest observation that agreed with it.
type entry struct {
	id    int64
	hash  uint64 // content hash of the last published record; of no meaning when gone
	seq   int64
	owner int64  // what takes it along when deleted (P7); a child's parent
	stamp uint32 // Unix seconds, see stampOf
	req   uint32 // number of the latest request that saw it so; 0 = read back from the topic (P5)
	day   int32  // noDay, or days since 1970-01-01
	flags uint8

	textSize uint16 // the JSON that showed it so, if known (schema.Text, taken apart for size): the same bytes say the same again
	textHash uint64
}

const (
	flagGone    = 1 << iota // the last record is a tombstone
	flagRunning             // the last record is a running timer (P8)
)

func (e *entry) gone() bool    { return e.flags&flagGone != 0 }
func (e *entry) running() bool { return e.flags&flagRunning != 0 }

func (e *entry) text() schema.Text { return schema.Text{Hash: e.textHash, Size: e.textSize} }

// says reports whether the key's content is still that of a record, of which a worker made no more than that.
func (e *entry) says(rec *schema.Record) bool { return e != nil && !e.gone() && e.hash == rec.Hash }

// knows notes the JSON a record was made of. A stamp must be the row's own, not the server's clock: that goes on.
func (e *entry) knows(rec *schema.Record) {
	if rec.Updated > 0 && rec.Updated/1000 == int64(e.stamp) {
		e.textHash, e.textSize = rec.Text.Hash, rec.Text.Size
	}
}

const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
)

// index is the memory of one stream: every key ever published, tombstones included (P3). Rows lie in chunks in the order of
// their first sight, so that pointers stay good, nothing is copied when it grows, and every walk over it has one order; a table
// of row numbers with open addressing finds them by id. What a row's number leaves free in its place of the table says a little of the
// id's hash: rows lie far apart in memory, and few are looked at in vain. 62 to 64 bytes a key.
//
// It is the engine's, whose goroutine alone writes it. Workers may ask one thing, known: so what that tells, and what leads there,
// changes under the lock.
type index struct {
	mu     sync.RWMutex
	chunks [][]entry
	n      int      // rows
	table  []uint32 // row number + 1 and, above it, some bits of the hash; 0 = free
	number uint32   // the bits of a row number
	live   int      // rows not gone

	anchor  uint32         // rows with a lower stamp are not counted by probes (P10, P12)
	counted int            // live rows with stamp ≥ anchor
	days    map[int32]int  // the same by day; nil for streams without dates
	kids    map[int64]span // child streams only: the rows of a parent
}

// span lists the rows of one parent, newest last.
type span []uint32

func newIndex(dated, children bool, anchor uint32) *index {
	x := &index{table: make([]uint32, 64), number: 64 - 1, anchor: anchor}
	if dated {
		x.days = map[int32]int{}
	}
	if children {
		x.kids = map[int64]span{}
	}
	return x
}

func (x *index) row(i uint32) *entry { return &x.chunks[i>>chunkBits][i&(chunkSize-1)] }

// place returns where the search for an id begins in the table, and how its place is marked.
func (x *index) place(id int64) (first int, mark uint32) {
	h := uint64(id) * 0x9E3779B97F4A7C15
	return int(h >> 32 * uint64(len(x.table)) >> 32), uint32(h) &^ x.number
}

// slot returns where id is in the table, or the free place where it belongs.
func (x *index) slot(id int64) (at int, mark uint32) {
	at, mark = x.place(id)
	for {
		r := x.table[at]
		if r == 0 || r&^x.number == mark && x.row(r&x.number-1).id == id {
			return at, mark
		}
		if at++; at == len(x.table) {
			at = 0
		}
	}
}

// get returns the entry of a key, nil if it was never published. The pointer stays good; changes go through put.
func (x *index) get(id int64) *entry {
	at, _ := x.slot(id)
	if r := x.table[at] & x.number; r != 0 {
		return x.row(r - 1)
	}
	return nil
}

// known is what workers may ask of a key: the content it has, and the JSON that was last seen to say so, if that is known. A row in that
// JSON has the stamp. All of it is zero of a key that is not there, or gone.
type known struct {
	text  schema.Text
	hash  uint64
	stamp uint32
}

// known tells what is known of a key. Any goroutine may ask.
func (x *index) known(id int64) known {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.get(id); e != nil && !e.gone() {
		return known{text: e.text(), hash: e.hash, stamp: e.stamp}
	}
	return known{}
}

// seen notes that an entry was seen again as it is, and the JSON that says so.
func (x *index) seen(e *entry, rec *schema.Record) {
	if e.text() == rec.Text {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e.knows(rec)
}

// put stores what was published last for a key.
func (x *index) put(e entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, mark := x.slot(e.id)
	if r := x.table[at] & x.number; r != 0 {
		old := x.row(r - 1)
		x.count(old, -1)
		if x.kids != nil && old.owner != e.owner {
			x.adopt(r-1, old.owner, e.owner)
		}
		*old = e
		x.count(old, 1)
		return
	}
	if x.n>>chunkBits == len(x.chunks) {
		x.chunks = append(x.chunks, make([]entry, chunkSize))
	}
	i := uint32(x.n)
	x.n++
	*x.row(i) = e
	x.table[at] = mark | i + 1
	x.count(&e, 1)
	if x.kids != nil {
		x.kids[e.owner] = append(x.kids[e.owner], i)
	}
	if x.n*4 > len(x.table)*3 {
		x.grow()
	}
}

func (x *index) count(e *entry, by int) {
	if e.gone() {
		return
	}
	x.live += by
	if e.stamp < x.anchor {
		return
	}
	x.counted += by
	if x.days != nil && e.day != noDay {
		x.days[e.day] += by
	}
}

func (x *index) adopt(row uint32, from, to int64) {
	x.kids[from] = slices.DeleteFunc(x.kids[from], func(r uint32) bool { return r == row })
	x.kids[to] = append(x.kids[to], row)
}

// grow makes the table larger by little: a third of it is empty at most.
func (x *index) grow() {
	x.table = make([]uint32, len(x.table)*4/3)
	for x.number < uint32(len(x.table)) {
		x.number = x.number<<1 | 1
	}
	for i := range uint32(x.n) {
		at, mark := x.place(x.row(i).id)
		for x.table[at] != 0 {
			if at++; at == len(x.table) {
				at = 0
			}
		}
		x.table[at] = mark | i + 1
	}
}

// isEmpty says whether no key was ever published.
func (x *index) isEmpty() bool { return x.n == 0 }

// all visits every entry in the order of its first sight.
func (x *index) all(visit func(*entry)) {
	for i := range uint32(x.n) {
		visit(x.row(i))
	}
}

// children visits the living rows of a parent.
func (x *index) children(parent int64, visit func(*entry)) {
	for _, r := range x.kids[parent] {
		if e := x.row(r); !e.gone() {
			visit(e)
		}
	}
}

// window is a range of days, both ends included; whole covers also what has no day.
type window struct {
	from, to int32
	whole    bool
}

var everything = window{whole: true, from: math.MinInt32 + 1, to: math.MaxInt32}

func (w window) holds(e *entry) bool {
	return w.whole || e.day != noDay && w.from <= e.day && e.day <= w.to
}

// within counts the rows a probe of the window should find (P12).
func (x *index) within(w window) int {
	if w.whole {
		return x.counted
	}
	n := 0
	for day, c := range x.days {
		if w.from <= day && day <= w.to {
			n += c
		}
	}
	return n
}

// dayList returns the days that hold rows, in order.
func (x *index) dayList() []int32 {
	days := make([]int32, 0, len(x.days))
	for d, n := range x.days {
		if n > 0 {
			days = append(days, d)
		}
	}
	slices.Sort(days)
	return days
}

// unmet returns the living keys of a window that no request since the numbered one has shown: a sweep's candidates (P7).
func (x *index) unmet(w window, first uint32) []int64 {
	var ids []int64
	x.all(func(e *entry) {
		if !e.gone() && e.req < first && w.holds(e) {
			ids = append(ids, e.id)
		}
	})
	return ids
}

package sinker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/pkg/schema"
)

// Headers of a record (design §4).
const (
	headerOp       = "harvest-op"
	headerSeq      = "harvest-seq"
	headerObserved = "harvest-observed-at"
)

// entry is one record of a batch, as far as it is read before folding.
type entry struct {
	account, id, seq int64
	tombstone        bool
	created          bool // its writer knew no such object before
	schemaID         int
	body             []byte // Avro bytes; aliases the record
	at               int64  // tombstones: when the object was found gone, PostgreSQL's microseconds
	rec              *kgo.Record
}

// readEntry reads key, headers and wire header of a record. An error is the record's fault.
func readEntry(rec *kgo.Record) (entry, error) {
	e := entry{rec: rec, tombstone: rec.Value == nil}
	var err error
	if _, e.id, e.account, err = schema.ParseKey(rec.Key); err != nil {
		return e, err
	}
	if err = e.readHeaders(); err != nil {
		return e, err
	}
	if e.tombstone {
		e.at = micros(observedOf(rec))
		return e, nil
	}
	e.schemaID, e.body, err = schema.SplitHeader(rec.Value)
	return e, err
}

// unusable reports whether only key and rank could be read.
func (e *entry) unusable() bool { return !e.tombstone && e.body == nil }

// readHeaders reads the record's rank, which every record of our producer has, and whether it is the object's first.
func (e *entry) readHeaders() error {
	for i := range e.rec.Headers {
		h := &e.rec.Headers[i]
		switch h.Key {
		case headerOp:
			e.created = string(h.Value) == "create"
		case headerSeq:
			seq, err := strconv.ParseInt(string(h.Value), 10, 64)
			if err != nil || seq < 1 {
				return fmt.Errorf("header %s is %.40q, no number from 1", headerSeq, h.Value)
			}
			e.seq = seq
		}
	}
	if e.seq == 0 {
		return errors.New("header " + headerSeq + " is missing")
	}
	return nil
}

// observedOf is when the record's object was read; the record's own time where it does not say.
func observedOf(rec *kgo.Record) time.Time {
	for i := range rec.Headers {
		if rec.Headers[i].Key == headerObserved {
			if t, err := time.Parse(time.RFC3339Nano, string(rec.Headers[i].Value)); err == nil {
				return t
			}
		}
	}
	return rec.Timestamp
}

// change is what a batch has to say about one key: the upsert of the highest seq, the tombstone of the highest seq, and, once the
// probe is answered, what the tables have of it.
type change struct {
	account, id int64
	up          entry // up.rec nil: none
	gone        int64 // seq of a tombstone above up; 0 none
	goneAt      int64

	found  bool  // the table has a row,
	had    int64 // of this seq
	dead   int64 // seq that _deleted has, 0 none
	deadAt int64
}

// fold reduces entries to one change per key, sorted by key (S3, S4). In hard mode a tombstone leaves nothing of what it outranks; in
// soft mode the row stays, so its content counts. It reorders entries and appends to dst.
func fold(dst []change, entries []entry, soft bool) []change {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.id, b.id), cmp.Compare(a.seq, b.seq))
	})
	for i := 0; i < len(entries); {
		c := change{account: entries[i].account, id: entries[i].id}
		for ; i < len(entries) && entries[i].account == c.account && entries[i].id == c.id; i++ {
			switch e := &entries[i]; {
			case e.tombstone:
				c.gone, c.goneAt = e.seq, e.at
				if !soft {
					c.up = entry{}
				}
			default:
				c.up, c.gone = *e, 0
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// action is what a change asks of the tables.
type action struct {
	insert, update bool  // the row of up
	deleted        int64 // its _deleted_at, or noTime
	remove         bool  // hard: the row goes
	markGone       bool  // soft: the row that is there is marked
	remember       bool  // the tombstone goes to _deleted
}

// decide compares a change with what the tables have (S3): a row changes only to a higher seq, and what was deleted at a higher seq
// stays deleted. So any order of any records leads to the same rows.
func decide(c *change, soft bool) action {
	a := action{deleted: noTime}
	up := c.up.rec != nil && (!c.found || c.up.seq > c.had)
	content := c.had // seq of the content the row will have; 0 none
	if up {
		content = c.up.seq
	}
	tomb, tombAt := c.dead, c.deadAt
	if c.gone > tomb {
		tomb, tombAt = c.gone, c.goneAt
	}
	a.remember = c.gone > c.dead && c.gone > content
	if !soft {
		up = up && c.up.seq > tomb
		a.insert, a.update = up && !c.found, up && c.found
		a.remove = c.found && c.gone > c.had && !up
		return a
	}
	a.insert, a.update = up && !c.found, up && c.found
	if tomb > content {
		a.deleted = tombAt
	}
	a.markGone = !up && c.found && c.gone > c.dead && c.gone > content
	return a
}

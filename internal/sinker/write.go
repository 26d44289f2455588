package sinker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// writer applies changes to one table over one connection at a time. It keeps nothing between batches but a guess.
type writer struct {
	table  *table
	sql    *statements
	plans  func(schemaID int) (*plan, error)
	stream string
	locked bool // keys may come through several partitions: lock what the probe finds
	hook   func(point string) error
	guess  map[int][]columnUse // by writer's schema: the columns its next large COPY should leave out
	single int                 // how many times more keys are asked for one by one, since ranges had too many others
}

// batch is what one transaction applies, and what became of it.
type batch struct {
	changes []change
	applied map[int64]int64 // by account: the highest seq applied before; what is not above it is a replay
	deleted map[int64]int64 // by account: the highest seq in _deleted; what is above it was not deleted since
	staged  bool            // everything goes through the stage
	ahead   *ahead          // what its connection has staged already; nil: nothing
	now     time.Time

	inserted, updated, removed int // results
}

// noteDeletes raises the highest deleted seqs by those of an applied batch.
func (b *batch) noteDeletes(deleted map[int64]int64) {
	for i := range b.changes {
		c := &b.changes[i]
		deleted[c.account] = max(deleted[c.account], c.gone)
	}
}

// badRow is a record that cannot become a row.
type badRow struct {
	change *change
	err    error
}

// badRowsError reports records that are not applicable: the transaction is to be rolled back and run again without them (S5).
type badRowsError struct{ rows []badRow }

func (e *badRowsError) Error() string {
	return fmt.Sprintf("%d records cannot become rows; the first: %v", len(e.rows), e.rows[0].err)
}

// probe asks which keys have rows, and which of those that may be replays were deleted (recipes: this is the path of first load and
// replay alike). A new record that says its object is new is believed: if it errs, the duplicate key sends the batch through the stage.
func (w *writer) probe(ctx context.Context, conn *pgx.Conn, b *batch) error {
	for from, to := range accounts(b.changes) {
		part := b.changes[from:to]
		account := part[0].account
		applied, deleted := b.applied[account], b.deleted[account]
		var ids, old []int64
		var likely []*change
		for i := range part {
			c := &part[i]
			c.found, c.had, c.dead = false, 0, 0
			low := c.lowest()
			if low <= deleted {
				old = append(old, c.id)
			}
			switch {
			case c.up.rec == nil && low > applied && !b.staged && !w.locked && len(w.sql.children) == 0:
				c.found = true // a delete of now: if the row is not there, nothing is deleted
			case low <= applied || b.staged || c.gone > 0:
				ids = append(ids, c.id)
			case c.up.created:
			case w.locked || len(w.sql.children) > 0 || low <= deleted:
				ids = append(ids, c.id)
			default:
				likely = append(likely, c)
			}
		}
		unsure, err := w.sample(ctx, conn, part, likely)
		if err != nil {
			return err
		}
		if err := w.ask(ctx, conn, part, append(ids, unsure...)); err != nil {
			return err
		}
		err = scanRanks(ctx, conn, w.sql.ranks, old, []any{w.stream, account, old}, func(id, seq, at int64) {
			if c := find(part, id); c != nil {
				c.dead, c.deadAt = seq, at
			}
		})
		if err != nil {
			return fmt.Errorf("looking for deleted rows: %w", err)
		}
	}
	return nil
}

// ask looks for the rows of an account's ids.
func (w *writer) ask(ctx context.Context, conn *pgx.Conn, part []change, ids []int64) error {
	slices.Sort(ids)
	if len(ids) >= manyRows && !w.locked {
		var err error
		if ids, err = w.askRange(ctx, conn, part, ids); err != nil {
			return fmt.Errorf("looking for rows: %w", err)
		}
	}
	text := w.sql.probe
	if w.locked {
		text = w.sql.probeLocked
	}
	err := scanRanks(ctx, conn, text, ids, []any{part[0].account, ids}, func(id, seq, _ int64) {
		if c := find(part, id); c != nil {
			c.found, c.had = true, seq
		}
	})
	if err != nil {
		return fmt.Errorf("looking for rows: %w", err)
	}
	return nil
}

// singleTimes is how many times keys are asked for one by one before a range is tried again.
const singleTimes = 16

// askRange looks at all rows from the first id to the last, which takes PostgreSQL a third of what looking for each does: the ids of a first
// load, and so of its replay, are neighbours in the table, too. Where more than half of what it meets are others' rows, it gives up. It
// returns the ids that are still to be asked for.
func (w *writer) askRange(ctx context.Context, conn *pgx.Conn, part []change, ids []int64) ([]int64, error) {
	if w.single > 0 {
		w.single--
		return ids, nil
	}
	limit, met, last := 2*len(ids), 0, int64(0)
	err := scanRanks(ctx, conn, w.sql.probeRange, ids, []any{ids[0], ids[len(ids)-1], limit}, func(id, seq, account int64) {
		met, last = met+1, id
		if account != part[0].account {
			return
		}
		if c := find(part, id); c != nil {
			c.found, c.had = true, seq
		}
	})
	if err != nil || met < limit {
		return nil, err
	}
	w.single = singleTimes
	from, _ := slices.BinarySearch(ids, last) // another account's row of that id may have been met only
	return ids[from:], nil
}

// sampleOf is how many updates one is asked for.
const sampleOf = 64

// sample saves the probe of many updates above all seqs that were applied: where some that it asks for have rows of lower rank, the
// others are taken for such, too, and go through the stage, whose merge looks at the ranks itself and inserts what is not there. (Items
// follow what the probe says, so a table that has them is always asked.) It returns the ids that are to be asked for.
func (w *writer) sample(ctx context.Context, conn *pgx.Conn, part []change, likely []*change) ([]int64, error) {
	if len(likely) >= manyRows {
		var some []int64
		for i := 0; i < len(likely); i += sampleOf {
			some = append(some, likely[i].id)
		}
		if err := w.ask(ctx, conn, part, some); err != nil {
			return nil, err
		}
		found := 0
		for i := 0; i < len(likely); i += sampleOf {
			if c := likely[i]; c.found && c.had < c.up.seq {
				found++
			}
		}
		if found*4 > len(some)*3 { // not the first load of a compacted topic, for which COPY is faster than the stage
			for _, c := range likely {
				c.found = true
			}
			return nil, nil
		}
	}
	ids := make([]int64, len(likely))
	for i, c := range likely {
		ids[i] = c.id
	}
	return ids, nil
}

// lowest is the lowest seq that the change has.
func (c *change) lowest() int64 {
	if c.up.rec == nil || c.gone > 0 && c.gone < c.up.seq {
		return c.gone
	}
	return c.up.seq
}

// accounts yields the ranges of changes of one account each.
func accounts(changes []change) func(func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(changes); {
			to := from + 1
			for to < len(changes) && changes[to].account == changes[from].account {
				to++
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}

// find returns the change of an id among those of one account, which are sorted.
func find(part []change, id int64) *change {
	i := sort.Search(len(part), func(i int) bool { return part[i].id >= id })
	if i < len(part) && part[i].id == id {
		return &part[i]
	}
	return nil
}

// scanRanks reads rows of id, seq and, where the query has it, a moment, in binary. Without ids nothing is asked.
func scanRanks(ctx context.Context, conn *pgx.Conn, sql string, ids []int64, args []any, each func(id, seq, at int64)) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var v [3]int64
		for i, raw := range rows.RawValues() {
			if len(raw) != 8 || i == len(v) {
				return errors.New("ranks came in another form than asked for")
			}
			v[i] = int64(binary.BigEndian.Uint64(raw))
		}
		each(v[0], v[1], v[2])
	}
	return rows.Err()
}

// rowChange is a row to be sent.
type rowChange struct {
	*change
	deleted int64
}

// work is what a batch's decisions ask for, sorted by key.
type work struct {
	insert, update         []rowChange
	gone, marked, remember []*change
}

// sortOut decides every change.
func (w *writer) sortOut(b *batch) work {
	var todo work
	for i := range b.changes {
		c := &b.changes[i]
		a := decide(c, w.table.soft)
		switch {
		case a.update || a.insert && b.staged:
			todo.update = append(todo.update, rowChange{c, a.deleted})
		case a.insert:
			todo.insert = append(todo.insert, rowChange{c, a.deleted})
		}
		if a.remove {
			todo.gone = append(todo.gone, c)
		}
		if a.markGone {
			todo.marked = append(todo.marked, c)
		}
		if a.remember {
			todo.remember = append(todo.remember, c)
		}
	}
	return todo
}

// apply makes the tables what the changes say, inside the caller's transaction (S3, S4).
func (w *writer) apply(ctx context.Context, conn *pgx.Conn, b *batch) error {
	if err := w.probe(ctx, conn, b); err != nil {
		return err
	}
	todo := w.sortOut(b)
	sent := &sending{writer: w, conn: conn, loaded: micros(b.now)}
	if err := sent.rows(ctx, &w.table.relation, todo.insert); err != nil {
		return err
	}
	if len(todo.update) > 0 {
		if err := w.update(ctx, conn, sent, b.ahead, todo.update); err != nil {
			return err
		}
	}
	if err := sent.children(ctx); err != nil {
		return err
	}
	if err := sent.lift(ctx); err != nil {
		return err
	}
	if err := w.forget(ctx, conn, b, todo); err != nil {
		return err
	}
	b.inserted, b.updated = len(todo.insert), len(todo.update)
	return nil
}

// update sends rows through the stage, and takes the items of their old versions away.
func (w *writer) update(ctx context.Context, conn *pgx.Conn, sent *sending, a *ahead, rows []rowChange) error {
	if a.holds(rows) {
		sent.lifting = append(sent.lifting, a.sent.lifting...)
	} else if err := w.stage(ctx, conn, sent, a, rows); err != nil {
		return err
	}
	if err := w.merge(ctx, conn, rows); err != nil {
		return fmt.Errorf("merging rows into %s: %w", w.table.name, err)
	}
	changes := make([]*change, len(rows))
	for i := range rows {
		changes[i] = rows[i].change
	}
	return w.clearChildren(ctx, conn, changes)
}

// stage fills the stage; what was guessed wrongly goes.
func (w *writer) stage(ctx context.Context, conn *pgx.Conn, sent *sending, a *ahead, rows []rowChange) error {
	if _, err := conn.Exec(ctx, w.sql.createStage); err != nil {
		return fmt.Errorf("making a temporary table (the role needs TEMPORARY on the database): %w", err)
	}
	if a != nil {
		if _, err := conn.Exec(ctx, "TRUNCATE "+w.sql.stage.ident()); err != nil {
			return fmt.Errorf("emptying a temporary table: %w", err)
		}
	}
	return sent.rows(ctx, &w.sql.stage, rows)
}

// merge puts the staged rows into the table. Many rows that are likely all there are written by UPDATE, which takes PostgreSQL less than
// ON CONFLICT does (no lock, no look at the key for an insert); what it leaves, because it is not there after all or has a higher rank, is
// merge's.
func (w *writer) merge(ctx context.Context, conn *pgx.Conn, rows []rowChange) error {
	if len(rows) >= manyRows && !slices.ContainsFunc(rows, func(r rowChange) bool { return !r.found }) {
		results, err := conn.PgConn().Exec(ctx, byKeyOnly+";"+w.sql.update+";"+byAnyPlan).ReadAll()
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.CommandTag.Update() && r.CommandTag.RowsAffected() == int64(len(rows)) {
				return nil
			}
		}
	}
	_, err := conn.Exec(ctx, w.sql.merge)
	return err
}

// clearChildren deletes the items of these keys.
func (w *writer) clearChildren(ctx context.Context, conn *pgx.Conn, changes []*change) error {
	if len(w.sql.children) == 0 {
		return nil
	}
	for _, part := range byAccount(changes) {
		for _, sql := range w.sql.children {
			if _, err := conn.Exec(ctx, sql.clear, part.account, part.ids); err != nil {
				return fmt.Errorf("taking away items of %s: %w", w.table.name, err)
			}
		}
	}
	return nil
}

// forget carries out the deletes.
func (w *writer) forget(ctx context.Context, conn *pgx.Conn, b *batch, todo work) error {
	b.removed = 0
	for _, part := range byAccount(todo.gone) {
		tag, err := conn.Exec(ctx, w.sql.remove, part.account, part.ids, part.seqs)
		if err != nil {
			return fmt.Errorf("deleting rows of %s: %w", w.table.name, err)
		}
		b.removed += int(tag.RowsAffected())
	}
	if err := w.clearChildren(ctx, conn, todo.gone); err != nil {
		return err
	}
	for _, part := range byAccount(todo.marked) {
		tag, err := conn.Exec(ctx, w.sql.markGone, part.account, part.ids, part.seqs, part.moments, b.now)
		if err != nil {
			return fmt.Errorf("marking rows of %s as deleted: %w", w.table.name, err)
		}
		b.removed += int(tag.RowsAffected())
	}
	if err := w.remember(ctx, conn, b, todo.remember); err != nil {
		return fmt.Errorf("remembering deletes of %s: %w", w.table.name, err)
	}
	return nil
}

// remember puts tombstones into _deleted. Many are taken for such of keys that were never deleted before: COPY takes a third of the time,
// and where it meets one that was, the batch runs again, staged.
func (w *writer) remember(ctx context.Context, conn *pgx.Conn, b *batch, gone []*change) error {
	again := slices.ContainsFunc(gone, func(c *change) bool { return c.dead > 0 })
	if len(gone) >= manyRows && !again && !b.staged {
		rows := []byte(copyHeader)
		for _, c := range gone {
			rows = appendText(binary.BigEndian.AppendUint16(rows, 5), []byte(w.stream))
			rows = appendLong(appendLong(appendLong(appendLong(rows, c.id), c.account), c.gone), c.goneAt)
		}
		_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(append(rows, copyTrailer...)), w.sql.rememberNew)
		return err
	}
	for _, part := range byAccount(gone) {
		if _, err := conn.Exec(ctx, w.sql.remember, w.stream, part.ids, part.accounts, part.seqs, part.moments); err != nil {
			return err
		}
	}
	return nil
}

// keys are the parameters of a set-based statement.
type keys struct {
	account             int64
	ids, accounts, seqs []int64
	moments             []pgtype.Timestamptz
}

// byAccount turns changes, sorted by account, into parameters.
func byAccount(changes []*change) []keys {
	var list []keys
	for _, c := range changes {
		if len(list) == 0 || list[len(list)-1].account != c.account {
			list = append(list, keys{account: c.account})
		}
		k := &list[len(list)-1]
		k.ids, k.accounts = append(k.ids, c.id), append(k.accounts, c.account)
		k.seqs = append(k.seqs, c.gone)
		k.moments = append(k.moments, pgtype.Timestamptz{Time: momentOf(c.goneAt), Valid: true})
	}
	return list
}

func momentOf(pg int64) time.Time { return time.UnixMicro(pg + epochMillis*1000).UTC() }

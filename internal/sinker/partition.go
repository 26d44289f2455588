package sinker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
)

// partition applies the records of one partition, in order, one transaction at a time (S1, S4).
type partition struct {
	*sink
	table  *table
	writer *writer
	stager *writer // fills stages ahead; its guesses are its own
	topic  string
	number int32
	log    *slog.Logger

	topicID string
	next    int64 // what is applied; only the worker moves it
	fence   int64
	atEnd   time.Time
	seqs    seqs
	deleted map[int64]int64 // by account: the highest seq that _deleted has
	keeps   time.Duration   // how long the topic keeps tombstones (S8),
	history kafka.History   // and every version (S9)

	updating atomic.Bool // the last portion was updates only
}

// portion is what one transaction applies: the records [from, to) of a partition.
type portion struct {
	seen    []entry  // every record with key and seq
	entries []entry  // those to apply
	changes []change // folded; nil: not yet
	letters []deadLetter
	taken   taken
	space   *space
	ahead   *ahead // what is staged of it; nil: nothing
	err     error  // what stops the topic, found while reading
	to      int64
	atEnd   time.Time
}

// space is the memory of a portion, which a later one uses again.
type space struct {
	seen, sorted []entry
	changes      []change
}

// work applies what comes through an intake: to its end, or until ctx ends or something stops it. While one portion is written, the
// next is read and folded.
func (p *partition) work(ctx context.Context, in *intake, applied func()) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := make(chan portion)
	defer func() {
		cancel()
		for part := range ahead { // until its reader has ended
			p.release(in, part)
		}
	}()
	var ended error
	go func() {
		defer close(ahead)
		ended = p.feed(ctx, in, ahead)
	}()
	for part := range ahead {
		err := part.err
		if err == nil && part.to > p.next {
			err = p.apply(ctx, part)
		}
		p.release(in, part)
		if err != nil {
			return err
		}
		applied()
	}
	return p.remember(ctx, ended)
}

// feed reads portion after portion to the intake's end, and stages what has to wait for its turn.
func (p *partition) feed(ctx context.Context, in *intake, to chan<- portion) error {
	for ctx.Err() == nil {
		t, err := in.take(ctx)
		if err != nil {
			return err
		}
		part := p.read(t)
		select {
		case to <- part:
		default: // the one before is not done
			p.stageAhead(ctx, &part)
			select {
			case to <- part:
			case <-ctx.Done():
				p.release(in, part)
				return ctx.Err()
			}
		}
		if t.last {
			return nil
		}
	}
	return ctx.Err()
}

// release gives back the memory of records that are done with, and the connection that waits with them.
func (p *partition) release(in *intake, part portion) {
	p.giveBack(context.Background(), part.ahead)
	in.budget.add(-part.taken.bytes)
	clear(part.taken.recs)
	clear(part.space.seen)
	clear(part.space.sorted)
	clear(part.space.changes)
	p.spaces.Put(part.space)
}

// read reads records as far as it takes to fold them.
func (p *partition) read(t taken) portion {
	room, _ := p.spaces.Get().(*space)
	if room == nil {
		room = &space{}
	}
	part := portion{taken: t, to: t.to, atEnd: t.atEnd, space: room, seen: slices.Grow(room.seen[:0], len(t.recs))}
	for _, rec := range t.recs {
		if rec.Attrs.IsControl() {
			continue
		}
		if rec.Key == nil {
			part.err = &stopError{p.table.stream.Name, ops.ExitData, fmt.Errorf("the record at offset %d has no key: this is not a topic of the producer's", rec.Offset)}
			return part
		}
		e, err := readEntry(rec)
		if err != nil {
			part.letters = append(part.letters, deadLetter{rec, err.Error()})
			if e.seq == 0 {
				continue
			}
		}
		part.seen = append(part.seen, e)
	}
	part.entries = part.seen
	if len(part.letters) > 0 { // their seqs are seen, and not missing (S9)
		part.entries = slices.DeleteFunc(slices.Clone(part.seen), func(e entry) bool { return e.unusable() })
	}
	room.seen = part.seen
	room.sorted = append(room.sorted[:0], part.entries...)
	room.changes = fold(slices.Grow(room.changes[:0], len(part.entries)), room.sorted, p.table.soft)
	part.changes = room.changes
	return part
}

// fold reduces the entries to changes, unless that is done already.
func (part *portion) fold(soft bool) {
	if part.changes == nil {
		part.changes = fold(make([]change, 0, len(part.entries)), slices.Clone(part.entries), soft)
	}
}

// apply applies a portion and returns when it is committed; it waits for a database that is away as long as ctx lasts.
func (p *partition) apply(ctx context.Context, part portion) error {
	wait := newBackoff()
	for {
		bad, err := p.writers.ready(ctx, p.table, part.entries)
		if err == nil {
			part.exclude(bad)
			return p.commit(ctx, part)
		}
		if _, ok := errors.AsType[*stopError](err); ok {
			return err
		}
		if judge(err) == fatal {
			return explainFatal(err)
		}
		if err := p.pause(ctx, wait, "cannot read a schema, trying again", err); err != nil {
			return err
		}
	}
}

// exclude turns entries into dead letters, by offset.
func (part *portion) exclude(bad map[int64]string) {
	if len(bad) == 0 {
		return
	}
	kept := part.entries[:0:0]
	for _, e := range part.entries {
		if reason, ok := bad[e.rec.Offset]; ok {
			part.letters = append(part.letters, deadLetter{e.rec, reason})
		} else {
			kept = append(kept, e)
		}
	}
	part.entries, part.changes = kept, nil
}

// commit runs the transaction until it is done, by what its errors ask for.
func (p *partition) commit(ctx context.Context, part portion) error {
	wait := newBackoff()
	staged, again := false, false
	for {
		err := p.try(ctx, part, staged)
		if err == nil {
			return nil
		}
		if bad, ok := errors.AsType[*badRowsError](err); ok {
			reasons := map[int64]string{}
			for _, row := range bad.rows {
				reasons[row.change.up.rec.Offset] = row.err.Error()
			}
			part.exclude(reasons)
			continue
		}
		var coded interface{ ExitCode() int }
		if errors.Is(err, errFenced) || errors.As(err, &coded) {
			return err
		}
		what := judge(err)
		switch {
		case what == duplicate && !staged:
			staged = true
		case what == duplicate, what == recordsOwn:
			return p.divide(ctx, part, err)
		case what == fatal:
			return explainFatal(err)
		case what == stopTopic && again:
			return &stopError{p.table.stream.Name, ops.ExitConfig, fmt.Errorf("%w; compare the table with what `sinker ddl` prints", err)}
		case what == stopTopic: // foreign DDL spoils a prepared statement once
			again = true
		default:
			if err := p.pause(ctx, wait, "cannot write, trying again", err); err != nil {
				return err
			}
			staged = false
		}
	}
}

// divide finds the record that spoils a transaction without the database naming it: each half is a transaction of its own.
func (p *partition) divide(ctx context.Context, part portion, cause error) error {
	if len(part.entries) <= 1 {
		if len(part.entries) == 0 {
			return &stopError{p.table.stream.Name, ops.ExitConfig, cause}
		}
		part.exclude(map[int64]string{part.entries[0].rec.Offset: cause.Error()})
		return p.commit(ctx, part)
	}
	middle := part.entries[len(part.entries)/2].rec.Offset // entries are in order of offsets until a transaction folds a copy
	var first, second portion
	first.to, second.to, second.atEnd = middle, part.to, part.atEnd
	for _, e := range part.entries {
		half := &second
		if e.rec.Offset < middle {
			half = &first
		}
		half.entries = append(half.entries, e)
	}
	first.seen, second.seen = divideSeen(part.seen, middle)
	for _, l := range part.letters {
		half := &second
		if l.rec.Offset < middle {
			half = &first
		}
		half.letters = append(half.letters, l)
	}
	if err := p.commit(ctx, first); err != nil {
		return err
	}
	if err := p.deps.hook("ks12"); err != nil {
		return err
	}
	return p.commit(ctx, second)
}

func divideSeen(seen []entry, middle int64) (before, after []entry) {
	n := 0
	for n < len(seen) && seen[n].rec.Offset < middle {
		n++
	}
	return seen[:n], seen[n:]
}

// try runs one transaction: offset first (S1), then rows, dead letters, and what is missing.
func (p *partition) try(ctx context.Context, part portion, staged bool) error {
	began := time.Now()
	marks, gaps := p.seqs.after(part.seen, p.history, began)
	part.fold(p.table.soft)
	b := &batch{changes: part.changes, applied: p.seqs.highest(), deleted: p.deleted, staged: staged, now: began}
	if len(part.letters) > 0 {
		if err := p.brake.allow(began, len(part.entries)+len(part.letters), len(part.letters)); err != nil {
			return err
		}
	}
	if err := p.deps.hook("ks02"); err != nil {
		return err
	}
	ctx, cancel := grace(ctx)
	defer cancel()
	err := p.use(ctx, part.ahead, b, func(conn *pgx.Conn) error {
		to := move{from: p.next, to: part.to, fence: p.fence, atEnd: part.atEnd, seqs: marks, begun: b.ahead != nil}
		return conclude(ctx, conn, func() error {
			if err := p.offsets.advance(ctx, conn, p.topic, p.number, to); err != nil {
				return p.outcome(ctx, conn, part.to, err)
			}
			return p.write(ctx, conn, part, b, gaps)
		}, func() error { return p.deps.hook("ks06") })
	})
	if err != nil && !errors.Is(err, errApplied) {
		return err
	}
	p.committed(part, b, marks, gaps, began)
	return p.deps.hook("ks07")
}

// use runs the transaction of a batch with the connection that has its stage, if one has, and another the next time.
func (p *partition) use(ctx context.Context, a *ahead, b *batch, f func(conn *pgx.Conn) error) error {
	if a == nil || a.conn == nil {
		return p.db.use(ctx, f)
	}
	b.ahead = a
	conn := a.take()
	err := f(conn)
	p.db.giveBack(conn, err)
	return err
}

// write applies a portion in the transaction that has moved the offset.
func (p *partition) write(ctx context.Context, conn *pgx.Conn, part portion, b *batch, gaps map[int64]int64) error {
	if err := p.deps.hook("ks03"); err != nil {
		return err
	}
	if err := p.writer.apply(ctx, conn, b); err != nil {
		return err
	}
	if _, err := setAside(ctx, conn, p.cfg.Schema, p.topicID, part.letters, b.now); err != nil {
		return err
	}
	if len(part.letters) > 0 {
		if err := p.deps.hook("ks11"); err != nil {
			return err
		}
	}
	if err := p.countGaps(ctx, conn, gaps, b.now); err != nil {
		return err
	}
	return p.deps.hook("ks05")
}

// errApplied says that an earlier try, whose answer to COMMIT was lost, has done the work.
var errApplied = errors.New("applied by an earlier try")

// outcome tells a lost answer to COMMIT from a raised fence (S1).
func (p *partition) outcome(ctx context.Context, conn *pgx.Conn, to int64, err error) error {
	if !errors.Is(err, errFenced) {
		return err
	}
	now, errLoad := p.offsets.load(ctx, conn, p.topic, p.number)
	if errLoad != nil {
		return errLoad
	}
	if now != nil && now.fence == p.fence && now.next == to {
		return errApplied
	}
	return errFenced
}

// committed takes over what is in the database now.
func (p *partition) committed(part portion, b *batch, marks seqs, gaps map[int64]int64, began time.Time) {
	p.next, p.seqs = part.to, marks
	b.noteDeletes(p.deleted)
	p.updating.Store(b.updated > 0 && b.updated == len(part.changes))
	if part.atEnd.After(p.atEnd) {
		p.atEnd = part.atEnd
	}
	p.brake.count(began, len(part.entries)+len(part.letters), len(part.letters))
	stream := p.table.stream.Name
	p.metrics.applied(stream, len(part.entries), b, time.Since(began))
	for _, l := range part.letters {
		p.metrics.deadLetters.WithLabelValues(stream).Inc()
		p.log.Error("set aside a record that cannot be applied", "offset", l.rec.Offset, "reason", l.reason)
	}
	for account, n := range gaps {
		p.metrics.gaps.WithLabelValues(stream).Add(float64(n))
		p.log.Error("records are missing on the topic; `sinker rebuild` answers it once the producer has read again", "account", account, "missing", n)
	}
	p.log.Debug("applied", "records", len(part.entries), "ahead", b.ahead != nil, "inserted", b.inserted, "updated", b.updated, "removed", b.removed, "next", p.next, "took", time.Since(began))
}

// countGaps adds to _streams what is missing (S9).
func (p *partition) countGaps(ctx context.Context, conn *pgx.Conn, gaps map[int64]int64, now time.Time) error {
	for account, n := range gaps {
		_, err := conn.Exec(ctx, `INSERT INTO `+quote(p.cfg.Schema, tableStreams)+` AS s ("account_id", "stream", "gaps", "updated_at") VALUES ($1, $2, $3, $4)
ON CONFLICT ("account_id", "stream") DO UPDATE SET "gaps" = s."gaps" + $3, "updated_at" = $4`, account, p.table.stream.Name, n, now)
		if err != nil {
			return fmt.Errorf("counting a gap of account %d: %w", account, err)
		}
	}
	return nil
}

// grace lets a transaction under way end after ctx does, but not for long.
func grace(ctx context.Context) (context.Context, context.CancelFunc) {
	long, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(shutdownGrace, cancel)
		context.AfterFunc(long, func() { timer.Stop() })
	})
	return long, func() { stop(); cancel() }
}

const shutdownGrace = 6 * time.Second

// pause waits before the next try, says why once and when the cause changes, and returns ctx's error when it ends.
func (p *partition) pause(ctx context.Context, b *backoff, message string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.first(err) {
		p.log.Warn(message, "err", err)
	}
	if p.patience > 0 && b.waited > p.patience {
		return ops.Fail(ops.ExitUnavailable, err)
	}
	return b.wait(ctx)
}

// backoff is the growing pause between tries.
type backoff struct {
	delay, waited time.Duration
	tries         int
	cause         string // SQLSTATE of the last error
}

func newBackoff() *backoff { return &backoff{delay: 50 * time.Millisecond} }

// first reports whether an error is to be spoken of: the first, one of another cause than the last, and now and then.
func (b *backoff) first(err error) bool {
	cause := ""
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		cause = pg.Code
	}
	b.tries++
	again := b.tries > 1 && cause == b.cause && b.tries%60 != 0
	b.cause = cause
	return !again
}

func (b *backoff) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.delay):
	}
	b.waited += b.delay
	b.delay = min(b.delay*2, 5*time.Second)
	return nil
}

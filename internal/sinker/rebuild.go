package sinker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
)

// Rebuild makes tables equal to their topics and takes the topics' offsets, all in one transaction per stream: readers see the table
// before or after, and it stays the same table, with its views, grants and indexes.
func Rebuild(ctx context.Context, cfg Config, deps Deps, streams []string) error {
	return eachShadow(ctx, cfg, deps, streams, func(ctx context.Context, sh *shadow) error {
		found, err := sh.rebuild(ctx)
		if err != nil {
			return err
		}
		if err := sh.readCheckpoints(ctx); err != nil { // the next start says it, too
			sh.log.Warn("cannot say how complete the table is", "stream", sh.live.stream.Name, "err", err)
		}
		_, err = fmt.Fprintf(deps.Stdout, "%s: %d rows written, %d removed\n", sh.live.stream.Name, found.missing+found.different, found.superfluous)
		return err
	})
}

// Verify makes the same comparison and changes nothing. Tables that differ are an error (65), and so are none (78).
func Verify(ctx context.Context, cfg Config, deps Deps, streams []string) error {
	err := withDatabase(ctx, cfg, deps, func(s *sink, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT FROM "+s.offsets.ident()+" LIMIT 0")
		return err
	})
	if err != nil {
		return err
	}
	var differ []string
	err = eachShadow(ctx, cfg, deps, streams, func(ctx context.Context, sh *shadow) error {
		found, err := sh.verify(ctx)
		if err != nil {
			return err
		}
		if found != (difference{}) {
			differ = append(differ, sh.live.stream.Name)
		}
		_, err = fmt.Fprintf(deps.Stdout, "%s: %d rows missing, %d different, %d superfluous\n", sh.live.stream.Name, found.missing, found.different, found.superfluous)
		return err
	})
	if err == nil && len(differ) > 0 {
		err = ops.Fail(ops.ExitData, fmt.Errorf("tables differ from their topics; run `sinker rebuild %s`", strings.Join(differ, " ")))
	}
	return err
}

// difference is what a comparison finds, in rows; items count with them.
type difference struct{ missing, different, superfluous int64 }

// eachShadow runs f with the shadow of each named stream.
func eachShadow(ctx context.Context, cfg Config, deps Deps, streams []string, f func(ctx context.Context, sh *shadow) error) error {
	s, err := open(ctx, cfg, deps, oneShotPatience)
	if err != nil {
		return err
	}
	defer s.close()
	for _, name := range streams {
		if s.byTopic(cfg.Kafka.Topic(name)) == nil {
			return ops.Fail(ops.ExitUsage, fmt.Errorf("%q is none of the selected streams", name))
		}
	}
	for _, t := range s.tables {
		if !slices.Contains(streams, t.stream.Name) {
			continue
		}
		sh := newShadow(s, t)
		err := s.db.use(ctx, func(conn *pgx.Conn) error {
			defer closeConn(conn) // with its temporary tables
			sh.conn = conn
			if err := sh.load(ctx); err != nil {
				return err
			}
			return f(ctx, sh)
		})
		if _, names := errors.AsType[*stopError](err); names {
			return err
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", t.stream.Name, explain(err))
		}
	}
	return nil
}

// explain gives an error of a one-shot command its exit code; nil stays nil.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return err
	}
	switch judge(err) {
	case fatal:
		return explainFatal(err)
	case retry:
		return ops.Fail(ops.ExitUnavailable, err)
	}
	return ops.Fail(ops.ExitConfig, err)
}

// shadow is what a stream's table should be, read from its topic into temporary tables.
type shadow struct {
	*sink
	live   *table
	copy   *table
	writer *writer
	conn   *pgx.Conn
	topic  string

	id      string
	anew    bool            // the live table was read from another topic: its ranks mean nothing
	at      time.Time       // before the ends were first asked for (S8)
	next    map[int32]int64 // position read to, by partition
	seqs    map[int32]seqs
	deleted map[int64]int64 // by account: the highest seq of a delete so far
	entries []entry
	bytes   int
	letters []deadLetter
	known   int // dead letters of the topic that there were before
	read    int
}

const shadowPrefix = "shadow_"

func newShadow(s *sink, t *table) *shadow {
	temp := func(r relation) relation {
		r.schema, r.name = "pg_temp", cut(shadowPrefix+r.name, maxName)
		return r
	}
	c := &table{relation: temp(t.relation), stream: t.stream, soft: t.soft}
	for _, k := range t.children {
		c.children = append(c.children, &child{relation: temp(k.relation), field: k.field, parent: k.parent})
	}
	sh := &shadow{sink: s, live: t, copy: c, topic: s.cfg.Kafka.Topic(t.stream.Name), next: map[int32]int64{}, seqs: map[int32]seqs{}, deleted: map[int64]int64{}}
	sh.writer = &writer{table: c, sql: newStatements(c, "pg_temp"), plans: s.writers.compiled(t), stream: t.stream.Name, hook: s.deps.hook}
	return sh
}

// load makes the temporary tables and reads the topic into them: to its end, or for verify to what is applied.
func (sh *shadow) load(ctx context.Context) error {
	list := sh.copy.relations()
	for _, r := range housekeeping("pg_temp") {
		if r.name == tableDeleted {
			list = append(list, r)
		}
	}
	for _, r := range list {
		if _, err := sh.conn.Exec(ctx, strings.Replace(r.createTable(), "CREATE TABLE", "CREATE TEMPORARY TABLE", 1)); err != nil {
			return fmt.Errorf("making a temporary table (the role needs TEMPORARY on the database): %w", err)
		}
	}
	ids, err := kafka.TopicIDs(ctx, sh.admin, sh.topic)
	if err != nil {
		return err
	}
	id, ok := ids[sh.topic]
	if !ok {
		return ops.Fail(ops.ExitData, fmt.Errorf("topic %s does not exist", sh.topic))
	}
	sh.id = kafka.TopicIDText(id)
	starts, err := kafka.Starts(ctx, sh.admin, sh.topic)
	if err != nil {
		return err
	}
	for number, start := range starts[sh.topic] {
		sh.next[number], sh.seqs[number] = start, seqs{}
	}
	sh.at = time.Now()
	return sh.conn.QueryRow(ctx, `SELECT count(*) FROM `+quote(sh.cfg.Schema, tableDeadLetters)+` WHERE "topic" = $1`, sh.topic).Scan(&sh.known)
}

// readTo reads each partition on to a position.
func (sh *shadow) readTo(ctx context.Context, to map[int32]int64) error {
	var targets []kafka.Target
	for number, end := range to {
		targets = append(targets, kafka.Target{Topic: sh.topic, Partition: number, From: sh.next[number], To: end})
	}
	said := time.Now()
	opts := append(slices.Clone(sh.opts), kgo.FetchMaxBytes(4<<20), kgo.FetchMaxPartitionBytes(1<<20))
	err := kafka.ReadTo(ctx, opts, targets, func(rec *kgo.Record) error {
		sh.read++
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			sh.log.Info("reading the topic", "topic", sh.topic, "records", sh.read)
		}
		return sh.add(ctx, rec)
	})
	if err != nil {
		return err
	}
	for number, end := range to {
		sh.next[number] = max(sh.next[number], end)
	}
	return sh.flush(ctx)
}

func (sh *shadow) add(ctx context.Context, rec *kgo.Record) error {
	e, err := readEntry(rec)
	marks := sh.seqs[rec.Partition]
	if e.seq > marks[e.account].Seq {
		marks[e.account] = seqMark{e.seq, rec.Timestamp}
	}
	if err != nil {
		sh.letters = append(sh.letters, deadLetter{rec, err.Error()})
		return sh.tooMany()
	}
	sh.entries = append(sh.entries, e)
	if sh.bytes += recordSize(rec); len(sh.entries) >= batchRows || sh.bytes >= batchBytes {
		return sh.flush(ctx)
	}
	return nil
}

// flush applies what was read to the temporary tables.
func (sh *shadow) flush(ctx context.Context) error {
	if len(sh.entries) == 0 {
		return nil
	}
	bad, err := sh.writers.ready(ctx, sh.live, sh.entries)
	if err != nil {
		return err
	}
	part := portion{entries: sh.entries}
	part.exclude(bad)
	for staged := false; ; {
		part.fold(sh.copy.soft)
		b := &batch{changes: part.changes, deleted: sh.deleted, staged: staged, now: time.Now()}
		err := sh.nested(ctx, func() error { return sh.writer.apply(ctx, sh.conn, b) })
		if badRows, ok := errors.AsType[*badRowsError](err); ok {
			reasons := map[int64]string{}
			for _, r := range badRows.rows {
				reasons[r.change.up.rec.Offset] = r.err.Error()
			}
			part.exclude(reasons)
			continue
		}
		if err != nil && judge(err) == duplicate && !staged {
			staged = true
			continue
		}
		if err != nil {
			return err
		}
		b.noteDeletes(sh.deleted)
		break
	}
	sh.letters = append(sh.letters, part.letters...)
	sh.entries, sh.bytes = sh.entries[:0], 0
	return sh.tooMany()
}

// tooMany ends the reading of a topic whose records cannot be applied: they would all be kept in memory (S5, S7).
func (sh *shadow) tooMany() error {
	if len(sh.letters)-sh.known < deadMost {
		return nil
	}
	return ops.Fail(ops.ExitData, fmt.Errorf("%d of the first %d records cannot be applied, the first at offset %d: %s; that is no accident, nothing was changed",
		len(sh.letters), sh.read, sh.letters[0].rec.Offset, sh.letters[0].reason))
}

// nested runs f in a transaction, or inside the one that is open.
func (sh *shadow) nested(ctx context.Context, f func() error) error {
	if sh.conn.PgConn().TxStatus() == 'I' {
		return transact(ctx, sh.conn, func(*pgx.Conn) error { return f() })
	}
	if _, err := sh.conn.Exec(ctx, "SAVEPOINT batch"); err != nil {
		return err
	}
	if err := f(); err != nil {
		_, undo := sh.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT batch")
		return errors.Join(err, undo)
	}
	_, err := sh.conn.Exec(ctx, "RELEASE SAVEPOINT batch; "+sh.writer.sql.createStage+"; TRUNCATE "+sh.writer.sql.stage.ident())
	return err
}

// ends are the topic's ends now.
func (sh *shadow) ends(ctx context.Context) (map[int32]int64, error) {
	ends, err := kafka.Ends(ctx, sh.admin, sh.topic)
	return ends[sh.topic], err
}

// stored are the positions that the database has applied, by partition; locked until the transaction ends where lock says so. Those of
// another topic count for nothing.
func (sh *shadow) stored(ctx context.Context, lock string) (map[int32]int64, error) {
	rows, err := sh.conn.Query(ctx, `SELECT "partition", "next" FROM `+sh.offsets.ident()+` WHERE "topic" = $1 AND "topic_id" = $2 ORDER BY "partition"`+lock, sh.topic, sh.id)
	if err != nil {
		return nil, err
	}
	stored := map[int32]int64{}
	var number int32
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&number, &next}, func() error { stored[number] = next; return nil })
	return stored, err
}

// beyond are the positions among stored that were not read yet.
func (sh *shadow) beyond(stored map[int32]int64) map[int32]int64 {
	more := map[int32]int64{}
	for number, next := range stored {
		if next > sh.next[number] {
			more[number] = next
		}
	}
	return more
}

// rebuild makes the live table equal to the shadow. A sinker that runs meanwhile waits for the offset, and goes on from it.
func (sh *shadow) rebuild(ctx context.Context) (difference, error) {
	var found difference
	ends, err := sh.ends(ctx)
	if err != nil {
		return found, err
	}
	if err := sh.readTo(ctx, ends); err != nil {
		return found, err
	}
	err = transact(ctx, sh.conn, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
			return err
		}
		if err := sh.lock(ctx); err != nil {
			return err
		}
		stored, err := sh.stored(ctx, " FOR UPDATE")
		if err != nil {
			return err
		}
		if ends, err = sh.ends(ctx); err != nil {
			return err
		}
		if err := sh.readTo(ctx, sh.beyond(within(stored, ends))); err != nil {
			return err
		}
		for _, step := range sh.merge() {
			if err := sh.deps.hook("ks13"); err != nil {
				return err
			}
			tag, err := conn.Exec(ctx, step.sql, step.args...)
			if err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
			if step.count != nil {
				*step.count(&found) += tag.RowsAffected()
			}
		}
		fresh, err := setAside(ctx, conn, sh.cfg.Schema, sh.id, sh.letters, time.Now())
		if err != nil {
			return err
		}
		if tooMany(sh.read, fresh) {
			return ops.Fail(ops.ExitData, fmt.Errorf("%d of %d records cannot be applied, the first at offset %d: %s; that is no accident, nothing was changed",
				len(sh.letters), sh.read, sh.letters[0].rec.Offset, sh.letters[0].reason))
		}
		if err := sh.takeOffsets(ctx); err != nil {
			return err
		}
		return sh.deps.hook("ks13")
	})
	return found, err
}

// within keeps the stored positions that the log really has: one that was cut (S2) ends before.
func within(stored, ends map[int32]int64) map[int32]int64 {
	kept := map[int32]int64{}
	for number, next := range stored {
		if next <= ends[number] {
			kept[number] = next
		}
	}
	return kept
}

// lock makes the rows of _offsets that are missing, and locks all of the topic's.
func (sh *shadow) lock(ctx context.Context) error {
	for number := range sh.next {
		_, err := sh.conn.Exec(ctx, `INSERT INTO `+sh.offsets.ident()+` ("topic", "partition", "topic_id", "next", "fence", "at_end", "updated_at", "seqs")
VALUES ($1, $2, $3, $4, 0, $5, $5, '{}') ON CONFLICT DO NOTHING`, sh.topic, number, sh.id, sh.next[number], sh.at)
		if err != nil {
			return err
		}
	}
	if _, err := sh.conn.Exec(ctx, `SELECT FROM `+sh.offsets.ident()+` WHERE "topic" = $1 ORDER BY "partition" FOR UPDATE`, sh.topic); err != nil {
		return err
	}
	return sh.conn.QueryRow(ctx, `SELECT coalesce(bool_or("topic_id" <> $2), false) FROM `+sh.offsets.ident()+` WHERE "topic" = $1`, sh.topic, sh.id).Scan(&sh.anew)
}

// takeOffsets stores what the table is now equal to. It forgets gaps: the table has what the topic has. And it forgets up to when the
// table was complete: the topic may have lost what that was said of (S9).
func (sh *shadow) takeOffsets(ctx context.Context) error {
	for number, next := range sh.next {
		_, err := sh.conn.Exec(ctx, `UPDATE `+sh.offsets.ident()+` SET "topic_id" = $3, "next" = $4, "at_end" = $5, "updated_at" = $5, "seqs" = $6, "relation" = $7 WHERE "topic" = $1 AND "partition" = $2`,
			sh.topic, number, sh.id, next, sh.at, sh.seqs[number], sh.live.ident())
		if err != nil {
			return fmt.Errorf("taking the offsets: %w", err)
		}
	}
	_, err := sh.conn.Exec(ctx, `UPDATE `+quote(sh.cfg.Schema, tableStreams)+` SET "gaps" = 0, "complete_to" = NULL, "updated_at" = $2 WHERE "stream" = $1`, sh.live.stream.Name, sh.at)
	return err
}

// verify counts what differs, at the very position that the live table stands at, in one snapshot of the database.
func (sh *shadow) verify(ctx context.Context) (difference, error) {
	var found difference
	other := false
	err := sh.conn.QueryRow(ctx, `SELECT coalesce(bool_or("topic_id" <> $2), false) FROM `+sh.offsets.ident()+` WHERE "topic" = $1`, sh.topic, sh.id).Scan(&other)
	if err != nil {
		return found, err
	}
	if other {
		return found, lost(sh.live.stream.Name, "table %s was made anew, or topic %s was: there is nothing to compare", sh.live.ident(), sh.topic)
	}
	if err := sh.readStored(ctx); err != nil {
		return found, err
	}
	if _, err := sh.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return found, err
	}
	defer func() { _, _ = sh.conn.Exec(context.WithoutCancel(ctx), "ROLLBACK") }()
	if err := sh.readStored(ctx); err != nil {
		return found, err
	}
	for _, step := range sh.compare() {
		var n int64
		if err := sh.conn.QueryRow(ctx, step.sql).Scan(&n); err != nil {
			return found, fmt.Errorf("%s: %w", step.what, err)
		}
		*step.count(&found) += n
	}
	return found, nil
}

// readStored reads on to what the database has applied. What is stored for another topic cannot be compared.
func (sh *shadow) readStored(ctx context.Context) error {
	stored, err := sh.stored(ctx, "")
	if err != nil {
		return err
	}
	ends, err := sh.ends(ctx)
	if err != nil {
		return err
	}
	for number, next := range stored {
		if next > ends[number] {
			return lost(sh.live.stream.Name, "the log of %s/%d ends at %d, before the stored offset %d", sh.topic, number, ends[number], next)
		}
	}
	return sh.readTo(ctx, sh.beyond(stored))
}

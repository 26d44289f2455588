package sinker

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// storedLetter is a row of _dead_letters.
type storedLetter struct {
	id         int64
	topic      string
	partition  int32
	offset     int64
	schemaID   *int
	key, value []byte
	reason     string
	at         time.Time
	headers    map[string]string // this and the next are read by replay alone: the other commands do with a table that has no such columns yet
	topicID    string
}

const letterColumns = `"id", "topic", "partition", "offset", "schema_id", "key", "value", "reason", "at"`

func (l *storedLetter) fields() []any {
	return []any{&l.id, &l.topic, &l.partition, &l.offset, &l.schemaID, &l.key, &l.value, &l.reason, &l.at}
}

// ListDeadLetters prints the newest thousand dead letters.
func ListDeadLetters(ctx context.Context, cfg Config, deps Deps, id int64) error {
	return withDatabase(ctx, cfg, deps, func(s *sink, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT `+letterColumns+` FROM `+quote(cfg.Schema, tableDeadLetters)+` WHERE $1 = 0 OR "id" = $1 ORDER BY "id" DESC LIMIT 1000`, id)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(deps.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tAT\tTOPIC\tPARTITION\tOFFSET\tREASON")
		var l storedLetter
		if _, err := pgx.ForEachRow(rows, l.fields(), func() error {
			_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%s\n", l.id, l.at.UTC().Format(time.RFC3339), l.topic, l.partition, l.offset, oneLine(l.reason))
			return err
		}); err != nil {
			return err
		}
		return w.Flush()
	})
}

func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}

// ShowDeadLetter prints one dead letter: coordinates, reason, and the record as JSON as far as it can be read.
func ShowDeadLetter(ctx context.Context, cfg Config, deps Deps, id int64) error {
	return withDatabase(ctx, cfg, deps, func(s *sink, conn *pgx.Conn) error {
		var l storedLetter
		err := conn.QueryRow(ctx, `SELECT `+letterColumns+` FROM `+quote(cfg.Schema, tableDeadLetters)+` WHERE "id" = $1`, id).Scan(l.fields()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return noLetter(id)
		}
		if err != nil {
			return err
		}
		if err := s.writers.load(ctx, conn); err != nil {
			return err
		}
		_, err = fmt.Fprintf(deps.Stdout, "id         %d\nat         %s\ntopic      %s\npartition  %d\noffset     %d\nreason     %s\nkey        %s\nvalue      %s\n",
			l.id, l.at.UTC().Format(time.RFC3339), l.topic, l.partition, l.offset, oneLine(l.reason), showKey(l.key), s.showValue(&l))
		return err
	})
}

func noLetter(id int64) error {
	return ops.Fail(ops.ExitUsage, fmt.Errorf("there is no dead letter %d", id))
}

func showKey(key []byte) string {
	if _, id, account, err := schema.ParseKey(key); err == nil {
		return fmt.Sprintf(`{"id":%d,"account_id":%d}`, id, account)
	}
	return hex.EncodeToString(key)
}

// showValue is the record as JSON, else its bytes and why.
func (s *sink) showValue(l *storedLetter) string {
	if l.value == nil {
		return "null (a delete)"
	}
	id, body, err := schema.SplitHeader(l.value)
	if err == nil {
		err = fmt.Errorf("schema id %d is not known here", id)
		if ws := s.writers.known[id]; ws != nil && ws.err == nil {
			var text []byte
			if text, err = schema.JSON(ws.schema, body); err == nil {
				return string(text)
			}
		}
	}
	return fmt.Sprintf("%x (%v)", l.value, err)
}

// ReplayDeadLetters applies one dead letter, or all (id 0), again: each by its rank, as any replay (S3). What can be applied now leaves the
// list; the others stay, and are an error (65).
func ReplayDeadLetters(ctx context.Context, cfg Config, deps Deps, id int64) error {
	s, err := open(ctx, cfg, deps, oneShotPatience)
	if err != nil {
		return err
	}
	defer s.close()
	var letters []storedLetter
	err = s.db.use(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT `+letterColumns+`, "headers", coalesce("topic_id", '') FROM `+quote(cfg.Schema, tableDeadLetters)+` WHERE $1 = 0 OR "id" = $1 ORDER BY "id"`, id)
		if err != nil {
			return err
		}
		letters, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l storedLetter, err error) {
			return l, row.Scan(append(l.fields(), &l.headers, &l.topicID)...)
		})
		return err
	})
	if err != nil {
		return explain(err)
	}
	if id != 0 && len(letters) == 0 {
		return noLetter(id)
	}
	failed := 0
	for i := range letters {
		if err := s.replay(ctx, &letters[i]); err != nil {
			failed++
			if _, err := fmt.Fprintf(deps.Stdout, "%d: %s\n", letters[i].id, oneLine(err.Error())); err != nil {
				return err
			}
		}
	}
	if _, err := fmt.Fprintf(deps.Stdout, "%d applied, %d left\n", len(letters)-failed, failed); err != nil {
		return err
	}
	if failed > 0 {
		return ops.Fail(ops.ExitData, fmt.Errorf("%d dead letters still cannot be applied", failed))
	}
	return nil
}

// replay applies one, when nobody else writes its partition's rows: their ranks are compared, their items replaced.
func (s *sink) replay(ctx context.Context, l *storedLetter) error {
	t := s.byTopic(l.topic)
	if t == nil {
		return errors.New("its stream is not selected")
	}
	e, err := l.entry()
	if err != nil {
		return err
	}
	bad, err := s.writers.ready(ctx, t, []entry{e})
	if err != nil {
		return err
	}
	if reason, ok := bad[l.offset]; ok {
		return errors.New(reason)
	}
	if err := s.rank(ctx, t, &e); err != nil {
		return err
	}
	p := s.partition(t, l.partition, 2)
	return s.db.transact(ctx, func(conn *pgx.Conn) error {
		if err := s.present(ctx, conn, l); err != nil {
			return err
		}
		b := &batch{changes: fold(nil, []entry{e}, t.soft), deleted: map[int64]int64{e.account: e.seq}, staged: true, now: time.Now()}
		if err := p.writer.apply(ctx, conn, b); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `DELETE FROM `+quote(s.cfg.Schema, tableDeadLetters)+` WHERE "id" = $1`, l.id)
		return err
	})
}

// present waits until nobody else writes rows of the letter's partition, and looks whether what is applied of it is still of the letter's
// topic: in one that was made anew the rank means nothing.
func (s *sink) present(ctx context.Context, conn *pgx.Conn, l *storedLetter) error {
	var topicID string
	err := conn.QueryRow(ctx, `SELECT "topic_id" FROM `+s.offsets.ident()+` WHERE "topic" = $1 AND "partition" = $2 FOR UPDATE`, l.topic, l.partition).Scan(&topicID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("waiting for %s/%d: %w", l.topic, l.partition, err)
	case l.topicID != "" && l.topicID != topicID:
		return fmt.Errorf("it was set aside from topic %s with the id %s, and what is applied is of another: what that one has of the object stands", l.topic, l.topicID)
	}
	return nil
}

// entry is the record as it was read from its topic. The rank of a value stands in it, too, and is taken from there.
func (l *storedLetter) entry() (entry, error) {
	rec := &kgo.Record{Topic: l.topic, Partition: l.partition, Offset: l.offset, Key: l.key, Value: l.value, Timestamp: l.at}
	for name, value := range l.headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if l.value == nil {
		if l.headers == nil {
			return entry{}, errors.New("an earlier version set this delete aside without its rank; rebuild the stream")
		}
		return readEntry(rec)
	}
	e := entry{rec: rec}
	var err error
	if _, e.id, e.account, err = schema.ParseKey(l.key); err != nil {
		return e, err
	}
	e.schemaID, e.body, err = schema.SplitHeader(l.value)
	return e, err
}

// rank reads the seq that a value has, and compares it with the header, where that can be read; a delete's is known.
func (s *sink) rank(ctx context.Context, t *table, e *entry) error {
	if e.tombstone {
		return nil
	}
	plan, err := s.writers.plan(ctx, t, e.schemaID)
	if err != nil {
		return err
	}
	var rec schema.Record
	if err := plan.writer.ReadRecord(t.stream, e.body, &rec); err != nil {
		return err
	}
	if e.seq = rec.Seq; e.seq < 1 {
		return fmt.Errorf("the value's %s is %d, no rank", columnSeq, e.seq)
	}
	said := entry{rec: e.rec}
	if err := said.readHeaders(); err == nil && said.seq != e.seq {
		return fmt.Errorf("the value's %s is %d, though the header %s says %d", columnSeq, e.seq, headerSeq, said.seq)
	}
	return nil
}

// withDatabase runs a command that only reads the database.
func withDatabase(ctx context.Context, cfg Config, deps Deps, f func(s *sink, conn *pgx.Conn) error) error {
	s, err := prepare(cfg, deps)
	if err != nil {
		return err
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = s.db.use(ctx, func(conn *pgx.Conn) error { return f(s, conn) })
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.Code == "42P01" || pg.Code == "3F000") {
		err = fmt.Errorf("%w: the tables of this version are not in schema %s yet; `sinker run` or `sinker drain` makes them, or a DBA by what `sinker ddl --missing` prints", err, cfg.Schema)
	}
	return explain(err)
}

package sinker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/pkg/schema"
)

// Statements is every SQL text of a stream's table.
func Statements(st *schema.Stream, soft bool) string {
	t, err := newTable(st, "harvest", "", soft)
	if err != nil {
		panic(err)
	}
	s := newStatements(t, "harvest")
	list := []string{s.probe, s.probeRange, s.ranks, copyInto(&t.relation, t.relation.columnNames()), s.createStage, s.merge, s.update, s.remember, s.rememberNew, s.remove, s.markGone, s.defaults}
	for _, c := range s.children {
		list = append(list, c.clear)
	}
	for _, r := range t.relations() {
		list = append(list, r.createTable())
		for i := range r.columns {
			if sql := lift(r, &r.columns[i]); sql != "" && i == 5 {
				list = append(list, sql)
			}
		}
	}
	for _, c := range t.children {
		list = append(list, liftItems(&t.relation, t.column(c.array), &c.relation, ""))
	}
	return strings.Join(list, ";\n\n") + ";\n"
}

// RowEncoder encodes rows of a stream.
type RowEncoder struct{ e *encoder }

// NewRowEncoder compiles a plan for a writer's schema.
func NewRowEncoder(st *schema.Stream, writer *schema.Schema) (*RowEncoder, error) {
	t, err := newTable(st, "harvest", "", false)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(t, writer)
	if err != nil {
		return nil, err
	}
	return &RowEncoder{newEncoder(p)}, nil
}

// Append appends one row; the rows for child tables are thrown away.
func (r *RowEncoder) Append(dst, body []byte, id, account, seq int64) ([]byte, error) {
	for i := range r.e.kids {
		r.e.kids[i], r.e.rows[i] = r.e.kids[i][:0], 0
	}
	return r.e.appendRow(dst, body, rowMeta{id: id, account: account, seq: seq, deleted: noTime})
}

// LongWay is the same encoder without appendPlain.
func (r *RowEncoder) LongWay() *RowEncoder {
	p := *r.e.plan
	p.steps = slices.Clone(p.steps)
	for i := range p.steps {
		p.steps[i].plain = false
	}
	return &RowEncoder{newEncoder(&p)}
}

// Kids is the size of the rows for child tables.
func (r *RowEncoder) Kids() (n int) {
	for _, k := range r.e.kids {
		n += len(k)
	}
	return n
}

// AppendPlain takes the values that most have. AppendNumeric and AppendDecimalText encode decimals.
var (
	AppendPlain       = appendPlain
	AppendNumeric     = appendNumeric
	AppendDecimalText = appendDecimalText
)

// Applier applies batches of records as a partition does, without offsets.
type Applier struct {
	w    *writer
	plan *plan
}

// NewApplier makes one for a stream whose tables are there.
func NewApplier(st *schema.Stream, soft bool) (*Applier, error) {
	t, err := newTable(st, "harvest", "", soft)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(t, st.Schema)
	plans := func(int) (*plan, error) { return p, err }
	none := func(string) error { return nil }
	return &Applier{&writer{table: t, sql: newStatements(t, "harvest"), plans: plans, stream: st.Name, hook: none}, p}, err
}

// Apply applies a batch in a transaction, and returns the keys of those that cannot become rows, in which case nothing is applied.
// Seqs up to applied count as replays.
func (a *Applier) Apply(ctx context.Context, conn *pgx.Conn, applied int64, recs []*kgo.Record) ([]int64, error) {
	var entries []entry
	for _, rec := range recs {
		e, err := readEntry(rec)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	b := &batch{changes: fold(nil, entries, a.w.table.soft), now: time.Now()}
	b.applied = map[int64]int64{}
	for i := range b.changes {
		b.applied[b.changes[i].account] = applied
	}
	err := transact(ctx, conn, func(conn *pgx.Conn) error { return a.w.apply(ctx, conn, b) })
	var bad *badRowsError
	if !errors.As(err, &bad) {
		return nil, err
	}
	var ids []int64
	for _, row := range bad.rows {
		ids = append(ids, row.change.id)
	}
	return ids, nil
}

// LeftOut are the columns that the next large COPY leaves out.
func (a *Applier) LeftOut() []string {
	var names []string
	for _, guess := range a.w.guess {
		for i, use := range guess {
			if use == columnLeftOut {
				names = append(names, a.plan.columns[i])
			}
		}
	}
	return names
}

// SampleOf is how many updates one is asked for; SingleTimes how many batches have no range.
const (
	SampleOf    = sampleOf
	SingleTimes = singleTimes
)

// Op is a version of a key for the model of S3.
type Op struct {
	ID, Seq   int64
	Tombstone bool
}

// State is what the tables have of a key.
type State struct {
	Row     bool
	Content int64 // seq of the row
	Marked  bool  // soft: _deleted_at is set
	Dead    int64 // seq in _deleted
}

// Model applies a batch of ops to states by fold and decide, as writer does.
func Model(states map[int64]State, batch []Op, soft bool) {
	var entries []entry
	for _, op := range batch {
		entries = append(entries, entry{account: 1, id: op.ID, seq: op.Seq, tombstone: op.Tombstone, at: op.Seq, rec: &kgo.Record{}})
	}
	deleted := int64(0)
	for _, st := range states {
		deleted = max(deleted, st.Dead)
	}
	changes := fold(nil, entries, soft)
	for i := range changes {
		c := &changes[i]
		st := states[c.id]
		c.found, c.had = st.Row, st.Content
		if c.lowest() <= deleted {
			c.dead, c.deadAt = st.Dead, st.Dead
		}
		a := decide(c, soft)
		if a.insert || a.update {
			st.Row, st.Content, st.Marked = true, c.up.seq, a.deleted != noTime
		}
		if a.remove {
			st = State{Dead: st.Dead}
		}
		if a.markGone {
			st.Marked = true
		}
		if a.remember {
			st.Dead = max(st.Dead, c.gone)
		}
		states[c.id] = st
	}
}

// Dial connects to a server.
var Dial = dial

// Start tries to start by try, as long as its patience lasts.
func Start(ctx context.Context, try func(ctx context.Context) error) error {
	return (&sink{log: slog.New(slog.DiscardHandler)}).start(ctx, try)
}

// Waiting is whether fetching stops with so many bytes waiting for the database, and once their partition was let go.
func Waiting(bytes int) (before, after bool) {
	b := newBudget()
	q := newIntake(b)
	q.push([]*kgo.Record{{Value: make([]byte, bytes)}}, 0, time.Time{})
	before = b.full()
	q.close()
	return before, b.full()
}

// Met is a record as the count of what is missing sees it, or the last one of an account that was applied (S9).
type Met struct {
	Account, Seq int64
	At           time.Time
}

// After are the marks after records, and how many of each account are missing among them. It fails where the marks before are changed: a
// transaction that is run again begins with them.
func After(t testing.TB, before []Met, records []Met, history kafka.History, now time.Time) (map[int64]Met, map[int64]int64) {
	marks := seqs{}
	for _, m := range before {
		marks[m.Account] = seqMark{m.Seq, m.At}
	}
	kept := maps.Clone(marks)
	var entries []entry
	for _, m := range records {
		entries = append(entries, entry{account: m.Account, seq: m.Seq, rec: &kgo.Record{Timestamp: m.At}})
	}
	next, gaps := marks.after(entries, history, now)
	if !maps.Equal(marks, kept) {
		t.Errorf("the marks before became %v", marks)
	}
	after := map[int64]Met{}
	for account, m := range next {
		after[account] = Met{account, m.Seq, m.At}
	}
	return after, gaps
}

// Covered reports whether everything that a checkpoint speaks of is applied, by partition: offsets of this topic id.
func Covered(t testing.TB, cfg Config, point *kafka.Checkpoint, topicID string, applied map[int32]int64) bool {
	s, err := prepare(cfg, Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	offsets := map[spot]offset{{"harvest.clients", 0}: {topicID: topicID, next: 1000}, {"harvest.clients", 1}: {topicID: topicID, next: 1000}}
	for number, next := range applied {
		offsets[spot{"harvest.tasks", number}] = offset{topicID: topicID, next: next}
	}
	return newCheckpoints(s).covered(point, offsets)
}

// Service is Run; it hands out what operators are served.
func Service(ctx context.Context, cfg Config, deps Deps, operators func(http.Handler)) error {
	s, err := open(ctx, cfg, deps, 0)
	if err != nil {
		return err
	}
	defer s.close()
	c, err := newConsumer(s)
	if err != nil {
		return err
	}
	defer c.cl.Close()
	operators(c.operators().Handler())
	return c.run(ctx)
}

// Intake is what was fetched of a partition.
type Intake struct{ q *intake }

// NewIntake begins one.
func NewIntake() Intake { return Intake{newIntake(newBudget())} }

// Push takes the record at an offset, of an answer with this last stable offset, handed over at a moment.
func (i Intake) Push(offset, stable int64, at time.Time) {
	i.q.push([]*kgo.Record{{Offset: offset}}, stable, at)
}

// Take returns up to where the next portion goes, and when that was the partition's end.
func (i Intake) Take() (int64, time.Time) {
	t, _, _ := i.q.tryTake()
	return t.to, t.atEnd
}

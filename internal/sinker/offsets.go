package sinker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
)

// offset is a row of _offsets: how far a partition is applied, and by whom (S1).
type offset struct {
	topicID   string
	next      int64
	fence     int64
	atEnd     time.Time
	updatedAt time.Time
	seqs      seqs
	relation  string // the table it is applied to; "": an earlier version has not said
}

// seqs has, by account, the highest seq applied: what follows it must be the next (S9), and what does not is a replay.
type seqs map[int64]seqMark

type seqMark struct {
	Seq int64     `json:"seq"`
	At  time.Time `json:"at"` // when that record was written
}

// highest are the seqs alone.
func (s seqs) highest() map[int64]int64 {
	m := make(map[int64]int64, len(s))
	for account, mark := range s {
		m[account] = mark.Seq
	}
	return m
}

// after are the marks after these records, and how many records are missing among them by account (S9): a seq was skipped, and the
// record before the hole is younger than history, so that compaction cannot have taken what is missing.
func (s seqs) after(entries []entry, history kafka.History, now time.Time) (seqs, map[int64]int64) {
	next := maps.Clone(s)
	if next == nil {
		next = seqs{}
	}
	var gaps map[int64]int64
	for i := 0; i < len(entries); {
		account := entries[i].account
		last := next[account] // a new one has none: behind no moment nothing is missing

		for ; i < len(entries) && entries[i].account == account; i++ { // nearly always all of them
			e := &entries[i]
			if e.seq <= last.Seq {
				continue
			}
			if e.seq > last.Seq+1 && kept(last.At, history, now) {
				if gaps == nil {
					gaps = map[int64]int64{}
				}
				gaps[account] += e.seq - last.Seq - 1
			}
			last = seqMark{e.seq, e.rec.Timestamp}
		}
		next[account] = last
	}
	return next, gaps
}

// kept reports whether a topic still has every record written since t; a tenth of history is left for clocks and the broker. No moment at
// all is longer ago than any history, kafka.All included.
func kept(t time.Time, history kafka.History, now time.Time) bool {
	return now.Sub(t) < time.Duration(history)/10*9
}

// offsets reads and moves rows of _offsets.
type offsets struct {
	namespace string
}

func (o offsets) ident() string { return quote(o.namespace, tableOffsets) }

// load returns the stored offset of a partition; nil where there is none.
func (o offsets) load(ctx context.Context, conn *pgx.Conn, topic string, partition int32) (*offset, error) {
	var off offset
	var marks []byte
	err := conn.QueryRow(ctx, `SELECT "topic_id", "next", "fence", "at_end", "updated_at", "seqs", coalesce("relation", '') FROM `+o.ident()+
		` WHERE "topic" = $1 AND "partition" = $2`, topic, partition).Scan(&off.topicID, &off.next, &off.fence, &off.atEnd, &off.updatedAt, &marks, &off.relation)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the offset of %s/%d: %w", topic, partition, err)
	}
	if err := json.Unmarshal(marks, &off.seqs); err != nil {
		return nil, fmt.Errorf("reading the offset of %s/%d: seqs: %w", topic, partition, err)
	}
	return &off, nil
}

// claim raises the fence of a partition, making its row where it is new, and returns what is stored (S1). Whoever had it before finds
// the fence raised with the next transaction; one of theirs that is committing is waited for.
func (o offsets) claim(ctx context.Context, conn *pgx.Conn, topic string, partition int32, first offset) (*offset, error) {
	now := time.Now()
	_, err := conn.Exec(ctx, `INSERT INTO `+o.ident()+` AS o ("topic", "partition", "topic_id", "next", "fence", "at_end", "updated_at", "seqs", "relation")
VALUES ($1, $2, $3, $4, 1, $5, $5, '{}', $6) ON CONFLICT ("topic", "partition") DO UPDATE SET "fence" = o."fence" + 1, "updated_at" = $5, "relation" = $6`,
		topic, partition, first.topicID, first.next, now, first.relation)
	if err != nil {
		return nil, fmt.Errorf("raising the fence of %s/%d: %w", topic, partition, err)
	}
	return o.load(ctx, conn, topic, partition)
}

// cutTopic stands in place of a topic's id where its log was found to have lost records.
const cutTopic = "cut"

// outdate marks a partition's offset as one that counts for nothing: its log was cut.
func (o offsets) outdate(ctx context.Context, conn *pgx.Conn, topic string, partition int32) error {
	_, err := conn.Exec(ctx, `UPDATE `+o.ident()+` SET "topic_id" = $3 WHERE "topic" = $1 AND "partition" = $2`, topic, partition, cutTopic)
	if err != nil {
		return fmt.Errorf("remembering that %s/%d was cut: %w", topic, partition, err)
	}
	return nil
}

// deletedSeqs are, by account, the highest seq that _deleted has of a stream: above it nothing can have been deleted (S3).
func (o offsets) deletedSeqs(ctx context.Context, conn *pgx.Conn, stream string) (map[int64]int64, error) {
	rows, err := conn.Query(ctx, `SELECT "account_id", max("seq") FROM `+quote(o.namespace, tableDeleted)+` WHERE "stream" = $1 GROUP BY 1`, stream)
	if err != nil {
		return nil, fmt.Errorf("reading what was deleted: %w", err)
	}
	highest := map[int64]int64{}
	var account, seq int64
	if _, err := pgx.ForEachRow(rows, []any{&account, &seq}, func() error { highest[account] = seq; return nil }); err != nil {
		return nil, fmt.Errorf("reading what was deleted: %w", err)
	}
	return highest, nil
}

// move is a move of an offset.
type move struct {
	from, to, fence int64
	atEnd           time.Time // zero: not at the end
	seqs            seqs
	begun           bool // the transaction has begun, to fill its own stage
}

// advance begins a transaction and moves an offset from a to b by compare-and-set, before it touches anything that others see: a zombie
// waits here for the row's lock, and then finds nothing (S1). Both go in one round trip: between transactions the server has nothing to do.
func (o offsets) advance(ctx context.Context, conn *pgx.Conn, topic string, partition int32, m move) error {
	marks, err := json.Marshal(m.seqs)
	if err != nil {
		return fmt.Errorf("writing seqs: %w", err)
	}
	var end any
	if !m.atEnd.IsZero() {
		end = m.atEnd
	}
	var both pgx.Batch
	if !m.begun {
		both.Queue("BEGIN")
	}
	both.Queue(`UPDATE `+o.ident()+` SET "next" = $5, "at_end" = greatest("at_end", $6), "updated_at" = $7, "seqs" = $8
WHERE "topic" = $1 AND "partition" = $2 AND "next" = $3 AND "fence" = $4`,
		topic, partition, m.from, m.fence, m.to, end, time.Now(), marks)
	sent := conn.SendBatch(ctx, &both)
	var tag pgconn.CommandTag
	for range both.Len() {
		if tag, err = sent.Exec(); err != nil {
			break
		}
	}
	if err = cmp.Or(err, sent.Close()); err != nil {
		return fmt.Errorf("moving the offset of %s/%d: %w", topic, partition, err)
	}
	if tag.RowsAffected() != 1 {
		return errFenced
	}
	return nil
}

// signing is a sign of life for partitions: a column of the statement each, by partition.
type signing struct {
	at         time.Time
	topics     []string
	partitions []int32
	fences     []int64
	nexts      []int64 // where the reader stands
	ended      []bool  // whether that is the partition's end (S8)
	wait       bool    // for who holds a row; otherwise that one is left out
}

func (g *signing) add(at spot, fence, next int64, ended bool) {
	g.topics, g.partitions = append(g.topics, at.topic), append(g.partitions, at.number)
	g.fences, g.nexts, g.ended = append(g.fences, fence), append(g.nexts, next), append(g.ended, ended)
}

// sign signs the partitions whose fence is still ours, and returns what is stored as applied of them: less than next where the server has
// lost its last transactions. Who has a row locked is at work on its partition, perhaps for long (a rebuild): waiting for one would keep
// those of all the others locked.
func (o offsets) sign(ctx context.Context, conn *pgx.Conn, g *signing) (map[spot]int64, error) {
	lock := "FOR UPDATE OF o SKIP LOCKED"
	if g.wait {
		lock = "FOR UPDATE OF o"
	}
	rows, err := conn.Query(ctx, `WITH p AS (
  SELECT "topic", "partition", "fence", "next", "ended" FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bool[]) AS p ("topic", "partition", "fence", "next", "ended")
), free AS (
  SELECT o."topic", o."partition", o."next" >= p."next" AND p."ended" AS "ended" FROM `+o.ident()+` AS o JOIN p USING ("topic", "partition")
  WHERE o."fence" = p."fence" `+lock+`
), signed AS (
  UPDATE `+o.ident()+` AS o SET "updated_at" = $1, "at_end" = CASE WHEN free."ended" THEN $1 ELSE o."at_end" END
  FROM free WHERE o."topic" = free."topic" AND o."partition" = free."partition"
)
SELECT o."topic", o."partition", o."next" FROM `+o.ident()+` AS o JOIN p USING ("topic", "partition") WHERE o."fence" = p."fence"`,
		g.at, g.topics, g.partitions, g.fences, g.nexts, g.ended)
	if err != nil {
		return nil, fmt.Errorf("signing offsets: %w", err)
	}
	ours := map[spot]int64{}
	var mine spot
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&mine.topic, &mine.number, &next}, func() error {
		ours[mine] = next
		return nil
	})
	return ours, err
}

// busy reports whether somebody holds the row of a partition: it is at work on it.
func (o offsets) busy(ctx context.Context, conn *pgx.Conn, topic string, partition int32) (bool, error) {
	free := 0
	err := conn.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM `+o.ident()+` WHERE "topic" = $1 AND "partition" = $2 FOR UPDATE SKIP LOCKED) AS o`, topic, partition).Scan(&free)
	if err != nil {
		return false, fmt.Errorf("looking whether %s/%d is worked on: %w", topic, partition, err)
	}
	return free == 0, nil
}

// recordSize is about what records cost in memory beside their batch's buffer.
func recordSize(rec *kgo.Record) int { return len(rec.Key) + len(rec.Value) + 400 }

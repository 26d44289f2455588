package sinker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// deadLetter is a record that cannot be applied (S5).
type deadLetter struct {
	rec    *kgo.Record
	reason string
}

// setAside writes dead letters, inside the transaction that passes over their records. One that is there already (a replay) is not
// written again; another record in its place (of a topic made anew) is. It returns how many were new.
func setAside(ctx context.Context, conn *pgx.Conn, namespace, topicID string, letters []deadLetter, now time.Time) (written int, err error) {
	for _, d := range letters {
		var id *int
		if n, _, err := schema.SplitHeader(d.rec.Value); err == nil {
			id = &n
		}
		table := quote(namespace, tableDeadLetters)
		tag, err := conn.Exec(ctx, `INSERT INTO `+table+` ("topic", "partition", "offset", "schema_id", "key", "value", "reason", "at", "headers", "topic_id")
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 WHERE NOT EXISTS (SELECT FROM `+table+` WHERE "topic" = $1 AND "partition" = $2 AND "offset" = $3
  AND "key" IS NOT DISTINCT FROM $5 AND "value" IS NOT DISTINCT FROM $6)`,
			d.rec.Topic, d.rec.Partition, d.rec.Offset, id, d.rec.Key, d.rec.Value, printable(d.reason), now, headersOf(d.rec), topicID)
		if err != nil {
			return written, fmt.Errorf("setting aside offset %d of %s/%d: %w", d.rec.Offset, d.rec.Topic, d.rec.Partition, err)
		}
		written += int(tag.RowsAffected())
	}
	return written, nil
}

// headersOf are a record's headers as they are kept.
func headersOf(rec *kgo.Record) map[string]string {
	kept := make(map[string]string, len(rec.Headers))
	for _, h := range rec.Headers {
		kept[printable(h.Key)] = printable(string(h.Value))
	}
	return kept
}

// printable is text as PostgreSQL takes it and people read it.
func printable(text string) string {
	text = strings.ReplaceAll(text[:min(len(text), 2000)], "\x00", "")
	return strings.ToValidUTF8(text, string(utf8.RuneError))
}

// Limits beyond which dead letters are no accident but a systemic failure (S5).
const (
	deadWindow  = 5 * time.Minute
	deadMost    = 100
	deadPercent = 1
	deadSample  = 1000
)

// brake counts records and dead letters of the last five minutes over all streams.
type brake struct {
	mu      sync.Mutex
	buckets []bucket // one per ten seconds
}

type bucket struct {
	at            time.Time
	records, dead int
}

// allow reports whether so many more dead letters are still single cases; records are those of the same batch.
func (b *brake) allow(now time.Time, records, dead int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	for _, k := range b.buckets {
		records, dead = records+k.records, dead+k.dead
	}
	if tooMany(records, dead) {
		return ops.Fail(ops.ExitData, fmt.Errorf("%d of %d records of the last %v cannot be applied: that is no accident; `sinker dead-letters list` shows why",
			dead, records, deadWindow))
	}
	return nil
}

func tooMany(records, dead int) bool {
	return dead >= deadMost || dead > 0 && records >= deadSample && dead*100 >= records*deadPercent
}

// count notes a batch that was committed.
func (b *brake) count(now time.Time, records, dead int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if n := len(b.buckets); n == 0 || now.Sub(b.buckets[n-1].at) > 10*time.Second {
		b.buckets = append(b.buckets, bucket{at: now})
	}
	last := &b.buckets[len(b.buckets)-1]
	last.records, last.dead = last.records+records, last.dead+dead
}

func (b *brake) expire(now time.Time) {
	for len(b.buckets) > 0 && now.Sub(b.buckets[0].at) > deadWindow {
		b.buckets = b.buckets[1:]
	}
}

// recall counts the dead letters that an earlier run has left in the last five minutes: a restart is no way around the brake.
func (b *brake) recall(ctx context.Context, conn *pgx.Conn, namespace string, now time.Time) error {
	var n int
	err := conn.QueryRow(ctx, `SELECT count(*) FROM `+quote(namespace, tableDeadLetters)+` WHERE "at" > $1`, now.Add(-deadWindow)).Scan(&n)
	if err != nil {
		return fmt.Errorf("counting dead letters: %w", err)
	}
	b.count(now, n, n)
	return nil
}

package sinker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
)

// checkpoints are the producers' last words on each account and stream (S9).
type checkpoints struct {
	*sink
	last    map[checkpointKey]*kafka.Checkpoint
	unknown bool // a checkpoint could not be read; said once
	behind  bool // later ones are on the topic: those read so far are not the last words
}

type checkpointKey struct {
	account int64
	stream  string
}

func newCheckpoints(s *sink) *checkpoints {
	return &checkpoints{sink: s, last: map[checkpointKey]*kafka.Checkpoint{}}
}

// add takes a record of the checkpoint topic.
func (c *checkpoints) add(rec *kgo.Record) {
	account, stream, writer, err := kafka.ParseCheckpointKey(rec.Key)
	if err != nil || writer {
		return
	}
	key := checkpointKey{account, stream}
	if rec.Value == nil {
		delete(c.last, key)
		return
	}
	point, err := kafka.ParseCheckpoint(rec.Value)
	if err != nil {
		if !c.unknown {
			c.log.Warn("cannot tell how complete the tables are", "err", err)
		}
		c.unknown = true
		return
	}
	c.last[key] = point
}

// take takes what was fetched of the checkpoint topic.
func (c *checkpoints) take(f kgo.FetchTopicPartition) {
	for _, rec := range f.Records {
		if !rec.Attrs.IsControl() {
			c.add(rec)
		}
		c.behind = rec.Offset+1 < f.LastStableOffset
	}
}

// apply writes to _streams up to which moment each table is complete: the checkpoint's cursor, once the offsets it speaks of are applied.
// Until then what was said before stands; where nothing was, a row without a moment says that there is an account to wait for.
func (c *checkpoints) apply(ctx context.Context, conn *pgx.Conn) error {
	applied, err := c.applied(ctx, conn)
	if err != nil {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(c.last), func(a, b checkpointKey) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.stream, b.stream))
	})
	for _, key := range keys {
		point := c.last[key]
		if c.byTopic(c.cfg.Kafka.Topic(key.stream)) == nil {
			continue
		}
		var to any
		covered := c.covered(point, applied)
		if covered && !point.Cursor.IsZero() && point.Backfill == nil {
			to = point.Cursor
		}
		_, err := conn.Exec(ctx, `INSERT INTO `+quote(c.cfg.Schema, tableStreams)+` AS s ("account_id", "stream", "complete_to", "gaps", "updated_at") VALUES ($1, $2, $3, 0, $4)
ON CONFLICT ("account_id", "stream") DO UPDATE SET "complete_to" = $3, "updated_at" = $4 WHERE $5 AND s."complete_to" IS DISTINCT FROM $3`, key.account, key.stream, to, time.Now(), covered)
		if err != nil {
			return fmt.Errorf("saying how complete %s is: %w", key.stream, err)
		}
	}
	return nil
}

// applied are the offsets of _offsets.
func (c *checkpoints) applied(ctx context.Context, conn *pgx.Conn) (map[spot]offset, error) {
	rows, err := conn.Query(ctx, `SELECT "topic", "partition", "topic_id", "next" FROM `+c.offsets.ident())
	if err != nil {
		return nil, fmt.Errorf("reading offsets: %w", err)
	}
	applied := map[spot]offset{}
	var at spot
	var off offset
	_, err = pgx.ForEachRow(rows, []any{&at.topic, &at.number, &off.topicID, &off.next}, func() error {
		applied[at] = off
		return nil
	})
	return applied, err
}

// covered reports whether everything the checkpoint speaks of is applied.
func (c *checkpoints) covered(point *kafka.Checkpoint, applied map[spot]offset) bool {
	topic := c.cfg.Kafka.Topic(point.Stream)
	for i, part := range point.Partitions {
		off, ok := applied[spot{topic, int32(i)}]
		if !ok && part.Next == 0 {
			continue // nothing was ever written there
		}
		if off.next < part.Next || point.TopicID != "" && off.topicID != point.TopicID {
			return false
		}
	}
	return true
}

// followCheckpoints reads the checkpoint topic as it grows; one that was made anew from its start, with another client: the one at work
// would wait for the old one for ever.
func (c *consumer) followCheckpoints(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.followTopic(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("cannot read the checkpoint topic, beginning again", "err", err)
		}
		pauseFor(ctx, time.Second)
	}
}

func (c *consumer) followTopic(ctx context.Context) error {
	points := newCheckpoints(c.sink)
	cl, err := kgo.NewClient(append(slices.Clone(c.opts),
		kgo.ConsumeTopics(c.cfg.Kafka.CheckpointTopic()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),       // the end of the topic is one
		kgo.KeepRetryableFetchErrors(), // a topic made anew would otherwise be silence
		kgo.FetchMaxBytes(1<<20),
		kgo.MetadataMaxAge(10*time.Second),
	)...)
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	defer cl.Close()
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 2*time.Second)
		fetches := cl.PollFetches(wait)
		cancel()
		for _, e := range fetches.Errors() {
			if isRemade(e.Err) || isLoss(e.Err) {
				return e.Err
			}
		}
		fetches.EachPartition(points.take)
		if points.behind {
			continue
		}
		if len(points.last) > 0 {
			if err := c.db.use(ctx, func(conn *pgx.Conn) error { return points.apply(ctx, conn) }); err != nil && ctx.Err() == nil {
				c.log.Debug("cannot say how complete the tables are", "err", err)
			}
		}
		pauseFor(ctx, time.Second)
	}
	return nil
}

// readCheckpoints reads the checkpoint topic as it is, and says how complete the tables are.
func (s *sink) readCheckpoints(ctx context.Context) error {
	topic := s.cfg.Kafka.CheckpointTopic()
	ids, err := kafka.TopicIDs(ctx, s.admin, topic)
	if err != nil || len(ids) == 0 {
		return err
	}
	ends, err := kafka.Ends(ctx, s.admin, topic)
	if err != nil {
		return err
	}
	points := newCheckpoints(s)
	targets := []kafka.Target{{Topic: topic, From: kafka.FromStart, To: ends[topic][0]}}
	if err := kafka.ReadTo(ctx, s.opts, targets, func(rec *kgo.Record) error { points.add(rec); return nil }); err != nil {
		return err
	}
	return s.db.use(ctx, func(conn *pgx.Conn) error { return points.apply(ctx, conn) })
}

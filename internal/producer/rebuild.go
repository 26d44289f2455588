package producer

import (
	"context"
	"fmt"
	"time"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/schema"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rebuild reads one stream's topic back into its index (P3) and settles what topic and checkpoint together mean.
type rebuild struct {
	s        *stream
	registry schema.Registry
	account  int64
	keyID    int
	schemas  map[int]*schema.Schema // by schema id, as met
	found    bool                   // a checkpoint was there
	records  int                    // of this account
	highest  []int64                // seq by partition, as met on the topic
	loss     string                 // why the stream must be read again (P15); "" = it need not
}

// settle takes over the checkpoint, or makes a first one.
func (r *rebuild) settle(ck *kafka.Checkpoint, p *Producer, partitions int) error {
	s := r.s
	r.found = ck != nil
	if ck == nil {
		s.ck = kafka.Checkpoint{Account: r.account, Stream: s.Name, TopicID: s.topicID, Partitions: make([]kafka.PartitionState, partitions)}
		if s.anchored() {
			s.ck.Anchor = p.anchor()
		}
	} else {
		s.ck, s.brakedAt, s.restores = *ck, ck.Stopped, ck.Restores
		if s.ck.TopicID != s.topicID {
			r.loss = "the topic was deleted and made again"
		}
		if len(s.ck.Partitions) > partitions {
			return ops.Fail(ops.ExitConfig, fmt.Errorf("%s has %d partitions, %d at the last start: it was made again with fewer; delete it, so that it is filled anew", s.topic, partitions, len(s.ck.Partitions)))
		}
		if len(s.ck.Partitions) < partitions {
			p.warnOnce(fmt.Sprintf("%s has %d partitions; the %d it was made with stay in use, the others stay empty (P13)", s.topic, partitions, len(s.ck.Partitions)))
		}
		r.moveAnchor(p)
	}
	r.highest = make([]int64, len(s.ck.Partitions))
	s.index = newIndex(s.Dates != "", s.Read == schema.Children, stampOfTime(s.anchor()))
	return nil
}

// moveAnchor is P10: an earlier anchor extends the mirror by a backfill, a later one changes nothing.
func (r *rebuild) moveAnchor(p *Producer) {
	s := r.s
	if !s.anchored() || !p.cfg.Anchor.Given || s.ck.Anchor.IsZero() {
		return // zero: everything is mirrored already
	}
	if p.cfg.Anchor.Time.Before(s.ck.Anchor) { // the zero time, "all", is before any
		p.Log.Info("the anchor moves back: reading again from there", "stream", s.Name, "from", s.ck.Anchor, "to", p.cfg.Anchor.Time)
		s.ck.Anchor = p.cfg.Anchor.Time
		s.readAgain()
	}
}

func (s *stream) anchor() time.Time {
	if !s.anchored() {
		return time.Time{}
	}
	return s.ck.Anchor
}

func stampOfTime(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(max(0, t.Unix()))
}

// lost notes a log that ends before the checkpoint's offset (P15).
func (r *rebuild) lost(part int32, next, end int64) {
	r.loss = fmt.Sprintf("partition %d ends at offset %d, the checkpoint knows of %d", part, end, next)
}

// add takes one record of the topic into the index. Records come in the order of each partition, so the last of a key stands.
func (r *rebuild) add(ctx context.Context, rec *kgo.Record) error {
	where := func(err error) error {
		return fmt.Errorf("%s partition %d offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
	}
	keyID, id, account, foreign := schema.ParseKey(rec.Key)
	if foreign != nil || account != r.account {
		return nil //nolint:nilerr // another account's, or another writer's: the sinker sets such records aside
	}
	if keyID != r.keyID {
		return ops.Fail(ops.ExitConfig, where(fmt.Errorf("its key carries schema id %d, the registry gives the key schema id %d: compaction would take them for two keys. "+
			"Import the key schema into the registry under id %d (mode IMPORT), then start again", keyID, r.keyID, keyID)))
	}
	r.records++
	e := entry{id: id, day: noDay, seq: seqOf(rec), stamp: stampHeader(rec)}
	if int(rec.Partition) < len(r.highest) {
		r.highest[rec.Partition] = max(r.highest[rec.Partition], e.seq)
	}
	if rec.Value == nil {
		if old := r.s.index.get(id); old != nil {
			e.owner, e.day = old.owner, old.day
		}
		e.flags = flagGone
		r.s.index.put(e)
		r.s.trackTimer(id, nil, rec.Timestamp)
		return nil
	}
	schemaID, body, err := schema.SplitHeader(rec.Value)
	if err != nil {
		return ops.Fail(ops.ExitData, where(err))
	}
	writer, err := r.writer(ctx, schemaID)
	if err != nil {
		return where(err)
	}
	var row schema.Record
	if err := writer.ReadRecord(r.s.Stream, body, &row); err != nil {
		return ops.Fail(ops.ExitData, where(err))
	}
	e.hash, e.owner, e.day = row.Hash, ownerOf(r.s, &row), dayOf(&row)
	if row.Running {
		e.flags = flagRunning
	}
	r.s.index.put(e)
	r.s.trackTimer(id, &row, time.UnixMilli(row.Observed))
	return nil
}

// writer is the schema a record was written under.
func (r *rebuild) writer(ctx context.Context, id int) (*schema.Schema, error) {
	if s, ok := r.schemas[id]; ok {
		return s, nil
	}
	text, err := r.registry.Schema(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("asking the registry for schema %d: %w", id, err)
	}
	s, err := schema.ParseSchema(text)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	r.schemas[id] = s
	return s, nil
}

// finish compares what was read with the checkpoint.
func (r *rebuild) finish(p *Producer) error {
	s := r.s
	if !r.found && r.records > 0 && !p.Initialise {
		return ops.Fail(ops.ExitConfig, fmt.Errorf("%s holds %d records of account %d, but %s has no checkpoint of it: it was lost or emptied. "+
			"Say --initialise to read the account anew and publish only what differs", s.topic, r.records, r.account, p.cfg.Kafka.CheckpointTopic()))
	}
	s.dirty = s.dirty || !r.found && r.records > 0 // also of a stream that is not read now
	for i := range s.ck.Partitions {
		if s.ck.Partitions[i].Seq < r.highest[i] {
			s.ck.Partitions[i].Seq = r.highest[i] // seq goes on above the highest of checkpoint and topic
		}
	}
	if r.loss != "" {
		p.Log.Error("records were lost: reading the stream again from the anchor, publishing what is missing", "stream", s.Name, "topic", s.topic, "reason", r.loss)
		s.restart()
		s.ck.TopicID = s.topicID
		for i := range s.ck.Partitions {
			s.ck.Partitions[i].Next = 0
		}
	}
	return nil
}

// lookAtTopics notices a topic that was deleted, or made anew, while this producer serves (P15): a stream that stands still would not. The
// next start fills it. Brokers that do not answer are the transactions' affair.
func (e *engine) lookAtTopics() {
	ctx, cancel := context.WithTimeout(e.ctx, kafka.CommitTimeout)
	defer cancel()
	var topics []string
	for _, s := range e.streams {
		topics = append(topics, s.topic)
	}
	ids, err := kafka.TopicIDs(ctx, e.writer.Client(), topics...)
	for _, s := range e.streams {
		if err == nil && kafka.TopicIDText(ids[s.topic]) != s.topicID {
			e.fatal = lostWriter(fmt.Errorf("%s was deleted under way", s.topic))
		}
	}
}

// restart makes a stream be read from the anchor again; seq and topic stay (P15, `producer reset`).
func (s *stream) restart() {
	s.ck.Marks, s.ck.Round = nil, kafka.Round{}
	s.readAgain()
}

// readAgain begins a first read. One that is polled goes on being polled from its cursor: what changes meanwhile is not to wait.
func (s *stream) readAgain() {
	if s.dirty = true; s.byChanges() {
		s.ck.Backfill = &kafka.Backfill{}
	} else {
		s.ck.Cursor, s.ck.Backfill = time.Time{}, nil
	}
}

// stampHeader reads the order of an object's versions back from its record.
func stampHeader(r *kgo.Record) uint32 {
	for _, h := range r.Headers {
		if h.Key == "harvest-stamp" {
			if ms, ok := schema.ParseInstant(h.Value); ok {
				return uint32(max(0, ms/1000))
			}
		}
	}
	return 0
}

// anchor is where a first read begins (P10): as configured, by default one year back.
func (p *Producer) anchor() time.Time {
	if p.cfg.Anchor.Given {
		return p.cfg.Anchor.Time
	}
	return p.firstStart.AddDate(-1, 0, 0).Truncate(24 * time.Hour)
}

package producer

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"harveststream/internal/faultpoint"
	"harveststream/internal/kafka"
	"harveststream/pkg/schema"

	"github.com/twmb/franz-go/pkg/kgo"
)

// cause is why a record was published: the words of the header harvest-cause.
type cause string

const (
	byPoll     cause = "poll"
	byTimer    cause = "timer"
	byBackfill cause = "backfill"
	bySweep    cause = "sweep"
	byChildren cause = "children" // a child list of a changed parent, or of the rotating pass
	byParent   cause = "parent"   // deleted along with its parent
)

// maxRestores is how many rows that went back a checkpoint remembers; a later sweep meets the others again (P5).
const maxRestores = 200

// change is one record to publish: an object as it was observed, or, without a record, a tombstone.
type change struct {
	s     *stream
	id    int64
	old   *entry // what the index has of it, nil if nothing
	rec   *schema.Record
	op    string // create, update, delete
	cause cause
	stamp uint32
	req   uint32
	now   time.Time // the server's clock when it answered
}

// publish makes the changes of one answer and the checkpoints of their streams one transaction (P2); progress is called once
// nothing but Kafka can fail any more, to move what the checkpoints say. A dry run does neither. Without changes the checkpoints are only marked, and
// written twice a minute. The error is fatal, except a *blockError for a record too large for its topic.
func (e *engine) publish(changes []change, progress func(), touched ...*stream) error {
	if e.dryRun {
		return nil
	}
	if err := e.fits(changes); err != nil {
		return err
	}
	if progress != nil {
		progress()
	}
	for _, s := range touched {
		s.dirty = true
	}
	if len(changes) == 0 {
		return nil
	}
	records := e.records(changes)
	for i := range changes {
		changes[i].s.moved = true
	}
	if err := e.commit(records); err != nil {
		return err
	}
	faultpoint.Pass("kp15")
	for i := range changes {
		e.remember(&changes[i], records[i])
	}
	e.count(changes)
	return nil
}

// count counts what was published. Most often all of it is of one kind.
func (e *engine) count(changes []change) {
	for len(changes) > 0 {
		c, n := &changes[0], 1
		for n < len(changes) && changes[n].s == c.s && changes[n].op == c.op && changes[n].cause == c.cause {
			n++
		}
		c.s.published += int64(n)
		e.m.records.WithLabelValues(c.s.Name, c.op, string(c.cause)).Add(float64(n))
		changes = changes[n:]
	}
}

// fits finds a record that its topic will not take before anything is produced (P2). Where the topic takes more than at the start, that
// begins anew: the writer's batches are made for the old limit.
func (e *engine) fits(changes []change) error {
	const overhead = 512 // more than key, headers and the two last fields take
	for i := range changes {
		c := &changes[i]
		limit := e.limits.Of(c.s.topic)
		if c.rec == nil || len(c.rec.Body)+overhead <= limit {
			continue
		}
		ctx, cancel := context.WithTimeout(e.ctx, kafka.CommitTimeout)
		defer cancel()
		if now, err := kafka.MaxMessageBytes(ctx, e.writer.Client(), c.s.topic); err == nil && now.Of(c.s.topic) > limit {
			return lostWriter(fmt.Errorf("%s takes larger records than before", c.s.topic))
		}
		return &blockError{stream: c.s, reason: fmt.Sprintf("record %d has %d bytes, more than %s takes: raise the topic's max.message.bytes (%d)",
			c.id, len(c.rec.Body), c.s.topic, limit)}
	}
	return nil
}

// commit is the one transaction: the records, then, their offsets known, the checkpoints of every stream that moved (P2).
func (e *engine) commit(records []*kgo.Record) error {
	last := func() []*kgo.Record {
		for _, r := range records {
			s := e.byTopic[r.Topic]
			s.ck.Partitions[r.Partition].Next = r.Offset + 1
		}
		return append(e.checkpoints(false), e.overdue()...)
	}
	began := time.Now()
	if err := e.writer.Commit(e.ctx, records, last); err != nil {
		return lostWriter(fmt.Errorf("publishing %d records: %w", len(records), err))
	}
	e.m.commits.Observe(time.Since(began).Seconds())
	return nil
}

// overdue is the sign of life that is due while one transaction follows another, as where very many rows are buried, and the loop, whose
// timer gives it otherwise, has no turn (P1).
func (e *engine) overdue() []*kgo.Record {
	if time.Since(e.beat.At) <= heartbeatEvery {
		return nil
	}
	return []*kgo.Record{e.heartbeat(false)}
}

// checkpoints are the records of every stream's state that has to be written now: with its records, twice a minute without any, or
// all of them when the engine ends.
func (e *engine) checkpoints(all bool) []*kgo.Record {
	var records []*kgo.Record
	now := time.Now()
	for _, s := range e.streams {
		if e.dryRun {
			break
		}
		if !s.moved && (!s.dirty || !all && now.Sub(s.saved) < checkpointEvery) {
			continue
		}
		s.moved, s.dirty, s.saved = false, false, now
		s.ck.Restores = s.restores[:min(len(s.restores), maxRestores)]
		s.ck.At, s.ck.Stopped, s.ck.Pending, s.ck.Blocked = now.UTC(), s.brakedAt, s.pending(), ""
		if s.blocked != nil {
			s.ck.Blocked = s.blocked.reason
		}
		records = append(records, &kgo.Record{Topic: e.checkpointTopic, Key: kafka.CheckpointKey(e.cfg.AccountID, s.Name), Value: s.ck.Marshal()})
	}
	return records
}

// flush writes checkpoints that ride on no record (P2), and what comes with them.
func (e *engine) flush(all bool, extra ...*kgo.Record) error {
	records := append(e.checkpoints(all), extra...)
	if len(records) == 0 {
		return nil
	}
	if err := e.writer.Commit(e.ctx, records, nil); err != nil {
		return lostWriter(fmt.Errorf("writing %d checkpoints: %w", len(records), err))
	}
	return nil
}

// remember moves the index to what is now on the topic.
func (e *engine) remember(c *change, r *kgo.Record) {
	s, old := c.s, c.old
	next := entry{id: c.id, seq: seqOf(r), stamp: c.stamp, req: c.req, day: noDay}
	if c.rec != nil {
		next.hash, next.owner, next.day = c.rec.Hash, ownerOf(s, c.rec), dayOf(c.rec)
		next.knows(c.rec)
		if c.rec.Running {
			next.flags = flagRunning
		}
	} else if next.flags = flagGone; old != nil {
		next.owner, next.day = old.owner, old.day
	}
	// A change of the same second that a poll shows is a new edit (a payment right after its invoice); one a sweep shows is a silent one.
	moved := old == nil || old.gone() || c.stamp > old.stamp || c.stamp == old.stamp && c.cause == byPoll
	s.index.put(next)
	s.trackTimer(c.id, c.rec, c.now)
	for _, child := range s.children {
		switch {
		case c.rec == nil:
		case moved:
			child.follow(pending{parent: c.id, seq: next.seq, part: r.Partition, first: c.cause == byBackfill})
		case len(child.queue) == 0 && !child.busy["children"]: // nothing to read: the next start need not ask for it either
			child.setMark(r.Partition, next.seq)
			child.dirty = true
		}
	}
}

// seqOf reads back the seq a record was given.
func seqOf(r *kgo.Record) int64 {
	for _, h := range r.Headers {
		if h.Key == "harvest-seq" {
			n, _ := strconv.ParseInt(string(h.Value), 10, 64)
			return n
		}
	}
	return 0
}

func ownerOf(s *stream, r *schema.Record) int64 {
	if s.Read == schema.Children {
		return r.Parent
	}
	return r.Owner
}

func dayOf(r *schema.Record) int32 {
	if r.Day == schema.NoDay {
		return noDay
	}
	return r.Day
}

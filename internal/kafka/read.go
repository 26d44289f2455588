package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FromStart as Target.From is the first offset there still is.
const FromStart = -2

// Target is a partition to read: from the offset From until the reader's position is To or beyond.
type Target struct {
	Topic     string
	Partition int32
	From, To  int64
}

// ShortLogError is a log that ends before the position that was to be reached: something was lost, or the topic is not
// the one the position was noted of (P15, S2).
type ShortLogError struct {
	Topic     string
	Partition int32
	End, To   int64
}

func (e *ShortLogError) Error() string {
	return fmt.Sprintf("topic %s partition %d ends at offset %d and was to be read to %d", e.Topic, e.Partition, e.End, e.To)
}

// ReadError is what keeps a partition from being read, and what no waiting mends.
type ReadError struct {
	Topic     string
	Partition int32
	Err       error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("reading %s/%d: %v", e.Topic, e.Partition, e.Err)
}

// Unwrap is the client's or the broker's error.
func (e *ReadError) Unwrap() error { return e.Err }

const (
	quietSpell = 2 * time.Second  // nothing came: ask the broker why
	patience   = 10 * time.Second // a partition that stands still so long is spoken of, and again after each further
	emptyTwice = 2                // empty answers below the last stable offset before a gap is believed
)

// ReadTo reads the targets with one client, committed records only, and hands each to each, in order within a
// partition. It returns when every partition's *position* has reached its To: markers, aborted records and compacted
// offsets count for positions and are no records (P3). So To may be a high watermark: the open transaction of another
// account is waited out, not taken for the end; the log names the partition that waits. Records at To and beyond are
// not handed over.
//
// An error of each ends the read and is returned. So do an offset that is gone, data loss, another topic under the same
// name (all S2's; *ReadError), and a log that ends before To (*ShortLogError). Unreachable brokers are waited for until ctx ends.
func ReadTo(ctx context.Context, opts []kgo.Opt, targets []Target, each func(*kgo.Record) error) error {
	unpack, err := newDecompressor()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),                    // the last thing in a log is most often a marker
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is an error
		kgo.KeepRetryableFetchErrors(),              // a topic made anew would otherwise be silence
	)...)
	if err != nil {
		return fmt.Errorf("making the reading client: %w", err)
	}
	defer client.Close()
	r := &reader{client: client, unpack: unpack, each: each, behind: map[partition]*progress{}}
	if err := r.assign(ctx, targets); err != nil {
		return err
	}
	for len(r.behind) > 0 {
		if err := r.poll(ctx); err != nil {
			return err
		}
	}
	return nil
}

type partition struct {
	topic  string
	number int32
}

// progress is a partition that has not reached its end.
type progress struct {
	position, to int64
	moved        time.Time // when the position last moved, or the log last spoke of it
	empty        int       // raw answers in a row that had nothing below the last stable offset
}

type reader struct {
	client *kgo.Client
	unpack kgo.Decompressor
	each   func(*kgo.Record) error
	behind map[partition]*progress
	ids    map[string][16]byte // of the topics, when the read began
}

func (r *reader) assign(ctx context.Context, targets []Target) error {
	starts := Offsets{}
	if slices.ContainsFunc(targets, func(t Target) bool { return t.From == FromStart }) {
		var topics []string
		for _, t := range targets {
			topics = append(topics, t.Topic)
		}
		slices.Sort(topics)
		var err error
		if starts, err = Starts(ctx, r.client, slices.Compact(topics)...); err != nil {
			return err
		}
	}
	from := map[string]map[int32]kgo.Offset{}
	for _, t := range targets {
		if t.From == FromStart {
			t.From = starts[t.Topic][t.Partition]
		}
		if t.From >= t.To {
			continue
		}
		r.behind[partition{t.Topic, t.Partition}] = &progress{position: t.From, to: t.To, moved: time.Now()}
		if from[t.Topic] == nil {
			from[t.Topic] = map[int32]kgo.Offset{}
		}
		from[t.Topic][t.Partition] = kgo.NewOffset().At(t.From)
	}
	if len(from) > 0 {
		r.ids, _ = TopicIDs(ctx, r.client, slices.Collect(maps.Keys(from))...) // without them any other id is another topic
	}
	r.client.AddConsumePartitions(from)
	return nil
}

// poll takes what the client has, or after a quiet spell asks the brokers themselves.
func (r *reader) poll(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, quietSpell)
	defer cancel()
	fetches := r.client.PollFetches(wait)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", r.first(), err)
	}
	if err := r.fatal(ctx, fetches); err != nil {
		return err
	}
	if fetches.NumRecords() > 0 {
		return r.take(fetches)
	}
	if wait.Err() == nil { // retriable errors come as fast as one asks
		<-time.After(100 * time.Millisecond)
	}
	for _, p := range r.sorted() {
		if err := r.inspect(ctx, p, r.behind[p]); err != nil {
			return err
		}
	}
	return nil
}

// fatal is the first error no waiting mends. Kafka calls the errors of a topic made anew retriable; its old records would never come. But
// a broker that has not heard of the topic yet answers the same.
func (r *reader) fatal(ctx context.Context, fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if !Passes(e.Err) || anotherTopic(e.Err) && r.remade(ctx, e.Topic) {
			return &ReadError{e.Topic, e.Partition, e.Err}
		}
	}
	return nil
}

func anotherTopic(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID)
}

// remade reports whether a topic is gone, or another than when the read began.
func (r *reader) remade(ctx context.Context, topic string) bool {
	ids, err := TopicIDs(ctx, r.client, topic)
	id, there := ids[topic]
	return err == nil && (!there || id != r.ids[topic])
}

// Passes reports whether waiting mends an error of a fetch. UNKNOWN_SERVER_ERROR is whatever a broker was caught in; other clients wait
// then, too.
func Passes(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kerr.UnknownServerError) || kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err)
}

func (r *reader) take(fetches kgo.Fetches) error {
	now := time.Now()
	for records := fetches.RecordIter(); !records.Done(); {
		rec := records.Next()
		key := partition{rec.Topic, rec.Partition}
		p := r.behind[key]
		if p == nil || rec.Offset < p.position {
			continue
		}
		if rec.Offset < p.to && !rec.Attrs.IsControl() {
			if err := r.each(rec); err != nil {
				return err
			}
		}
		p.moved, p.empty = now, 0
		r.reached(key, p, rec.Offset+1)
	}
	return nil
}

// reached moves a position and lets go of a partition that is done, so that it does not crowd out the others.
func (r *reader) reached(key partition, p *progress, position int64) {
	p.position = position
	if position >= p.to {
		delete(r.behind, key)
		r.client.PauseFetchPartitions(map[string][]int32{key.topic: {key.number}})
	}
}

// inspect finds out why a partition stands still: nothing but aborted records or compacted offsets up to the end, which
// the client passes without a word; or an open transaction.
func (r *reader) inspect(ctx context.Context, key partition, p *progress) error {
	answer, next, err := r.fetch(ctx, key, p.position)
	if err != nil {
		if e, ok := errors.AsType[*kerr.Error](err); ok && !Passes(e) {
			return &ReadError{key.topic, key.number, err}
		}
		r.say(p, "cannot read, trying again", "topic", key.topic, "partition", key.number, "err", err)
		return nil
	}
	switch {
	case len(answer.Records) > 0: // the client is about to bring them
		return nil
	case next > p.position:
		p.moved, p.empty = time.Now(), 0
		r.reached(key, p, next)
	case answer.LastStableOffset > p.position:
		if p.empty++; p.empty >= emptyTwice {
			p.moved, p.empty = time.Now(), 0
			r.reached(key, p, answer.LastStableOffset)
		}
	case answer.HighWatermark < p.to:
		if time.Since(p.moved) > patience { // a new leader may be behind for a moment
			return &ShortLogError{key.topic, key.number, answer.HighWatermark, p.to}
		}
	default:
		r.say(p, "waiting for an open transaction of another producer", "topic", key.topic, "partition", key.number,
			"position", p.position, "to", p.to, "producers", r.open(ctx, key))
	}
	return nil
}

// fetch asks the leader for what lies at an offset. Its second result is the offset after it.
func (r *reader) fetch(ctx context.Context, key partition, at int64) (kgo.FetchPartition, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	none := kgo.FetchPartition{}
	leader, _, err := r.client.PartitionLeader(key.topic, key.number)
	if err != nil {
		return none, at, err
	}
	ids, err := TopicIDs(ctx, r.client, key.topic)
	if err != nil {
		return none, at, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 500, 1, 16<<20, 1
	req.SessionEpoch = -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = key.topic, ids[key.topic]
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = key.number, at, 16<<20
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, r.client.Broker(int(leader)))
	if err != nil {
		return none, at, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return none, at, err
	}
	if resp.ThrottleMillis > 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return none, at, errors.New("the broker gave no answer for the partition")
	}
	answer, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: key.topic, Partition: key.number,
	}, &resp.Topics[0].Partitions[0], r.unpack, nil)
	return answer, next, answer.Err
}

// open are the ids of the producers whose transactions are open on a partition, so that an operator can find them. A
// reader without the right to ask says only that it waits.
func (r *reader) open(ctx context.Context, key partition) []int64 {
	set := kadm.TopicsSet{}
	set.Add(key.topic, key.number)
	all, err := kadm.NewClient(r.client).DescribeProducers(ctx, set)
	if err != nil {
		return nil
	}
	var ids []int64
	all.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			ids = append(ids, p.ProducerID)
		}
	})
	return ids
}

// say speaks of a partition that stands still, through the client's logger, once in a patience.
func (r *reader) say(p *progress, message string, keyvals ...any) {
	if time.Since(p.moved) < patience {
		return
	}
	p.moved = time.Now()
	if log, ok := r.client.OptValue(kgo.WithLogger).(kgo.Logger); ok {
		log.Log(kgo.LogLevelWarn, message, keyvals...)
	}
}

func (r *reader) first() string {
	p := r.sorted()[0]
	return fmt.Sprintf("%s/%d at offset %d of %d", p.topic, p.number, r.behind[p].position, r.behind[p].to)
}

func (r *reader) sorted() []partition {
	return slices.SortedFunc(maps.Keys(r.behind), func(a, b partition) int {
		if a.topic != b.topic {
			return strings.Compare(a.topic, b.topic)
		}
		return int(a.number - b.number)
	})
}

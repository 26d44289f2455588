package sinker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
)

// oneShotPatience is how long a command that ends waits for a database that went away.
const oneShotPatience = time.Minute

// Drain applies what is on the topics now, or what was there by until where that is not zero, and returns. Topics that do not exist yet
// have nothing to apply. A running sinker of the same target lets go meanwhile (S1).
func Drain(ctx context.Context, cfg Config, deps Deps, until time.Time) error {
	s, err := open(ctx, cfg, deps, oneShotPatience)
	if err != nil {
		return err
	}
	defer s.close()
	d := &drain{sink: s, budget: newBudget(), until: until}
	if err := d.plan(ctx); err != nil {
		return err
	}
	began, offsets := time.Now(), int64(0)
	for _, part := range d.parts {
		offsets += part.to - part.from
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	d.show(ctx)
	if until.IsZero() {
		if err := s.readCheckpoints(ctx); err != nil {
			d.failed = append(d.failed, fmt.Errorf("reading the checkpoint topic: %w", err))
		}
	}
	if len(d.failed) == 0 {
		s.log.Info("drained", "partitions", len(d.parts), "offsets", offsets, "took", time.Since(began).Round(time.Millisecond).String())
	}
	return errors.Join(d.failed...)
}

// drain reads every partition to a position.
type drain struct {
	*sink
	budget *budget
	until  time.Time
	at     time.Time // when the ends were asked for
	parts  []*draining

	mu     sync.Mutex
	failed []error // topics that stopped
}

// draining is one partition: read are the records before from, to be read those before to.
type draining struct {
	p        *partition
	in       *intake
	from, to int64
}

// plan claims all partitions of the topics there are, and notes to where each is to be read.
func (d *drain) plan(ctx context.Context) error {
	ids, err := kafka.TopicIDs(ctx, d.admin, d.topics()...)
	if err != nil {
		return ops.Fail(ops.ExitUnavailable, err)
	}
	var topics []string
	for _, t := range d.tables {
		topic := d.cfg.Kafka.Topic(t.stream.Name)
		if _, ok := ids[topic]; ok {
			topics = append(topics, topic)
		} else if err := d.missing(ctx, t, topic); err != nil {
			return err
		}
	}
	if len(topics) == 0 {
		return nil
	}
	d.at = time.Now()
	ends, err := d.ends(ctx, topics)
	if err != nil {
		return ops.Fail(ops.ExitUnavailable, err)
	}
	if err := d.beyond(ctx, ends); err != nil {
		return err
	}
	for _, topic := range topics {
		for number := range int32(len(ends[topic])) {
			if err := d.claim(ctx, topic, number, ends[topic]); err != nil {
				return err
			}
		}
	}
	return nil
}

// beyond refuses a moment that the tables are past, before anything is taken from who keeps them up to date.
func (d *drain) beyond(ctx context.Context, ends kafka.Offsets) error {
	if d.until.IsZero() {
		return nil
	}
	if history := time.Duration(d.cfg.Kafka.History); d.cfg.Kafka.History != kafka.All && time.Since(d.until) > history {
		d.log.Warn("the topics keep every version for KAFKA_HISTORY only: of what changed since that moment, older versions may be gone", "until", d.until)
	}
	return d.db.use(ctx, func(conn *pgx.Conn) error {
		for topic, numbers := range ends {
			for number, to := range numbers {
				stored, err := d.offsets.load(ctx, conn, topic, number)
				if err != nil {
					return explain(err)
				}
				if stored != nil && stored.next > to {
					return d.past(topic, number, stored.next, to)
				}
			}
		}
		return nil
	})
}

func (d *drain) past(topic string, number int32, next, to int64) error {
	return ops.Fail(ops.ExitConfig, fmt.Errorf("%s/%d ended at offset %d by %s, and is applied, or begins, at %d: no table goes back; drain into a new SINK_SCHEMA",
		topic, number, to, d.until.Format(time.RFC3339), next))
}

// missing looks whether a topic that does not exist ever did (S2).
func (d *drain) missing(ctx context.Context, t *table, topic string) error {
	return d.db.use(ctx, func(conn *pgx.Conn) error {
		stored, err := d.offsets.load(ctx, conn, topic, 0)
		if err != nil {
			return err
		}
		if stored != nil {
			d.stop(lost(t.stream.Name, "topic %s is gone", topic))
			return nil
		}
		d.log.Info("topic does not exist yet, nothing to apply", "topic", topic)
		return nil
	})
}

// ends are the positions to read to.
func (d *drain) ends(ctx context.Context, topics []string) (kafka.Offsets, error) {
	ends, err := kafka.Ends(ctx, d.admin, topics...)
	if err != nil || d.until.IsZero() {
		return ends, err
	}
	listed, err := kadm.NewClient(d.admin).ListOffsetsAfterMilli(ctx, d.until.UnixMilli()+1, topics...)
	if err != nil {
		return nil, fmt.Errorf("looking for %s on the topics: %w", d.until.Format(time.RFC3339), err)
	}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil && o.Offset >= 0 && o.Offset < ends[o.Topic][o.Partition] {
			ends[o.Topic][o.Partition] = o.Offset
		}
	})
	return ends, listed.Error()
}

// claim takes one partition; one that must stop does not stop the others.
func (d *drain) claim(ctx context.Context, topic string, number int32, ends map[int32]int64) error {
	t := d.byTopic(topic)
	p := d.partition(t, number, len(ends))
	for wait := newBackoff(); ; {
		err := p.claim(ctx)
		if err == nil {
			break
		}
		if d.stop(err) {
			return nil
		}
		var coded interface{ ExitCode() int }
		switch what := judge(err); {
		case errors.As(err, &coded):
			return err
		case what == fatal:
			return explainFatal(err)
		}
		if err := p.pause(ctx, wait, "cannot take the partition, trying again", err); err != nil {
			return err
		}
	}
	to := ends[number]
	if !d.until.IsZero() && p.next > to {
		return d.past(topic, number, p.next, to)
	}
	in := newIntake(d.budget)
	if d.until.IsZero() {
		in.stable, in.seen = to, d.at
	}
	d.parts = append(d.parts, &draining{p: p, in: in, from: p.next, to: max(to, p.next)})
	return nil
}

// stop notes an error that stops one topic, and reports whether it is one.
func (d *drain) stop(err error) bool {
	if _, ok := errors.AsType[*stopError](err); !ok {
		return false
	}
	d.log.Error("stopped", "err", err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = append(d.failed, err)
	return true
}

// run reads and applies.
func (d *drain) run(ctx context.Context) error {
	if len(d.parts) == 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range d.parts {
		g.Go(func() error { return d.work(ctx, part) })
	}
	g.Go(func() error { return d.read(ctx) })
	working, done := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { d.watch(working) })
	err := g.Wait()
	done()
	watch.Wait()
	if err != nil {
		if errors.Is(err, errFenced) {
			return ops.Fail(ops.ExitInternal, err)
		}
		return err
	}
	return nil
}

// watch gives signs of life while the drain works: a service beside it takes a partition that gives none (S1).
func (d *drain) watch(ctx context.Context) {
	for pauseFor(ctx, signEvery); ctx.Err() == nil; pauseFor(ctx, signEvery) {
		g := signing{at: time.Now()}
		for _, part := range d.parts {
			g.add(spot{part.p.topic, part.p.number}, part.p.fence, 0, false)
		}
		err := d.db.use(ctx, func(conn *pgx.Conn) error {
			_, err := d.offsets.sign(ctx, conn, &g)
			return err
		})
		if err != nil && ctx.Err() == nil {
			d.log.Debug("cannot give a sign of life", "err", err)
		}
	}
}

// pushRows is how many records of a partition are handed over at a time.
const pushRows = 256

// read feeds the intakes. A topic that was lost (S2) ends alone; the others are read on.
func (d *drain) read(ctx context.Context) error {
	for left := d.parts; len(left) > 0; {
		err := d.readTo(ctx, left)
		if err == nil {
			for _, part := range left {
				part.in.finish(part.to, nil)
			}
			return nil
		}
		topic, why := lossIn(err)
		if why == nil {
			return d.readError(err)
		}
		left = slices.DeleteFunc(slices.Clone(left), func(part *draining) bool {
			if part.p.topic != topic {
				return false
			}
			part.in.finish(0, lossOf(part.p.table.stream.Name, why))
			return true
		})
	}
	return nil
}

// readTo reads partitions from where they stand. It waits while the database is behind (S7).
func (d *drain) readTo(ctx context.Context, parts []*draining) error {
	var targets []kafka.Target
	at := map[spot]*draining{}
	for _, part := range parts {
		targets = append(targets, kafka.Target{Topic: part.p.topic, Partition: part.p.number, From: part.from, To: part.to})
		at[spot{part.p.topic, part.p.number}] = part
	}
	opts := append(slices.Clone(d.opts), kgo.FetchMaxBytes(4<<20), kgo.FetchMaxPartitionBytes(1<<20))
	var last spot
	var pending []*kgo.Record
	push := func() {
		if len(pending) > 0 {
			part := at[last]
			part.in.push(pending, 0, time.Time{})
			part.from = pending[len(pending)-1].Offset + 1
			pending = pending[:0]
			d.budget.wait(ctx, nil)
		}
	}
	err := kafka.ReadTo(ctx, opts, targets, func(rec *kgo.Record) error {
		if rec.Partition != last.number || rec.Topic != last.topic || len(pending) == pushRows {
			push()
			last = spot{rec.Topic, rec.Partition}
		}
		pending = append(pending, rec)
		return ctx.Err()
	})
	if err == nil {
		push()
	}
	return err
}

// lossOf is the stop of a topic that a reader found to have lost something.
func lossOf(stream string, why error) error {
	if isRemade(why) {
		return lost(stream, "%v", why)
	}
	return lostEnd(stream, "%v", why)
}

// lossIn is the topic that an error of reading says was lost, and why (S2).
func lossIn(err error) (string, error) {
	if short, ok := errors.AsType[*kafka.ShortLogError](err); ok {
		return short.Topic, short
	}
	if read, ok := errors.AsType[*kafka.ReadError](err); ok && (isLoss(read.Err) || isRemade(read.Err)) {
		return read.Topic, read
	}
	return "", nil
}

// readError gives an error of reading its exit code.
func (d *drain) readError(err error) error {
	if kafka.Denied(err) {
		return ops.Fail(ops.ExitPermission, fmt.Errorf("%w; the user of KAFKA_SASL_USERNAME needs Read on the topics", err))
	}
	return err
}

// work applies one partition to its end; what stops it does not stop the others.
func (d *drain) work(ctx context.Context, part *draining) error {
	err := part.p.work(ctx, part.in, func() {})
	if d.stop(err) {
		part.in.close()
		return nil
	}
	return err
}

// show signs the ends that were reached (S8), makes sure that everything is on the server's disk, and commits the group's offsets for lag
// displays.
func (d *drain) show(ctx context.Context) {
	g := signing{at: d.at, wait: true}
	shown := kadm.Offsets{}
	for _, part := range d.parts {
		p := part.p
		g.add(spot{p.topic, p.number}, p.fence, p.next, d.until.IsZero() && p.next >= part.to)
		shown.AddOffset(p.topic, p.number, p.next, -1)
	}
	if len(d.parts) == 0 {
		return
	}
	err := d.signed(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
			return err
		}
		stored, err := d.offsets.sign(ctx, conn, &g)
		for _, part := range d.parts {
			if next, ours := stored[spot{part.p.topic, part.p.number}]; ours && next < part.p.next {
				return ops.Fail(ops.ExitUnavailable, fmt.Errorf("the server has lost its last transactions of %s: drain again", part.p.topic))
			}
		}
		return err
	})
	if err != nil {
		d.failed = append(d.failed, fmt.Errorf("signing offsets: %w", explain(err)))
	}
	asked, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := kadm.NewClient(d.admin).CommitAllOffsets(asked, d.group(), shown); err != nil {
		d.log.Debug("cannot commit the group's offsets", "err", err) // a running member is the one to do it
	}
}

// signed runs the last transaction, again where that helps.
func (d *drain) signed(ctx context.Context, sign func(conn *pgx.Conn) error) error {
	for wait := newBackoff(); ; {
		err := d.db.transact(ctx, sign)
		var coded interface{ ExitCode() int }
		if err == nil || errors.As(err, &coded) || judge(err) != retry || wait.waited > d.patience {
			return err
		}
		if ended := wait.wait(ctx); ended != nil {
			return ended
		}
	}
}

package sinker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
)

// spot names a partition.
type spot struct {
	topic  string
	number int32
}

// consumer is `run`: it serves the partitions its group gives it, each by a goroutine of its own.
type consumer struct {
	*sink
	budget *budget
	cl     *kgo.Client   // fetches; only the goroutine of poll adds and removes partitions
	wake   chan struct{} // has an element when commands wait
	doubt  chan struct{} // has an element when a topic may be another one
	fatal  chan error
	signs  signs

	mu         sync.Mutex
	serving    map[spot]*serving
	intakes    map[spot]*intake
	commands   []func()
	cancelPoll context.CancelFunc
}

// serving is a partition that the group gave us.
type serving struct {
	p      *partition
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	in     *intake // nil while it is not being read
	next   int64
	fence  int64
	atEnd  time.Time
	absent int // times in a row that the topic was not there
	err    error
}

func newConsumer(s *sink) (*consumer, error) {
	c := &consumer{sink: s, budget: newBudget(), wake: make(chan struct{}, 1), doubt: make(chan struct{}, 1), fatal: make(chan error, 1),
		serving: map[spot]*serving{}, intakes: map[spot]*intake{}}
	var err error
	c.cl, err = kgo.NewClient(append(slices.Clone(s.opts), fetchOptions()...)...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	return c, nil
}

// fetchOptions read what is committed, by position (S1), stop where something is gone (S2), and stay small (S7).
func fetchOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.KeepRetryableFetchErrors(),
		kgo.FetchMaxBytes(4 << 20),
		kgo.FetchMaxPartitionBytes(1 << 20),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.MetadataMinAge(time.Second),
	}
}

// command has the polling goroutine do something: nobody else may touch what the client consumes, or records of before would come
// after.
func (c *consumer) command(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands = append(c.commands, f)
	if c.cancelPoll != nil {
		c.cancelPoll()
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *consumer) obey() {
	c.mu.Lock()
	list := c.commands
	c.commands = nil
	c.mu.Unlock()
	for _, f := range list {
		f()
	}
}

// pollable returns a context that the next command, or some time, ends; nil when a command waits already.
func (c *consumer) pollable(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.commands) > 0 {
		return nil
	}
	limit := time.Minute
	if len(c.cl.PauseFetchPartitions(nil)) > 0 {
		limit = time.Second // to let them go on once there is room
	}
	ctx, c.cancelPoll = context.WithTimeout(ctx, limit)
	return ctx
}

// poll fetches until ctx ends. While what waits for the database is over the budget, nothing is fetched; when that lasts, only nothing of
// those partitions that hold it: one whose table is locked does not keep the others waiting (S7).
func (c *consumer) poll(ctx context.Context) error {
	for ctx.Err() == nil {
		c.obey()
		polling := c.pollable(ctx)
		if polling == nil {
			continue
		}
		fetches := c.cl.PollRecords(polling, batchRows)
		interrupted := polling.Err() != nil
		c.cancelPoll()
		met := c.fetchErrors(fetches)
		now := time.Now()
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			if in := c.intakes[spot{f.Topic, f.Partition}]; in != nil && len(f.Records) > 0 {
				in.push(f.Records, f.LastStableOffset, now)
			}
		})
		if met && !interrupted && fetches.NumRecords() == 0 {
			pauseFor(ctx, 100*time.Millisecond) // retriable errors come as fast as one asks
		}
		c.balance(ctx)
	}
	return nil
}

// balance waits for room in the budget; when there is none for long it holds up the partitions that take it.
func (c *consumer) balance(ctx context.Context) {
	patient, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c.budget.wait(patient, c.wake)
	full, held := c.budget.full(), c.cl.PauseFetchPartitions(nil)
	if !full && len(held) > 0 {
		c.cl.ResumeFetchPartitions(held)
	}
	for at, in := range c.intakes {
		if one := map[string][]int32{at.topic: {at.number}}; full && in.holds() {
			c.cl.PauseFetchPartitions(one)
		} else if full {
			c.cl.ResumeFetchPartitions(one)
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// fetchErrors ends the intakes of partitions that cannot go on (S2). The others' errors pass by themselves.
func (c *consumer) fetchErrors(fetches kgo.Fetches) bool {
	met := false
	for _, e := range fetches.Errors() {
		met = true
		in := c.intakes[spot{e.Topic, e.Partition}]
		if in == nil {
			continue
		}
		t := c.byTopic(e.Topic)
		switch {
		case isLoss(e.Err):
			in.finish(0, lostEnd(t.stream.Name, "reading %s/%d: %v", e.Topic, e.Partition, e.Err))
		case isRemade(e.Err): // the topic's id tells the two apart; nothing of another topic comes meanwhile
			select {
			case c.doubt <- struct{}{}:
			default:
			}
		case errors.Is(e.Err, kerr.TopicAuthorizationFailed), errors.Is(e.Err, kerr.SaslAuthenticationFailed):
			in.finish(0, ops.Fail(ops.ExitPermission, fmt.Errorf("reading %s: %w; the user of KAFKA_SASL_USERNAME needs Read on it", e.Topic, e.Err)))
		case kafka.Passes(e.Err), errors.Is(e.Err, context.Canceled):
		default:
			in.finish(0, &stopError{t.stream.Name, ops.ExitData, fmt.Errorf("reading %s/%d: %w", e.Topic, e.Partition, e.Err)})
		}
	}
	return met
}

// isLoss reports whether a fetch's error says that records are gone (S2).
func isLoss(err error) bool {
	_, loss := errors.AsType[*kgo.ErrDataLoss](err)
	return loss || errors.Is(err, kerr.OffsetOutOfRange)
}

// isRemade reports whether a fetch's error says that the topic is another one (S2), or that a broker has not heard of it yet.
func isRemade(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID)
}

// assign begins to serve a partition.
func (c *consumer) assign(ctx context.Context, topic string, number int32, count int) {
	t := c.byTopic(topic)
	if t == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &serving{p: c.partition(t, number, count), cancel: cancel, done: make(chan struct{})}
	at := spot{topic, number}
	c.mu.Lock()
	old := c.serving[at]
	c.serving[at] = s
	c.mu.Unlock()
	go func() {
		defer close(s.done)
		if old != nil {
			old.cancel()
			<-old.done
		}
		if err := c.serve(ctx, s); err != nil {
			c.fail(err)
		}
	}()
}

// fail ends the program; the first error counts.
func (c *consumer) fail(err error) {
	select {
	case c.fatal <- err:
	default:
	}
}

// release ends serving partitions, and waits until what they are writing is written or rolled back.
func (c *consumer) release(lists map[string][]int32) {
	if err := c.deps.hook("ks08"); err != nil {
		c.fail(err)
	}
	var ending []*serving
	c.mu.Lock()
	for topic, numbers := range lists {
		for _, n := range numbers {
			if s := c.serving[spot{topic, n}]; s != nil {
				delete(c.serving, spot{topic, n})
				s.cancel()
				ending = append(ending, s)
			}
		}
	}
	c.mu.Unlock()
	for _, s := range ending {
		<-s.done
	}
}

// serve reads and applies a partition until ctx ends: sessions, with waits between them. It returns what the whole program must end for.
func (c *consumer) serve(ctx context.Context, s *serving) error {
	stream, number := s.p.table.stream.Name, strconv.Itoa(int(s.p.number))
	stopped := c.metrics.stopped.WithLabelValues(stream, number)
	defer c.metrics.forget(stream, number)
	wait, recheck := newBackoff(), signEvery // a rebuild may have been done before the stop
	for {
		before := s.p.next
		err := c.session(ctx, s, func() { wait = newBackoff(); stopped.Set(0) })
		if s.p.next != before {
			recheck = signEvery
		}
		var stop *stopError
		var coded interface{ ExitCode() int }
		switch {
		case ctx.Err() != nil:
			return nil // whatever the session ended with, it was stopped
		case errors.Is(err, errFenced) && c.stillOurs(ctx, s):
			s.p.log.Info("the offset was moved, by a rebuild or with a server that lost its last transactions; going on from there", "topic", s.p.topic)
		case errors.Is(err, errFenced):
			stopped.Set(1)
			s.note(err)
			s.p.log.Error("another sinker has taken the partition over; it is let go until that one is gone", "topic", s.p.topic)
			c.awaitSilence(ctx, s)
		case errors.As(err, &stop):
			stopped.Set(1)
			s.note(err)
			s.p.log.Error("stopped", "err", err)
			c.awaitMending(ctx, s, recheck)
			recheck = min(2*recheck, stopRecheck)
		case errors.As(err, &coded):
			return err
		case judge(err) == fatal:
			return explainFatal(err)
		default:
			if wait.first(err) {
				s.p.log.Warn("cannot take the partition, trying again", "err", err)
			}
			_ = wait.wait(ctx)
		}
	}
}

const (
	stopRecheck = 5 * time.Minute  // a stopped topic is tried again, at last so seldom, for what is mended elsewhere than in _offsets
	signEvery   = 10 * time.Second // signs of life of who reads a partition
	silence     = 40 * time.Second // without one, the partition is free
)

func (s *serving) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// stillOurs reports whether nobody has raised the fence since we did: the offset was moved, or a server that crashed has lost it, with our
// claim, too, but nobody else reads.
func (c *consumer) stillOurs(ctx context.Context, s *serving) bool {
	ours := false
	_ = c.db.use(ctx, func(conn *pgx.Conn) error {
		now, err := c.offsets.load(ctx, conn, s.p.topic, s.p.number)
		ours = err == nil && (now == nil || now.fence <= s.p.fence)
		return err
	})
	return ours
}

// awaitMending returns when somebody has moved the offset of a stopped topic, as a rebuild does, or after a while: one that was done before
// the stop is not seen here.
func (c *consumer) awaitMending(ctx context.Context, s *serving, while time.Duration) {
	var before *offset
	for began := time.Now(); ctx.Err() == nil && time.Since(began) < while; pauseFor(ctx, signEvery/4) {
		var now *offset
		err := c.db.use(ctx, func(conn *pgx.Conn) (err error) {
			now, err = c.offsets.load(ctx, conn, s.p.topic, s.p.number)
			return err
		})
		switch {
		case err != nil || now == nil:
		case before == nil:
			before = now
		case now.next != before.next || now.topicID != before.topicID || !now.updatedAt.Equal(before.updatedAt):
			return
		}
	}
}

// awaitSilence returns when whoever raised the fence gives no sign of life any more: so that two sinkers of one target do not take
// partitions from each other in turn (S1).
func (c *consumer) awaitSilence(ctx context.Context, s *serving) {
	var last offset
	quiet := time.Now()
	for ctx.Err() == nil && time.Since(quiet) < silence {
		pauseFor(ctx, signEvery/2)
		_ = c.db.use(ctx, func(conn *pgx.Conn) error {
			now, err := c.offsets.load(ctx, conn, s.p.topic, s.p.number)
			switch {
			case err != nil:
				quiet = time.Now() // no news is no silence
				return err
			case now == nil: // nobody has it
				quiet = time.Time{}
				return nil
			}
			busy, err := c.offsets.busy(ctx, conn, s.p.topic, s.p.number)
			if busy || now.fence != last.fence || !now.updatedAt.Equal(last.updatedAt) {
				quiet = time.Now()
			}
			last = *now
			return err
		})
	}
}

// session claims a partition and applies what comes until something ends it.
func (c *consumer) session(ctx context.Context, s *serving, began func()) error {
	p := s.p
	if err := p.claim(ctx); err != nil {
		return err
	}
	began()
	in := newIntake(c.budget)
	s.mu.Lock()
	s.in, s.next, s.fence, s.atEnd, s.err, s.absent = in, p.next, p.fence, p.atEnd, nil, 0
	s.mu.Unlock()
	at := spot{p.topic, p.number}
	from := p.next
	c.command(func() {
		c.intakes[at] = in
		c.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{at.topic: {at.number: kgo.NewOffset().At(from)}})
	})
	defer func() {
		in.close()
		s.mu.Lock()
		s.in = nil
		s.mu.Unlock()
		c.command(func() {
			if c.intakes[at] == in {
				c.drop(at)
			}
		})
	}()
	p.log.Info("reading", "topic", p.topic, "from", p.next)
	return p.work(ctx, in, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.next = p.next; p.atEnd.After(s.atEnd) {
			s.atEnd = p.atEnd
		}
	})
}

// drop ends consuming a partition. With its last partition a topic is forgotten: the client would hold on to the id of one that was made
// anew.
func (c *consumer) drop(at spot) {
	delete(c.intakes, at)
	c.cl.RemoveConsumePartitions(map[string][]int32{at.topic: {at.number}})
	for other := range c.intakes {
		if other.topic == at.topic {
			return
		}
	}
	c.cl.PurgeTopicsFromConsuming(at.topic)
}

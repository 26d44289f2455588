package sinker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
)

// Run is the service: it applies what comes until ctx ends, and then returns nil. What only a person can mend ends it with an error;
// what stops one topic does not.
func Run(ctx context.Context, cfg Config, deps Deps) error {
	s, err := open(ctx, cfg, deps, 0)
	if ctx.Err() != nil && s == nil { // whatever the start ended with, it was stopped
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	for _, w := range cfg.Warnings() {
		s.log.Warn(w)
	}
	c, err := newConsumer(s)
	if err != nil {
		return err
	}
	defer c.cl.Close()
	return c.run(ctx)
}

// run starts everything the service consists of, in the order of the data: group, fetching, workers (started by assignments),
// completeness, operators.
func (c *consumer) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	life, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	group, err := c.join(ctx, life)
	if err != nil {
		return err
	}
	g.Go(func() error { return c.poll(ctx) })
	g.Go(func() error { c.watch(ctx); return nil })
	g.Go(func() error { return c.awaitTopics(ctx, group) })
	g.Go(func() error { c.followCheckpoints(ctx); return nil })
	g.Go(func() error { return c.groupErrors(ctx, group) })
	g.Go(func() error { c.showOffsets(ctx, group); return nil })
	g.Go(func() error { return c.operators().Serve(ctx, c.cfg.AdminAddr) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case err := <-c.fatal:
			return err
		}
	})
	err = g.Wait()
	c.release(c.all())
	c.leave(group, abandon) // after the workers: whoever takes over finds everything committed
	return err
}

// all are the partitions being served.
func (c *consumer) all() map[string][]int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	lists := map[string][]int32{}
	for at := range c.serving {
		lists[at.topic] = append(lists[at.topic], at.number)
	}
	return lists
}

// rebalanceTimeout is how long a group waits for a member to let go of its partitions: longer than a transaction under way may take
// (shutdownGrace), and as short as that allows, for it is also how long it waits for one that died.
const rebalanceTimeout = 15 * time.Second

// join makes the member of the group. The group says who tries, and nothing else (S1): the member fetches nothing, fetching is the
// other client's, from the offsets of the database. Its own requests end with life.
func (c *consumer) join(ctx, life context.Context) (*kgo.Client, error) {
	topics := c.topics()
	member, err := kgo.NewClient(append(slices.Clone(c.opts),
		kgo.WithContext(life),
		kgo.ConsumerGroup(c.group()),
		kgo.ConsumeTopics(topics...),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(30*time.Second),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.MetadataMaxAge(30*time.Second),
		kgo.AdjustFetchOffsetsFn(func(_ context.Context, m map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return m, nil
		}),
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, lists map[string][]int32) {
			for topic, numbers := range lists {
				count := c.partitionCount(ctx, topic)
				for _, n := range numbers {
					c.assign(ctx, topic, n, count)
				}
			}
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lists map[string][]int32) { c.release(lists) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lists map[string][]int32) { c.release(lists) }),
	)...)
	if err != nil {
		return nil, fmt.Errorf("making the group's member: %w", err)
	}
	member.PauseFetchTopics(topics...)
	return member, nil
}

const leaveGrace = time.Second // for a goodbye to the group

// leave says goodbye to the group and closes its member. One that waits to be let in, as it does for others that died, would wait until
// it is (kgo 1.22.3 ends no join under way, joinAndSync): then the brokers are told by another client, and the member is given up.
func (c *consumer) leave(member *kgo.Client, abandon func()) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveGrace)
	defer cancel()
	if err := member.LeaveGroupContext(ctx); errors.Is(err, context.DeadlineExceeded) {
		ctx, cancel := context.WithTimeout(context.Background(), leaveGrace)
		defer cancel()
		id, _ := member.GroupMetadata()
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.MemberID = c.group(), id
		one := kmsg.NewLeaveGroupRequestMember()
		one.MemberID = id
		req.Members = append(req.Members, one)
		if _, err := req.RequestWith(ctx, c.admin); err != nil {
			c.log.Debug("cannot leave the group; its session will end", "err", err)
		}
		abandon()
	}
	member.Close()
}

// partitionCount is how many partitions a topic has; 2 where nobody says, so that rows are locked rather than not.
func (c *consumer) partitionCount(ctx context.Context, topic string) int {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ends, err := kafka.Ends(ctx, c.admin, topic)
	if err != nil {
		return 2
	}
	return len(ends[topic])
}

// awaitTopics tells the group of topics that come into being (design §7: the sinker waits for them). Those it may not see never will.
func (c *consumer) awaitTopics(ctx context.Context, member *kgo.Client) error {
	seen := -1
	for ctx.Err() == nil {
		asked, cancel := context.WithTimeout(ctx, askTimeout)
		ids, err := kafka.TopicIDs(asked, c.admin, c.topics()...)
		cancel()
		if kafka.Denied(err) {
			return ops.Fail(ops.ExitPermission, fmt.Errorf("%w; the user of KAFKA_SASL_USERNAME needs Read and Describe on the topics", err))
		}
		if err == nil && len(ids) != seen {
			if missing := len(c.tables) - len(ids); missing > 0 {
				c.log.Info("waiting for topics that do not exist yet", "missing", missing)
			}
			seen = len(ids)
			member.ForceMetadataRefresh()
		}
		if seen == len(c.tables) {
			return nil
		}
		pauseFor(ctx, time.Second)
	}
	return nil
}

// groupErrors drains what the member has to say. Without the right to the group there is no service.
func (c *consumer) groupErrors(ctx context.Context, member *kgo.Client) error {
	for ctx.Err() == nil {
		fetches := member.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			switch {
			case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, kgo.ErrClientClosed):
			case errors.Is(e.Err, kerr.GroupAuthorizationFailed), errors.Is(e.Err, kerr.SaslAuthenticationFailed):
				return ops.Fail(ops.ExitPermission, fmt.Errorf("joining group %s: %w; the user of KAFKA_SASL_USERNAME needs Read on it", c.group(), e.Err))
			default:
				c.log.Debug("group", "err", e.Err)
			}
		}
		if len(fetches) > 0 {
			pauseFor(ctx, 100*time.Millisecond)
		}
	}
	return nil
}

// showOffsets commits what is applied to the group, for lag displays; nothing here reads it (S1).
func (c *consumer) showOffsets(ctx context.Context, member *kgo.Client) {
	shown := map[spot]int64{}
	for {
		pauseFor(ctx, 5*time.Second)
		offsets := map[string]map[int32]kgo.EpochOffset{}
		for at, s := range c.reading() {
			s.mu.Lock()
			next := s.next
			s.mu.Unlock()
			if shown[at] == next {
				continue
			}
			shown[at] = next
			if offsets[at.topic] == nil {
				offsets[at.topic] = map[int32]kgo.EpochOffset{}
			}
			offsets[at.topic][at.number] = kgo.EpochOffset{Epoch: -1, Offset: next}
		}
		if len(offsets) > 0 {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			member.CommitOffsetsSync(last, offsets, nil)
			cancel()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// StreamStatus is one stream in /streams.
type StreamStatus struct {
	Stream    string    `json:"stream"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	State     string    `json:"state"` // reading, waiting, stopped
	Next      int64     `json:"next"`
	AtEnd     time.Time `json:"at_end"`
	Error     string    `json:"error,omitempty"`
}

// operators is what operators are served.
func (c *consumer) operators() ops.Admin {
	return ops.Admin{Ready: c.ready, Metrics: c.metrics.registry, Streams: func() any { return c.status() }, Log: c.log}
}

// ready reports what keeps tables from following their topics: a stopped stream, or a database or brokers that are away for long.
func (c *consumer) ready() error {
	for _, st := range c.status() {
		if st.Error != "" {
			return fmt.Errorf("stream %s: %s", st.Stream, st.Error)
		}
	}
	return c.signs.missed(time.Now())
}

func (c *consumer) status() []StreamStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []StreamStatus{}
	for at, s := range c.serving {
		s.mu.Lock()
		st := StreamStatus{Stream: s.p.table.stream.Name, Topic: at.topic, Partition: at.number, State: "waiting", Next: s.next, AtEnd: s.atEnd}
		switch {
		case s.in != nil:
			st.State = "reading"
		case s.err != nil:
			st.State, st.Error = "stopped", s.err.Error()
		}
		s.mu.Unlock()
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b StreamStatus) int {
		if a.Topic != b.Topic {
			return slices.Index(c.topics(), a.Topic) - slices.Index(c.topics(), b.Topic)
		}
		return int(a.Partition - b.Partition)
	})
	return list
}

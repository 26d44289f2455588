package producer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"harveststream/internal/faultpoint"
	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// start is P1's order: topics; a look at the last sign of life; schemas; InitProducerId and the sentinel; only then the checkpoints,
// then the index of each stream (P3); then the account. Everything an engine knows is read anew.
func (p *Producer) start(ctx context.Context) (_ *engine, err error) {
	opts, err := p.cfg.Kafka.Options()
	if err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, ops.Fail(ops.ExitConfig, fmt.Errorf("making a Kafka client: %w", err))
	}
	defer cl.Close()
	e := p.newEngine(ctx)
	defer func() {
		if err != nil {
			e.cancel()
		}
	}()
	if err := within(ctx, func(ctx context.Context) error { return p.topics(ctx, cl, e) }); err != nil {
		return nil, err
	}
	if err := p.mayBegin(ctx, cl, opts); err != nil {
		return nil, err
	}
	if err := within(ctx, func(ctx context.Context) error { return p.schemas(ctx, e) }); err != nil {
		return nil, err
	}
	e.beat = kafka.Heartbeat{Account: p.cfg.AccountID, Host: p.host(), PIDSpace: pidSpace(), PID: os.Getpid(), Nonce: p.process + rand.Text(), Version: p.Version, Command: p.command, Started: time.Now().UTC()}
	sentinel := e.heartbeat(false)
	err = within(ctx, func(ctx context.Context) (err error) {
		e.writer, err = kafka.StartWriter(ctx, append(slices.Clone(opts), e.limits.Option()), p.cfg.Kafka.TransactionalID(p.cfg.AccountID), sentinel)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("becoming the writer of account %d: %w", p.cfg.AccountID, err)
	}
	p.nonce = e.beat.Nonce
	p.metrics.restarts.Inc()
	ready := make(chan struct{})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.showLife(ready) })
	g.Go(func() error {
		defer close(ready)
		return p.memory(ctx, cl, opts, e, sentinel.Offset)
	})
	if err := g.Wait(); err != nil {
		e.writer.Close()
		return nil, err
	}
	return e, nil
}

// showLife gives signs of life until the engine's memory is ready, which may take longer than a standby waits (P1).
func (e *engine) showLife(ready <-chan struct{}) error {
	for {
		select {
		case <-time.After(heartbeatEvery):
		case <-ready:
			return nil
		}
		if err := e.writer.Commit(e.ctx, []*kgo.Record{e.heartbeat(false)}, nil); err != nil {
			return lostWriter(fmt.Errorf("writing a sign of life: %w", err))
		}
	}
}

// stepTimeout bounds each step of a start but the reading of topics: a client tries again and again what does not answer.
const stepTimeout = time.Minute

func within(ctx context.Context, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return step(ctx)
}

// topics makes and checks the topics and learns their ids and limits (design §4).
func (p *Producer) topics(ctx context.Context, cl *kgo.Client, e *engine) error {
	var names, topics []string
	for _, s := range e.streams {
		names, topics = append(names, s.Name), append(topics, s.topic)
	}
	warnings, err := kafka.EnsureTopics(ctx, cl, p.cfg.Kafka, names)
	if err != nil {
		if errors.As(err, new(*kafka.PolicyError)) {
			return ops.Fail(ops.ExitConfig, err)
		}
		return fmt.Errorf("preparing the topics at KAFKA_BROKERS %s: %w", strings.Join(p.cfg.Kafka.Brokers, ","), err)
	}
	p.warnOnce(warnings...)
	if warning, err := kafka.CheckTransactions(ctx, cl); err == nil && warning != "" {
		p.warnOnce(warning)
	}
	ids, err := kafka.TopicIDs(ctx, cl, topics...)
	if err != nil {
		return fmt.Errorf("asking for the topics' ids: %w", err)
	}
	if e.limits, err = kafka.MaxMessageBytes(ctx, cl, append(topics, e.checkpointTopic)...); err != nil {
		return fmt.Errorf("asking for the topics' limits: %w", err)
	}
	for _, s := range e.streams {
		s.topicID = kafka.TopicIDText(ids[s.topic])
	}
	return nil
}

// schemas registers what will be written under (design §4).
func (p *Producer) schemas(ctx context.Context, e *engine) error {
	for _, s := range e.streams {
		var err error
		if e.keyID, err = p.registry.Register(ctx, s.topic+"-key", schema.KeySchema); err == nil {
			s.valueID, err = p.registry.Register(ctx, s.topic+"-value", s.Schema.Text())
		}
		var refused interface{ Incompatible() bool }
		switch {
		case errors.As(err, &refused) && refused.Incompatible():
			return ops.Fail(ops.ExitConfig, fmt.Errorf("registering the schema of %s: the registry holds one this version cannot follow: %w", s.topic, err))
		case err != nil:
			return denied(fmt.Errorf("registering the schema of %s at SCHEMA_REGISTRY_URL: %w", s.topic, err))
		}
		faultpoint.Pass("kp09")
	}
	return nil
}

// memory is what an engine must know before it asks Harvest anything: checkpoints up to the own sentinel (P1), the index of each stream
// (P3), the account.
func (p *Producer) memory(ctx context.Context, cl *kgo.Client, opts []kgo.Opt, e *engine, sentinel int64) error {
	last, beat, _, err := p.readCheckpoints(ctx, opts, sentinel+1)
	if err != nil {
		return err
	}
	if beat == nil || beat.Nonce != e.beat.Nonce {
		return errors.New("another producer took over while this one started")
	}
	if err := p.indexes(ctx, cl, opts, e, last); err != nil {
		return err
	}
	if e.account, err = p.account(ctx); err != nil {
		return err
	}
	e.applyModules()
	if !e.account.admin && p.cfg.Deletes == deletesAuto {
		p.warnOnce("HARVEST_API_KEY: not an administrator's token: it sees a part of the account, and nothing that vanishes is taken for deleted (P7)")
	}
	return nil
}

// account reads what the token is and may do. The service waits for a Harvest that is not there: another start would read all topics
// again, to no other end.
func (p *Producer) account(ctx context.Context) (account, error) {
	for {
		a, err := readAccount(ctx, p.client, p.cfg.AccountID)
		if p.command != "run" || !harvest.Unavailable(err) {
			return a, err
		}
		p.Log.Warn("Harvest is not available: waiting for it", "error", err)
		select {
		case <-time.After(heartbeatEvery):
		case <-ctx.Done():
			return a, ctx.Err()
		}
	}
}

// indexes rebuilds every stream's index from its topic, up to the checkpoint's offset and the high watermark asked for after
// InitProducerId (P3), and settles what the two together mean (P1, P10, P13, P15).
func (p *Producer) indexes(ctx context.Context, cl *kgo.Client, opts []kgo.Opt, e *engine, last map[string]*kafka.Checkpoint) error {
	var topics []string
	for _, s := range e.streams {
		topics = append(topics, s.topic)
	}
	ends, err := kafka.Ends(ctx, cl, topics...)
	if err != nil {
		return fmt.Errorf("asking where the topics end: %w", err)
	}
	var targets []kafka.Target
	read := map[string]*rebuild{}
	for _, s := range e.streams {
		r := &rebuild{s: s, registry: p.registry, account: p.cfg.AccountID, keyID: e.keyID, schemas: map[int]*schema.Schema{}}
		if err := r.settle(last[s.Name], p, len(ends[s.topic])); err != nil {
			return err
		}
		read[s.topic] = r
		for _, part := range slices.Sorted(maps.Keys(ends[s.topic])) {
			to := ends[s.topic][part]
			if int(part) < len(s.ck.Partitions) && s.ck.TopicID == s.topicID && s.ck.Partitions[part].Next > to {
				r.lost(part, s.ck.Partitions[part].Next, to)
			}
			if to > 0 {
				targets = append(targets, kafka.Target{Topic: s.topic, Partition: part, From: kafka.FromStart, To: to})
			}
		}
	}
	began, n := time.Now(), 0
	err = kafka.ReadTo(ctx, opts, targets, func(rec *kgo.Record) error {
		n++
		faultpoint.Pass("kp04")
		return read[rec.Topic].add(ctx, rec)
	})
	if err != nil {
		return fmt.Errorf("rebuilding the index: %w", err)
	}
	for _, s := range e.streams {
		if err := read[s.topic].finish(p); err != nil {
			return err
		}
	}
	for _, s := range e.streams {
		if s.parent != nil {
			s.requeue(p.cfg.AccountID, e.keyID)
			s.recallEarly()
			s.orphansDue = true // parents may have gone while it was not selected
		}
	}
	p.Log.Info("index rebuilt", "records", n, "took", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// mayBegin looks at the last sign of life before anything is fenced (P1). After an error of our own, the last sentinel decides: own, then
// our transaction merely timed out; another's, then we are no longer the writer. At a first start: signed off, or left by a process of
// this host that no longer runs: go. Otherwise run stands by until two heartbeats are missed; one-shot commands wait for one and refuse
// if it comes.
func (p *Producer) mayBegin(ctx context.Context, cl *kgo.Client, opts []kgo.Opt) error {
	_, last, at, err := p.committed(ctx, cl, opts)
	switch {
	case err != nil || last == nil:
		return err
	case strings.HasPrefix(last.Nonce, p.process): // also a sentinel whose commit was never confirmed to us
		return nil
	case p.nonce != "":
		return ops.Fail(ops.ExitInternal, fmt.Errorf("taken over: `producer %s` on %s, process %d, writes for account %d since %s",
			last.Command, last.Host, last.PID, p.cfg.AccountID, last.Started.Format(time.RFC3339)))
	case p.TakeOver || last.SignedOff || p.deadHere(last):
		return nil
	}
	p.Log.Info("another producer may be at work: waiting for its next sign of life", "host", last.Host, "pid", last.PID, "command", last.Command, "last", last.At)
	wait := heartbeatEvery + heartbeatEvery/2
	if p.command == "run" {
		wait += heartbeatEvery // two are missed
	}
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		p.worked = true // the brokers were there: what fails now is no first start
		_, next, now, err := p.committed(ctx, cl, opts)
		switch {
		case err != nil:
			return err
		case next == nil: // the topic was made anew
			return nil
		case now == at || next.SignedOff || p.deadHere(next):
			p.Log.Info("no further sign of life: becoming the writer", "host", next.Host, "pid", next.PID)
			return nil
		case p.command != "run":
			return ops.Fail(ops.ExitUnavailable, errors.New(p.livesOn(next)))
		}
		at = now
	}
}

func (p *Producer) livesOn(h *kafka.Heartbeat) string {
	return fmt.Sprintf("a producer serves account %d already: `producer %s` on %s, process %d. Stop it first, or say --take-over", p.cfg.AccountID, h.Command, h.Host, h.PID)
}

// readCheckpoints reads the account's checkpoints and its last heartbeat, with that one's offset, from the checkpoint topic up to an offset.
func (p *Producer) readCheckpoints(ctx context.Context, opts []kgo.Opt, to int64) (map[string]*kafka.Checkpoint, *kafka.Heartbeat, int64, error) {
	topic := p.cfg.Kafka.CheckpointTopic()
	last, at := map[string]*kafka.Checkpoint{}, int64(-1)
	var beat *kafka.Heartbeat
	if to == 0 {
		return last, nil, at, nil
	}
	err := kafka.ReadTo(ctx, opts, []kafka.Target{{Topic: topic, From: kafka.FromStart, To: to}}, func(r *kgo.Record) error {
		account, stream, writer, foreign := kafka.ParseCheckpointKey(r.Key)
		if foreign != nil || account != p.cfg.AccountID || r.Offset >= to {
			return nil //nolint:nilerr // another account's, or nobody's
		}
		var err error
		switch {
		case r.Value == nil:
			delete(last, stream)
		case writer:
			beat, err = kafka.ParseHeartbeat(r.Value)
			at = r.Offset
		default:
			last[stream], err = kafka.ParseCheckpoint(r.Value)
		}
		if err != nil {
			return ops.Fail(ops.ExitConfig, fmt.Errorf("%s offset %d: %w", topic, r.Offset, err))
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("reading the checkpoints: %w", err)
	}
	return last, beat, at, err
}

// committed reads all that is committed on the checkpoint topic now.
func (p *Producer) committed(ctx context.Context, cl *kgo.Client, opts []kgo.Opt) (map[string]*kafka.Checkpoint, *kafka.Heartbeat, int64, error) {
	topic := p.cfg.Kafka.CheckpointTopic()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, nil, 0, fmt.Errorf("asking where %s ends: %w", topic, err)
	}
	end, _ := ends.Lookup(topic, 0)
	return p.readCheckpoints(ctx, opts, end.Offset)
}

// deadHere says whether a heartbeat was left by a process of this host that no longer runs. Only processes of the same number space can be
// asked about: two containers both have a process 1. One of our own number was there before us.
func (p *Producer) deadHere(h *kafka.Heartbeat) bool {
	if h.Host != p.host() || h.PIDSpace != pidSpace() {
		return false
	}
	return h.PID == os.Getpid() || errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH)
}

// host names this machine in heartbeats; tests play two.
var host = hostname

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// pidSpace names the space process numbers are counted in, "" where the system has one only.
func pidSpace() string {
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return space
}

// heartbeat is the writer's sign of life; its first one is the sentinel, a sign-off its last (P1).
func (e *engine) heartbeat(signOff bool) *kgo.Record {
	e.beat.At, e.beat.SignedOff = time.Now().UTC(), signOff
	return &kgo.Record{Topic: e.checkpointTopic, Key: kafka.HeartbeatKey(e.cfg.AccountID), Value: e.beat.Marshal()}
}

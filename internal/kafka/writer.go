package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"harveststream/internal/faultpoint"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// CommitTimeout is a transaction's deadline: then the client is closed (P1).
	CommitTimeout = 10 * time.Second
	// TransactionTimeout is when the broker aborts a transaction nobody ended. Other readers of the topic wait so long
	// for a writer that died and does not come back.
	TransactionTimeout = 15 * time.Second
	// defaultBatch is kgo's bound of a batch, just below the brokers' default of max.message.bytes.
	defaultBatch = 1_000_012
)

// Writer is one incarnation of the one writer of an account (P1): one client, used by one goroutine, until its first
// error. What an erring client does next is anyone's guess (it may even fence its successor), so after an error every
// call fails with that same error and only StartWriter helps.
type Writer struct {
	client *kgo.Client
	closed sync.Once
	err    error
}

// UnknownOutcomeError is a transaction whose end was asked for and not confirmed. Whether it was committed only the
// checkpoint topic can tell: start again (P2).
type UnknownOutcomeError struct{ Err error }

func (e *UnknownOutcomeError) Error() string {
	return "ending a transaction, outcome unknown: " + e.Err.Error()
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// StartWriter takes the transactional id over: it fences every earlier writer, has the broker abort what it left open,
// and commits the sentinel to the checkpoint topic. When it returns, everything committed before lies below the
// sentinel's offset. ctx bounds the take-over; opts may name Limits.
func StartWriter(ctx context.Context, opts []kgo.Opt, txnID string, sentinel *kgo.Record) (*Writer, error) {
	client, err := kgo.NewClient(append(faultpoint.Client(slices.Clone(opts)...),
		kgo.TransactionalID(txnID),
		kgo.TransactionTimeout(TransactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), // P13
		kgo.ManualFlushing(),                           // the linger would be paid by every transaction
		kgo.MaxBufferedRecords(1<<20),
	)...)
	if err != nil {
		return nil, fmt.Errorf("making the producing client: %w", err)
	}
	w := &Writer{client: client}
	if _, _, err := client.ProducerID(ctx); err != nil {
		w.Close()
		return nil, fmt.Errorf("taking over transactional id %s: %w", txnID, err)
	}
	faultpoint.Pass("kp01")
	if err := w.Commit(ctx, []*kgo.Record{sentinel}, nil); err != nil {
		return nil, fmt.Errorf("writing the sentinel of transactional id %s: %w", txnID, err)
	}
	faultpoint.Pass("kp03")
	return w, nil
}

// Client is the writer's client, for questions to the brokers. It ends with the writer.
func (w *Writer) Client() *kgo.Client { return w.client }

// Commit publishes recs and what last returns in one transaction (P2). Records carry their topic and partition. last,
// which may be nil, is called when every record of recs was acknowledged, so it finds their offsets in them: it makes
// the checkpoint. The end of ctx does not interrupt a transaction; it has CommitTimeout.
//
// Any error spends the writer. Except for an *UnknownOutcomeError nothing was committed.
func (w *Writer) Commit(ctx context.Context, recs []*kgo.Record, last func() []*kgo.Record) error {
	if w.err != nil {
		return w.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CommitTimeout)
	defer cancel()
	// kgo does not let go of a batch in flight when a context ends; Close does.
	defer context.AfterFunc(ctx, w.Close)()
	w.err = w.commit(ctx, recs, last)
	if w.err != nil {
		w.Close()
	}
	return w.err
}

func (w *Writer) commit(ctx context.Context, recs []*kgo.Record, last func() []*kgo.Record) error {
	if err := w.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	faultpoint.Pass("kp10")
	if err := w.produce(ctx, recs); err != nil {
		return err
	}
	faultpoint.Pass("kp12") // of a start it is kp02: the sentinel is there, and not committed
	n := len(recs)
	if last != nil {
		more := last()
		if err := w.produce(ctx, more); err != nil {
			return err
		}
		n += len(more)
		faultpoint.Pass("kp13")
	}
	if n == 0 {
		return errors.New("committing a transaction without records")
	}
	if err := w.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return &UnknownOutcomeError{inTime(ctx, err)}
	}
	return nil
}

// produce returns when every record was acknowledged or none is under way any more.
func (w *Writer) produce(ctx context.Context, recs []*kgo.Record) error {
	var first firstError
	first.pending.Add(len(recs))
	promise := first.promise
	for _, r := range recs {
		w.client.Produce(ctx, r, promise)
	}
	flushed := w.client.Flush(ctx)
	if err := first.wait(); err != nil {
		return inTime(ctx, err)
	}
	if flushed != nil {
		return fmt.Errorf("producing %d records: %w", len(recs), inTime(ctx, flushed))
	}
	if err := Settled(ctx, w.client, recs); err != nil {
		return inTime(ctx, err)
	}
	return nil
}

// Settled returns when the client has the partitions of acknowledged records in its list. With a topic's first records it sends them, and
// may hear that they are written, a moment before that (kgo 1.22.3, storePartitionsUpdate). A transaction that ends in this moment does
// not have the partition, for the client: if it has no other, EndTransaction(TryCommit) aborts it and returns nil (P2); with brokers before
// KIP-890 the partition would be missing from the next one.
func Settled(ctx context.Context, cl *kgo.Client, recs []*kgo.Record) error {
	for i, r := range recs {
		if i > 0 && r.Topic == recs[i-1].Topic && r.Partition == recs[i-1].Partition {
			continue
		}
		for !listed(cl, r) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for the partitions of %s: %w", r.Topic, ctx.Err())
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// listed reports whether the client has a record's partition in its list, with a leader at this moment or without.
func listed(cl *kgo.Client, r *kgo.Record) bool {
	leader, epoch, _ := cl.PartitionLeader(r.Topic, r.Partition)
	return leader >= 0 || epoch >= 0
}

// firstError looks at every promise and keeps the first failure, with its record.
type firstError struct {
	pending sync.WaitGroup
	once    sync.Once
	err     error
}

func (f *firstError) promise(r *kgo.Record, err error) {
	if err != nil {
		f.once.Do(func() { f.err = fmt.Errorf("producing to %s/%d: %w", r.Topic, r.Partition, err) })
	}
	faultpoint.Pass("kp11")
	f.pending.Done()
}

func (f *firstError) wait() error {
	f.pending.Wait()
	return f.err
}

// inTime adds the deadline to what the closing of the client made of it.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("not done after %s: %w", CommitTimeout, err)
}

// Close lets go of the brokers at once. An open transaction stays open until the next StartWriter or its timeout.
func (w *Writer) Close() { w.closed.Do(w.client.Close) }

// Denied reports whether the broker says that this user may not: no waiting mends that.
func Denied(err error) bool {
	for _, denied := range []error{kerr.TopicAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.GroupAuthorizationFailed, kerr.SaslAuthenticationFailed} {
		if errors.Is(err, denied) {
			return true
		}
	}
	return false
}

// Limits are the topics' max.message.bytes.
type Limits map[string]int

// MaxMessageBytes asks for the limits.
func MaxMessageBytes(ctx context.Context, cl *kgo.Client, topics ...string) (Limits, error) {
	settings, err := TopicSettings(ctx, cl, topics...)
	if err != nil {
		return nil, err
	}
	limits := Limits{}
	for topic, s := range settings {
		n, err := strconv.Atoi(s["max.message.bytes"])
		if err != nil {
			return nil, fmt.Errorf("topic %s: max.message.bytes: %w", topic, err)
		}
		limits[topic] = n
	}
	return limits, nil
}

// Of is a topic's limit in bytes, the client's default where it is not known.
func (l Limits) Of(topic string) int {
	if n, ok := l[topic]; ok {
		return n
	}
	return defaultBatch
}

// Option makes a client fill batches up to the limits and not beyond.
func (l Limits) Option() kgo.Opt {
	return kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
		return int32(min(max(l.Of(topic), 512), math.MaxInt32/2)) // the range kgo takes
	})
}

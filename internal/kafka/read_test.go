package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/kafka"
)

// begin produces n records in a transaction of its own and leaves it open.
func (b *bus) begin(txnID string, recs []*kgo.Record) *kgo.Client {
	b.t.Helper()
	cl := b.client(kgo.TransactionalID(txnID), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := cl.BeginTransaction(); err != nil {
		b.t.Fatal(err)
	}
	if err := cl.ProduceSync(b.t.Context(), recs...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	if err := kafka.Settled(b.t.Context(), cl, recs); err != nil {
		b.t.Fatal(err)
	}
	return cl
}

func (b *bus) end(cl *kgo.Client, how kgo.TransactionEndTry) {
	b.t.Helper()
	if err := cl.EndTransaction(b.t.Context(), how); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bus) commit(w *kafka.Writer, recs []*kgo.Record) {
	b.t.Helper()
	if err := w.Commit(b.t.Context(), recs, nil); err != nil {
		b.t.Fatal(err)
	}
}

// §0.11 and P3: a log that ends in aborted records and their marker has an end that no record shows.
func TestReadPastAnAbortedTail(t *testing.T) {
	bubble(t, "", func(b *bus) {
		b.topics("users")
		b.commit(b.start("harvest.1"), b.page("users", 1, 3))
		b.end(b.begin("harvest.2", b.page("users", 7, 3)), kgo.TryAbort)
		began := time.Now()
		numbered(b.t, b.all("harvest.users"), 3)
		if took := time.Since(began); took > time.Second {
			b.t.Errorf("took %s", took)
		}
	})
}

// K26: another account's open transaction holds back what we committed behind it. It is waited out, and spoken of.
func TestForeignOpenTransactionIsWaitedOut(t *testing.T) {
	for _, how := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		bubble(t, fmt.Sprintf("commit %t", how), func(b *bus) {
			var said bytes.Buffer
			b.cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
			b.topics("users")
			foreign := b.begin("harvest.2", b.page("users", 1, 1))
			b.commit(b.start("harvest.1"), b.page("users", 2, 2))
			time.AfterFunc(30*time.Second, func() { b.end(foreign, how) })
			began := time.Now()
			recs := b.all("harvest.users")
			if took := time.Since(began); took < 30*time.Second || took > 35*time.Second {
				b.t.Errorf("took %s", took)
			}
			if want := 2; how == kgo.TryAbort && len(recs) != want || how == kgo.TryCommit && len(recs) != want+1 {
				b.t.Errorf("%d records", len(recs))
			}
			for _, want := range []string{"open transaction", "harvest.users", "partition=0", "producers="} {
				if !strings.Contains(said.String(), want) {
					b.t.Errorf("the log does not say %q:\n%s", want, &said)
				}
			}
		})
	}
}

// Compacted offsets are holes, also right before the end that was noted before the compaction.
func TestReadAcrossCompaction(t *testing.T) {
	bubble(t, "", func(b *bus) {
		b.cfg.History = 0
		b.topics("users")
		cl := b.client()
		for i := range 20 { // without transactions, so that no markers lie in the hole
			recs := b.page("users", i+1, 1)
			if i > 0 {
				recs[0].Key = []byte("always the same")
			}
			if err := cl.ProduceSync(b.t.Context(), recs...).FirstErr(); err != nil {
				b.t.Fatal(err)
			}
		}
		ends, err := kafka.Ends(b.t.Context(), cl, "harvest.users")
		if err != nil {
			b.t.Fatal(err)
		}
		b.cluster.Compact()
		var got []string
		target := kafka.Target{Topic: "harvest.users", From: kafka.FromStart, To: ends["harvest.users"][0]}
		err = kafka.ReadTo(b.t.Context(), b.opts(), []kafka.Target{target}, func(r *kgo.Record) error {
			got = append(got, string(r.Value))
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if fmt.Sprint(got) != "[1 19 20]" { // the newest batch is not compacted
			b.t.Errorf("read %v", got)
		}
		target.To = 10 // in the hole
		err = kafka.ReadTo(b.t.Context(), b.opts(), []kafka.Target{target}, func(r *kgo.Record) error {
			if r.Offset >= target.To {
				b.t.Errorf("offset %d is beyond the target", r.Offset)
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	})
}

// One client reads many partitions, empty ones among them, each from its own offset to its own end.
func TestReadManyPartitions(t *testing.T) {
	bubble(t, "", func(b *bus) {
		b.cfg.Partitions = 4
		b.topics("users", "tasks")
		w := b.start("harvest.1")
		var recs []*kgo.Record
		for i := range 300 {
			r := b.page("users", i, 1)[0]
			r.Partition = int32(i % 3) // the fourth stays empty
			recs = append(recs, r)
		}
		b.commit(w, recs)
		targets := []kafka.Target{{Topic: "harvest.tasks", Partition: 2, From: 0, To: 0}}
		for p := range int32(4) {
			targets = append(targets, kafka.Target{Topic: "harvest.users", Partition: p, From: 10 * int64(p%3), To: 50})
		}
		targets[4].To = 0
		count := map[int32]int{}
		err := kafka.ReadTo(b.t.Context(), b.opts(), targets, func(r *kgo.Record) error {
			if want := strconv.Itoa(int(r.Offset)*3 + int(r.Partition)); string(r.Value) != want {
				b.t.Errorf("partition %d offset %d holds %s", r.Partition, r.Offset, r.Value)
			}
			count[r.Partition]++
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if fmt.Sprint(count) != "map[0:50 1:40 2:30]" {
			b.t.Errorf("records by partition: %v", count)
		}
	})
}

// What no waiting mends is an error, soon, and names topic and partition.
func TestReadErrors(t *testing.T) {
	remake := func(b *bus) {
		time.Sleep(3 * time.Second)
		adm := kadm.NewClient(b.client())
		if _, err := adm.DeleteTopics(b.t.Context(), "harvest.users"); err != nil {
			b.t.Error(err)
		}
		b.topics("users")
	}
	for _, c := range []struct {
		name   string
		target kafka.Target
		during func(b *bus)
		is     func(error) bool
	}{
		{"offset beyond the end", kafka.Target{From: 100, To: 200}, nil, isA(kerr.OffsetOutOfRange)},
		{"offset is gone", kafka.Target{From: 0, To: 4}, func(b *bus) {
			gone := kadm.Offsets{}
			gone.Add(kadm.Offset{Topic: "harvest.users", At: 2})
			if _, err := kadm.NewClient(b.client()).DeleteRecords(b.t.Context(), gone); err != nil {
				b.t.Error(err)
			}
		}, isA(kerr.OffsetOutOfRange)},
		{"log ends before the target", kafka.Target{From: 0, To: 100}, nil, func(err error) bool {
			short, ok := errors.AsType[*kafka.ShortLogError](err)
			return ok && short.End == 4 && short.To == 100
		}},
		{"topic made anew under way", kafka.Target{From: 0, To: 100}, remake, func(err error) bool {
			return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID) || errors.Is(err, kerr.OffsetOutOfRange)
		}},
	} {
		bubble(t, c.name, func(b *bus) {
			b.topics("users")
			b.commit(b.start("harvest.1"), b.page("users", 1, 3))
			var wg sync.WaitGroup
			if c.during != nil {
				wg.Go(func() { c.during(b) })
				time.Sleep(time.Second)
			}
			c.target.Topic = "harvest.users"
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
			defer cancel()
			err := kafka.ReadTo(ctx, b.opts(), []kafka.Target{c.target}, func(*kgo.Record) error { return nil })
			wg.Wait()
			if !c.is(err) || !strings.Contains(fmt.Sprint(err), "harvest.users") {
				b.t.Errorf("error is %v", err)
			}
		})
	}
}

// What a broker says for a moment is waited out: also that it does not know a topic it has not heard of yet.
func TestReadPassingErrors(t *testing.T) {
	for _, passing := range []*kerr.Error{kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.UnknownServerError, kerr.NotLeaderForPartition, kerr.KafkaStorageError} {
		bubble(t, passing.Message, func(b *bus) {
			b.topics("users")
			b.commit(b.start("harvest.1"), b.page("users", 1, 3))
			met := b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "harvest.users", Err: passing, Count: 3})
			seen := 0
			err := kafka.ReadTo(b.t.Context(), b.opts(), []kafka.Target{{Topic: "harvest.users", To: 3}}, func(*kgo.Record) error { seen++; return nil })
			if err != nil || seen != 3 || met.Hits() == 0 {
				b.t.Errorf("%d records after %d errors: %v", seen, met.Hits(), err)
			}
		})
	}
}

func isA(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func TestReadEndsWithItsCallersError(t *testing.T) {
	bubble(t, "", func(b *bus) {
		b.topics("users")
		b.commit(b.start("harvest.1"), b.page("users", 1, 3))
		mine, seen := errors.New("mine"), 0
		err := kafka.ReadTo(b.t.Context(), b.opts(), []kafka.Target{{Topic: "harvest.users", To: 3}}, func(*kgo.Record) error {
			seen++
			return mine
		})
		if !errors.Is(err, mine) || seen != 1 {
			b.t.Errorf("%d records, then %v", seen, err)
		}
	})
}

// Brokers that do not answer are waited for as long as the caller likes; the error says how far the read came.
func TestReadWithoutBrokers(t *testing.T) {
	bubble(t, "", func(b *bus) {
		b.topics("users")
		b.commit(b.start("harvest.1"), b.page("users", 1, 3))
		w := &wire{dial: b.cfg.Dial, dieAt: 8}
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Hour)
		defer cancel()
		err := kafka.ReadTo(ctx, append(b.opts(), kgo.Dialer(w.Dial)), []kafka.Target{{Topic: "harvest.users", To: 100}},
			func(*kgo.Record) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "harvest.users/0") {
			b.t.Errorf("error is %v", err)
		}
	})
}

// Kgo's own zstd decoders end the process when a bubble's garbage is collected outside; ours must not. Run in every
// bubble above too, since zstd is the codec there.
func TestEveryCodecIsReadBack(t *testing.T) {
	for _, codec := range []kafka.Codec{"none", "gzip", "snappy", "lz4", "zstd"} {
		bubble(t, string(codec), func(b *bus) {
			b.cfg.Compression = codec
			b.topics("users")
			recs := b.page("users", 1, 100)
			b.commit(b.start("harvest.1"), recs)
			numbered(b.t, b.all("harvest.users"), 100)
		})
	}
}

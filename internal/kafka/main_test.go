package kafka_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
)

// With one processor the order of events in a bubble does not depend on the machine.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// bus is a broker on virtual time and what a test needs to talk to it. Make it inside a bubble.
type bus struct {
	t       *testing.T
	cluster *kfake.Cluster
	cfg     kafka.Config
	network *kfake.VirtualNetwork
}

// bubble runs a test on virtual time with a broker of its own.
func bubble(t *testing.T, name string, test func(b *bus)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(newBus(t)) })
	})
}

func newBus(t *testing.T) *bus {
	b := &bus{t: t, network: &kfake.VirtualNetwork{}}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(b.network.Listen),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms": "86400000000", // compaction only when a test asks
			"log.retention.ms":       "-1",          // kfake applies it to compacted topics too
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b.cluster = cluster
	b.cfg = kafka.Config{
		Brokers: []string{"localhost:9092"}, TopicPrefix: "harvest.", Partitions: 1, Compression: "zstd",
		History: kafka.History(30 * 24 * time.Hour), RegistryURL: "http://registry", Dial: b.network.DialContext,
	}
	return b
}

// topics makes the streams' topics.
func (b *bus) topics(streams ...string) {
	b.t.Helper()
	if _, err := kafka.EnsureTopics(b.t.Context(), b.client(), b.cfg, streams); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bus) opts() []kgo.Opt {
	b.t.Helper()
	opts, err := b.cfg.Options()
	if err != nil {
		b.t.Fatal(err)
	}
	return opts
}

func (b *bus) client(more ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	cl, err := kgo.NewClient(append(b.opts(), more...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	return cl
}

// start takes over and closes with the test.
func (b *bus) start(txnID string) *kafka.Writer {
	b.t.Helper()
	w, err := kafka.StartWriter(b.t.Context(), b.opts(), txnID, b.sentinel())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(w.Close)
	return w
}

func (b *bus) sentinel() *kgo.Record {
	return &kgo.Record{Topic: b.cfg.CheckpointTopic(), Key: kafka.HeartbeatKey(1), Value: []byte("{}")}
}

// all reads what is committed on a topic's first partition.
func (b *bus) all(topic string) []*kgo.Record {
	b.t.Helper()
	recs, err := readAll(b.t.Context(), b.client(), b.opts(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	return recs
}

func readAll(ctx context.Context, cl *kgo.Client, opts []kgo.Opt, topic string) (recs []*kgo.Record, err error) {
	ends, err := kafka.Ends(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	target := kafka.Target{Topic: topic, From: kafka.FromStart, To: ends[topic][0]}
	err = kafka.ReadTo(ctx, opts, []kafka.Target{target}, func(r *kgo.Record) error {
		recs = append(recs, r)
		return nil
	})
	return recs, err
}

// page is n records of a stream's topic, numbered from first on.
func (b *bus) page(stream string, first, n int) []*kgo.Record {
	var recs []*kgo.Record
	for i := first; i < first+n; i++ {
		recs = append(recs, &kgo.Record{Topic: b.cfg.Topic(stream), Key: []byte(strconv.Itoa(i)), Value: []byte(strconv.Itoa(i))})
	}
	return recs
}

// numbered fails unless the records are 1 to n, in order, each once.
func numbered(t *testing.T, recs []*kgo.Record, n int) {
	t.Helper()
	var got []string
	for _, r := range recs {
		got = append(got, string(r.Value))
	}
	var want []string
	for i := range n {
		want = append(want, strconv.Itoa(i+1))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("topic holds %v, want %v", got, want)
	}
}

type dial = func(ctx context.Context, network, host string) (net.Conn, error)

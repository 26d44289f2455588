package sinker_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/pgserver"
	"harveststream/internal/sinker"
	"harveststream/pkg/schema"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

const account = 482913

// world is a broker, a registry and an empty database, with a producer's side to write topics by.
type world struct {
	t        testing.TB
	bus      *kfake.Cluster
	net      *kfake.VirtualNetwork
	registry *kafka.Registry
	handler  http.RoundTripper
	url      string
	env      []string
	cfg      sinker.Config
	kafka    kafka.Config
	cl       *kgo.Client // a transactional producer
	db       *pgx.Conn
	deps     sinker.Deps

	mu   sync.Mutex
	seqs map[string]int64 // by topic, account and partition
	rows map[string]bool  // by stream, account and id: whether its last version was a row
	ids  map[string]int   // of schemas, by topic and text
}

func newWorld(t testing.TB, env ...string) *world {
	t.Helper()
	return newWorldIn(t, pgserver.Database(t), env...)
}

// newWorldIn is a world over a database that is there already: in a synctest bubble it must be made outside.
func newWorldIn(t testing.TB, url string, env ...string) *world {
	t.Helper()
	w := &world{t: t, url: url, net: &kfake.VirtualNetwork{}, handler: handler{srfake.NewRegistry().Handler()}, seqs: map[string]int64{}, ids: map[string]int{}, rows: map[string]bool{}}
	var err error
	w.bus, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.net.Listen),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "86400000000", "log.retention.ms": "-1", "group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bus.Close)
	w.env = []string{"KAFKA_BROKERS=localhost:9092", "SCHEMA_REGISTRY_URL=http://registry", "KAFKA_COMPRESSION=none", "ADMIN_ADDR=", "DATABASE_URL=" + w.url}
	w.cfg = w.config(env...)
	w.kafka = w.cfg.Kafka
	if w.registry, err = kafka.NewRegistry(w.kafka); err != nil {
		t.Fatal(err)
	}
	w.connect()
	if w.db, err = pgx.Connect(context.Background(), w.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close(context.Background()) })
	w.sql("SET TimeZone = 'UTC'")
	w.deps = sinker.Deps{Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelInfo})), Stdout: io.Discard}
	return w
}

// connect makes a new producing client.
func (w *world) connect() {
	w.t.Helper()
	opts, err := w.kafka.Options()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.cl, err = kgo.NewClient(append(opts, kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(), kgo.MaxBufferedRecords(1<<20))...); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.cl.Close)
}

// config is the configuration of this world, with further variables on top.
func (w *world) config(env ...string) sinker.Config {
	w.t.Helper()
	cfg, err := ops.Load[sinker.Config](append(slices.Clone(w.env), env...), "")
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Kafka.Dial, cfg.Kafka.RegistryTransport = w.net.DialContext, w.handler
	return cfg
}

// handler serves a http.Handler without sockets.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// topics makes the streams' topics, with these many partitions.
func (w *world) topics(partitions int32, streams ...string) {
	w.t.Helper()
	for _, s := range streams {
		resp, err := kadm.NewClient(w.cl).CreateTopic(w.t.Context(), partitions, 1, map[string]*string{"cleanup.policy": new("compact"),
			"min.compaction.lag.ms": new(fmt.Sprint(w.kafka.History.Millis()))}, w.kafka.Topic(s))
		if err = cmp.Or(err, resp.Err); err != nil {
			w.t.Fatal(err)
		}
	}
}

// row is a record by field: int64, bool, string, *big.Rat, time.Time (instants and days), []string, []int64, []row.
type row map[string]any

// version is one record to publish: a row, or its delete.
type version struct {
	stream  *schema.Stream
	writer  *schema.Schema // nil: the stream's
	account int64
	id      int64
	row     row // nil: a tombstone
	seq     int64
	at      time.Time
	part    int32
}

func stream(t testing.TB, name string) *schema.Stream {
	st, ok := schema.ByName(name)
	if !ok {
		t.Fatalf("no stream %s", name)
	}
	return st
}

var observed = time.Date(2026, 3, 14, 15, 9, 26, 535e6, time.UTC)

// record makes a Kafka record of a version; seq 0 is the next one.
func (w *world) record(v *version) *kgo.Record {
	w.t.Helper()
	topic := w.kafka.Topic(v.stream.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	v.account = cmp.Or(v.account, account)
	count := fmt.Sprint(topic, v.account, v.part)
	v.seq = cmp.Or(v.seq, w.seqs[count]+1)
	w.seqs[count] = max(w.seqs[count], v.seq)
	if v.at.IsZero() {
		v.at = observed.Add(time.Duration(v.seq) * time.Second)
	}
	rec := &kgo.Record{Topic: topic, Partition: v.part, Key: schema.AppendKey(nil, 1, v.id, v.account), Headers: []kgo.RecordHeader{
		{Key: "harvest-op", Value: []byte(w.op(v))},
		{Key: "harvest-seq", Value: strconv.AppendInt(nil, v.seq, 10)},
		{Key: "harvest-stamp", Value: []byte(v.at.Format("2006-01-02T15:04:05.000Z07:00"))},
		{Key: "harvest-observed-at", Value: []byte(v.at.Format("2006-01-02T15:04:05.000Z07:00"))},
		{Key: "harvest-cause", Value: []byte("poll")},
	}}
	if v.row == nil {
		return rec
	}
	writer := v.writer
	if writer == nil {
		writer = v.stream.Schema
	}
	full := maps.Clone(v.row)
	full["id"], full["account_id"], full["_seq"], full["_observed_at"] = v.id, v.account, v.seq, v.at
	rec.Value = encode(schema.AppendHeader(nil, w.schemaID(topic, writer)), writer, full)
	return rec
}

// op is what the producer says of a version: whether the topic's last word on the key is a row.
func (w *world) op(v *version) string {
	key := fmt.Sprint(v.stream.Name, v.account, v.id)
	was := w.rows[key]
	w.rows[key] = v.row != nil
	switch {
	case v.row == nil:
		return "delete"
	case was:
		return "update"
	}
	return "create"
}

func (w *world) schemaID(topic string, s *schema.Schema) int {
	key := topic + s.Text()
	if id := w.ids[key]; id != 0 {
		return id
	}
	id, err := w.registry.Register(context.Background(), topic+"-value", s.Text())
	if err != nil {
		w.t.Fatal(err)
	}
	w.ids[key] = id
	return id
}

// publish writes versions in one transaction.
func (w *world) publish(versions ...version) {
	w.t.Helper()
	recs := make([]*kgo.Record, len(versions))
	for i := range versions {
		recs[i] = w.record(&versions[i])
	}
	w.produce(kgo.TryCommit, recs...)
}

func (w *world) produce(end kgo.TransactionEndTry, recs ...*kgo.Record) {
	w.t.Helper()
	ctx := context.Background()
	if err := w.cl.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	var first kgo.FirstErrPromise
	for _, r := range recs {
		w.cl.Produce(ctx, r, first.Promise())
	}
	if err := w.cl.Flush(ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := first.Err(); err != nil {
		w.t.Fatal(err)
	}
	if err := kafka.Settled(ctx, w.cl, recs); err != nil {
		w.t.Fatal(err)
	}
	if err := w.cl.EndTransaction(ctx, end); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) drain() {
	w.t.Helper()
	if err := sinker.Drain(w.t.Context(), w.cfg, w.deps, time.Time{}); err != nil {
		w.t.Fatalf("draining: %v", err)
	}
}

func (w *world) sql(text string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(context.Background(), text, args...); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
}

func one[T any](w *world, text string, args ...any) T {
	w.t.Helper()
	var v T
	if err := w.db.QueryRow(context.Background(), text, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	return v
}

// table returns a table's rows as JSON text by key, _loaded_at left out.
func (w *world) table(name string, key string) map[string]string {
	w.t.Helper()
	rows, err := w.db.Query(context.Background(), "SELECT concat_ws('/', "+key+"), (to_jsonb(t) - '_loaded_at')::text FROM "+name+" t")
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]string{}
	var k, text string
	if _, err := pgx.ForEachRow(rows, []any{&k, &text}, func() error { all[k] = text; return nil }); err != nil {
		w.t.Fatal(err)
	}
	return all
}

var quiet = slog.New(slog.DiscardHandler)

// failing is a network that is away.
type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("no route to host")
}

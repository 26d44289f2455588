package sinker_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"math/rand/v2"
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
	ids  map[string]int   // of schemas, by topic and text
}

func newWorld(t testing.TB, env ...string) *world {
	t.Helper()
	return newWorldWith(t, nil, env...)
}

func newWorldWith(t testing.TB, opts []kfake.Opt, env ...string) *world {
	t.Helper()
	w := &world{t: t, net: &kfake.VirtualNetwork{}, handler: handler{srfake.NewRegistry().Handler()}, seqs: map[string]int64{}, ids: map[string]int{}}
	var err error
	w.bus, err = kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.net.Listen),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "86400000000", "log.retention.ms": "-1", "group.initial.rebalance.delay.ms": "0"})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bus.Close)
	w.url = pgserver.Database(t)
	w.env = []string{"KAFKA_BROKERS=localhost:9092", "SCHEMA_REGISTRY_URL=http://registry", "KAFKA_COMPRESSION=none", "ADMIN_ADDR=", "DATABASE_URL=" + w.url}
	w.cfg = w.config(env...)
	w.kafka = w.cfg.Kafka
	if w.registry, err = kafka.NewRegistry(w.kafka); err != nil {
		t.Fatal(err)
	}
	w.connect()
	if w.db, err = pgx.Connect(t.Context(), w.url); err != nil {
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
		resp, err := kadm.NewClient(w.cl).CreateTopic(w.t.Context(), partitions, 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, w.kafka.Topic(s))
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
		{Key: "harvest-op", Value: []byte("update")},
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

// encode writes a row in Avro, appended to dst: this test's own encoder.
func encode(dst []byte, s *schema.Schema, r row) []byte {
	for i := range s.Fields {
		f := &s.Fields[i]
		v := r[f.Name]
		if !f.Required {
			if v == nil {
				dst = append(dst, 0)
				continue
			}
			dst = append(dst, 2)
		}
		dst = encodeValue(dst, f, v)
	}
	return dst
}

func encodeValue(dst []byte, f *schema.Field, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.AppendVarint(dst, v)
	case bool:
		if v {
			return append(dst, 1)
		}
		return append(dst, 0)
	case string:
		return append(binary.AppendVarint(dst, int64(len(v))), v...)
	case *big.Rat:
		b := twosComplement(new(big.Int).Div(new(big.Int).Mul(v.Num(), big.NewInt(1e9)), v.Denom()))
		return append(binary.AppendVarint(dst, int64(len(b))), b...)
	case time.Time:
		if f.Kind == schema.Date {
			return binary.AppendVarint(dst, int64(v.Unix()/86400))
		}
		return binary.AppendVarint(dst, v.UnixMilli())
	case []string:
		return encodeArray(dst, v, func(dst []byte, e string) []byte { return encodeValue(dst, nil, e) })
	case []int64:
		return encodeArray(dst, v, func(dst []byte, e int64) []byte { return encodeValue(dst, nil, e) })
	case []row:
		return encodeArray(dst, v, func(dst []byte, e row) []byte { return encode(dst, f.Items, e) })
	}
	panic(fmt.Sprintf("field %s: %T", f.Name, v))
}

func encodeArray[T any](dst []byte, list []T, one func([]byte, T) []byte) []byte {
	if len(list) > 0 {
		dst = binary.AppendVarint(dst, int64(len(list)))
		for _, e := range list {
			dst = one(dst, e)
		}
	}
	return append(dst, 0)
}

func twosComplement(n *big.Int) []byte {
	size := n.BitLen()/8 + 1
	if n.Sign() < 0 {
		size = new(big.Int).Not(n).BitLen()/8 + 1
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return n.FillBytes(make([]byte, size))
}

// randomRow is a row with every kind of value, now and then null, at the edges, or odd.
func randomRow(r *rand.Rand, s *schema.Schema) row {
	out := row{}
	for i := range s.Fields {
		f := &s.Fields[i]
		switch f.Name {
		case "id", "account_id", "_seq", "_observed_at":
			if f.Required || f.Name[0] == '_' {
				continue
			}
		case "extra":
			if r.IntN(4) == 0 {
				out["extra"] = fmt.Sprintf(`{"a": %d, "b": {"c": "%d"}}`, r.IntN(100), r.IntN(100))
			}
			continue
		}
		if r.IntN(5) > 0 {
			out[f.Name] = randomValue(r, f)
		}
	}
	return out
}

func randomValue(r *rand.Rand, f *schema.Field) any {
	switch f.Kind {
	case schema.Long:
		return r.Int64() >> r.IntN(63)
	case schema.Bool:
		return r.IntN(2) == 0
	case schema.String:
		return randomText(r)
	case schema.Decimal:
		n := randomBelow(r, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(r.IntN(39))), nil))
		if r.IntN(2) == 0 {
			n.Neg(n)
		}
		if r.IntN(3) == 0 {
			n.Mul(n.Div(n, big.NewInt(1e9)), big.NewInt(1e9))
		}
		return new(big.Rat).SetFrac(n, big.NewInt(1e9))
	case schema.Date:
		return time.Date(1+r.IntN(9998), 1, 1+r.IntN(365), 0, 0, 0, 0, time.UTC)
	case schema.Timestamp:
		return time.Date(1+r.IntN(9998), 1, 1+r.IntN(365), 0, 0, 0, 1e6*r.IntN(1000), time.UTC).Add(time.Duration(r.IntN(86400)) * time.Second)
	case schema.Strings:
		list := make([]string, r.IntN(4))
		for i := range list {
			list[i] = randomText(r)
		}
		return list
	case schema.Longs:
		list := make([]int64, r.IntN(4))
		for i := range list {
			list[i] = r.Int64()
		}
		return list
	}
	list := make([]row, r.IntN(4))
	for i := range list {
		list[i] = randomRow(r, f.Items)
		if r.IntN(2) == 0 {
			list[i]["id"] = r.Int64()
		}
		if f.Items.Field("id") < 0 {
			delete(list[i], "id")
		}
	}
	return list
}

func randomBelow(r *rand.Rand, limit *big.Int) *big.Int {
	n := new(big.Int)
	for range 3 {
		n.Add(n.Lsh(n, 63), big.NewInt(r.Int64()))
	}
	return n.Mod(n, limit)
}

func randomText(r *rand.Rand) string {
	return []string{"", "plain", `quo"te\`, "line\r\nend\t", "ünï→😀", "\u0001\u001f", "\\N", "{}", "null", strconv.Itoa(r.IntN(1e6))}[r.IntN(10)]
}

// expected is what to_jsonb says of the row that a version makes.
func expected(t testing.TB, v *version, deletedAt any, soft bool) string {
	t.Helper()
	out := map[string]any{}
	for i := range v.stream.Schema.Fields {
		f := &v.stream.Schema.Fields[i]
		out[f.Name] = asJSON(f, v.row[f.Name], false)
	}
	out["id"], out["account_id"], out["_seq"], out["_observed_at"] = v.id, v.account, v.seq, zoned(v.at)
	if soft {
		out["_deleted_at"] = deletedAt
	}
	return canonical(t, out)
}

func zoned(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999-07:00") }

func asJSON(f *schema.Field, v any, inside bool) any {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if f.Name == "extra" {
			return json.RawMessage(v)
		}
		return v
	case *big.Rat:
		text := v.FloatString(9)
		return json.RawMessage(strings.TrimSuffix(strings.TrimRight(text, "0"), "."))
	case time.Time:
		switch {
		case f.Kind == schema.Date:
			return v.Format(time.DateOnly)
		case inside:
			return v.Format("2006-01-02T15:04:05.999Z07:00")
		}
		return zoned(v)
	case []row:
		items := make([]any, len(v))
		for i, item := range v {
			m := map[string]any{}
			for j := range f.Items.Fields {
				inner := &f.Items.Fields[j]
				m[inner.Name] = asJSON(inner, item[inner.Name], true)
			}
			items[i] = m
		}
		return items
	}
	return v
}

// canonical is a JSON value with sorted names and numbers as they are.
func canonical(t testing.TB, v any) string {
	t.Helper()
	b, ok := v.(string)
	if !ok {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b = string(raw)
	}
	dec := json.NewDecoder(strings.NewReader(b))
	dec.UseNumber()
	var any any
	if err := dec.Decode(&any); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(any); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

func (w *world) equal(got map[string]string, want map[string]string) {
	w.t.Helper()
	for k, g := range got {
		if g = canonical(w.t, g); want[k] == "" {
			w.t.Errorf("row %s should not be there: %s", k, g)
		} else if g != want[k] {
			w.t.Errorf("row %s\n got %s\nwant %s", k, g, want[k])
		}
	}
	for k := range want {
		if got[k] == "" {
			w.t.Errorf("row %s is missing", k)
		}
	}
}

var quiet = slog.New(slog.DiscardHandler)

// failing is a network that is away.
type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("no route to host")
}

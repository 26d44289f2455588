package producer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// With one processor a seed replays byte for byte.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400) // memory is not what a test runs out of
	os.Exit(m.Run())
}

// start is when every bubble's simulated account begins: synctest's clock starts at 2000-01-01.
const accountID = 482913

// world is a whole surrounding on virtual time: a simulated account, a broker, a registry. Make it inside a bubble.
type world struct {
	t        *testing.T
	sim      *harvesttest.Sim
	net      *kfake.VirtualNetwork
	bus      *kfake.Cluster
	registry http.RoundTripper
	log      *journal
	env      []string
	lost     map[string]map[int32]int64 // by stream that lost its topic: the last seq of each partition
}

// bubble runs a test in virtual time in a world of its own.
func bubble(t *testing.T, o harvesttest.Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t, o)) })
}

// small is an account that a pass reads in a blink.
var small = harvesttest.Sizes{Users: 5, Clients: 4, Projects: 6, Tasks: 4, Invoices: 12, Estimates: 5, Expenses: 20, TimeEntries: 150}

func newWorld(t *testing.T, o harvesttest.Options) *world {
	t.Helper()
	if o.Sizes == (harvesttest.Sizes{}) {
		o.Sizes = small
	}
	o.Account, o.BaseURL = accountID, "https://api.harvestapp.com/v2"
	w := &world{t: t, sim: harvesttest.New(o), net: &kfake.VirtualNetwork{}, registry: &handler{Handler: srfake.NewRegistry().Handler(), known: map[string]*httptest.ResponseRecorder{}}, log: &journal{}, lost: map[string]map[int32]int64{}}
	var err error
	w.bus, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.net.Listen), kfake.BrokerConfigs(map[string]string{
		"log.cleaner.backoff.ms": "86400000000", "log.retention.ms": "-1",
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bus.Close)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("what happened:\n" + w.log.String())
		}
	})
	w.env = []string{"HARVEST_API_KEY=test-token", "HARVEST_ACCOUNT_ID=482913", "HARVEST_CONTACT=https://example.com", "KAFKA_BROKERS=localhost:9092",
		"SCHEMA_REGISTRY_URL=http://registry", "KAFKA_COMPRESSION=none", "ADMIN_ADDR=", "HARVEST_ANCHOR_DATE=all"}
	return w
}

// handler serves a http.Handler without sockets. Of a registry, that answers the same for ever, it remembers the answers: every start of
// a producer registers everything again.
type handler struct {
	http.Handler
	mu    sync.Mutex
	known map[string]*httptest.ResponseRecorder
}

func (h *handler) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := r.Method + " " + r.URL.String() + " "
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		asked += string(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	rec := h.known[asked]
	if rec == nil {
		rec = httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code == http.StatusOK {
			h.known[asked] = rec
		}
	}
	answer := rec.Result()
	answer.Body = io.NopCloser(bytes.NewReader(rec.Body.Bytes()))
	return answer, nil
}

// config is the configuration of this world, with more variables on top.
func (w *world) config(more ...string) producer.Config {
	w.t.Helper()
	cfg, err := ops.Load[producer.Config](append(w.env, more...), "")
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Kafka.Dial, cfg.Kafka.RegistryTransport = w.net.DialContext, w.registry
	return cfg
}

func (w *world) producer(more ...string) *producer.Producer {
	w.t.Helper()
	p, err := producer.New(w.config(more...), producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger()})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// say notes what happens, for the one who reads a failed test.
func (w *world) say(format string, args ...any) {
	fmt.Fprintf(w.log, "%s === %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// journal is what happened in a world; it is shown when a test fails.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// sync is one complete pass that must succeed.
func (w *world) sync(more ...string) {
	w.t.Helper()
	if err := w.producer(more...).Sync(w.t.Context()); err != nil {
		w.t.Fatalf("sync: %v", err)
	}
}

// serve runs the service for some virtual time, with what happens meanwhile, and stops it cleanly.
func (w *world) serve(during func(), more ...string) {
	w.t.Helper()
	p := w.producer(more...)
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	during()
	stop()
	if err := <-done; err != nil {
		w.t.Errorf("run: %v", err)
	}
}

func pass(d time.Duration) { time.Sleep(d) } // virtual

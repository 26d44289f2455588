package producer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// TestSimulation is the real producer against the simulated account and an in-process broker in virtual time: random accounts, changes of
// every kind with the documented silences, late rows, small pages that drift, lagging replicas, throttling, broken answers, a sick broker,
// deaths at network writes, lost topics, fail-overs and zombies. When all is quiet again the topics must equal the account, and their
// history must hold every promise. A seed is one history: -run TestSimulation -seed N. Many are spread over processes (shards_test.go):
// -run TestSimulation -seeds 200; for a night -seeds 20000 -timeout 0.
func TestSimulation(t *testing.T) {
	if *seed != 0 {
		*first, *seeds = *seed, 1
	}
	if *seeds > perProcess {
		spread(t)
		return
	}
	sum := tally{Faults: map[string]int{}}
	for n := *first; n < *first+uint64(*seeds); n++ {
		t.Run(fmt.Sprint("seed=", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, n, &sum) })
		})
		if t.Failed() {
			t.Fatalf("replay with: go test ./internal/producer -run TestSimulation -seed %d", n)
		}
	}
	sum.print()
}

// history is one simulated run.
type history struct {
	*world
	rng    *rand.Rand
	oddRng *rand.Rand // its own, so that histories are what they were
	jitter func() float64
	page   int
	sum    *tally

	anchor time.Time // where the mirror begins; zero: everything is in it (P10)
	lags   []span    // when answers may have been of the past
	rivals bool      // two producers were at work at a time: together they may be refused
}

type span struct{ from, to time.Time }

func simulate(t *testing.T, n uint64, sum *tally) {
	rng := rand.New(rand.NewPCG(n, 7))
	o := harvesttest.Options{
		Seed: n, Limit: 100, Sizes: harvesttest.Sizes{Users: 2 + rng.IntN(4), Clients: 2 + rng.IntN(4), Projects: 3 + rng.IntN(6), Tasks: 2 + rng.IntN(3),
			Invoices: 5 + rng.IntN(20), Estimates: 2 + rng.IntN(6), Expenses: 10 + rng.IntN(20), TimeEntries: 50 + rng.IntN(200)},
		Numbers: harvesttest.Numbers(rng.IntN(3)), After: rng.IntN(2) == 0, Silent: harvesttest.Silent(rng.Uint32()), Throttle: harvesttest.Throttle(rng.IntN(5)),
		FixedWindow: rng.IntN(2) == 0, Hidden: []int{404, 403}[rng.IntN(2)], LinkAlias: rng.IntN(2) == 0, OffAnswer: harvesttest.Off(rng.IntN(3)),
		Latency: latency(n),
	}
	began := time.Now()
	w := newWorld(t, o)
	w.env = append(w.env, "HARVEST_SWEEP_INTERVAL=20m", "HARVEST_CHILDREN_INTERVAL=20m", "HARVEST_LOOKBACK=1m", "HARVEST_TIMER_RESOLUTION=5m")
	if rng.IntN(3) == 0 {
		w.env = append(w.env, "KAFKA_PARTITIONS=3")
	}
	h := &history{world: w, rng: rng, oddRng: rand.New(rand.NewPCG(n, 10)), jitter: uniform(n, 9), page: 5 + rng.IntN(60), sum: sum}
	strange := rng.IntN(2) == 0
	if strange {
		h.strangers()
	}
	if rng.IntN(3) == 0 {
		h.anchorAt(began.AddDate(0, 0, -rng.IntN(200)))
	}
	for range 3 + rng.IntN(4) {
		h.episode(strange)
		if rng.IntN(10) == 0 {
			h.loseTopic()
		}
		if !h.anchor.IsZero() && rng.IntN(4) == 0 {
			h.anchorAt(h.anchor.AddDate(0, 0, -rng.IntN(60)))
		}
	}
	h.calm()
	h.verify()
	sum.add(h, time.Since(began))
}

// uniform is a source of numbers in [0,1) that many may ask.
func uniform(seed, stream uint64) func() float64 {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, stream))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return rng.Float64()
	}
}

// latency draws each request's time from a source of its own.
func latency(n uint64) harvesttest.Latency {
	draw := uniform(n, 8)
	return func(*http.Request) (there, back time.Duration) {
		return time.Duration(draw()*300) * time.Millisecond, time.Duration(draw()*300) * time.Millisecond
	}
}

// strangers lets every incarnation find itself on another host, so that two producers of this process can live side by side: none takes
// the other for its own dead self (P1).
func (h *history) strangers() {
	var mu sync.Mutex
	n := 0
	producer.SetHosts(func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprint("host-", n)
	})
	h.t.Cleanup(func() { producer.SetHost("") })
}

// anchorAt configures where the mirror begins, from the next life on; it only ever moves back.
func (h *history) anchorAt(at time.Time) {
	h.anchor = at.Truncate(24 * time.Hour)
	h.env = append(h.env, "HARVEST_ANCHOR_DATE="+h.anchor.Format(time.DateOnly))
	h.say("anchor %s", h.anchor.Format(time.DateOnly))
}

// loseTopic deletes a topic while nobody writes: the next life finds it made again, and fills it (P15).
func (h *history) loseTopic() {
	all := schema.All()
	st := all[h.rng.IntN(len(all))]
	topic := h.config().Kafka.Topic(st.Name)
	if h.bus.TopicInfo(topic) == nil {
		return
	}
	last := maps.Clone(h.lost[st.Name])
	if last == nil {
		last = map[int32]int64{}
	}
	records := h.topic(st.Name)
	h.latestOf(st, records)
	for _, p := range records {
		last[p.part] = p.seq
	}
	h.lost[st.Name] = last
	if err := h.bus.DeleteTopic(topic); err != nil {
		h.t.Fatal(err)
	}
	h.say("lost topic %s", topic)
	h.sum.Faults["topic lost"]++
}

// life is one producer from its start to its end.
type life struct {
	*producer.Producer
	net   *cut
	asked *departures
	stop  context.CancelFunc
	done  chan error
}

// begin starts a producer on a network of its own that can be torn.
func (h *history) begin(command string, takeOver bool) *life {
	h.t.Helper()
	l := &life{net: &cut{dial: h.net.DialContext, writes: -1}, asked: &departures{next: h.sim.RoundTripper()}, done: make(chan error, 1)}
	cfg := h.config()
	cfg.Kafka.Dial = l.net.Dial
	var err error
	l.Producer, err = producer.New(cfg, producer.Deps{Version: "test", Transport: l.asked, Log: h.logger(), PageSize: h.page, Jitter: h.jitter})
	if err != nil {
		h.t.Fatal(err)
	}
	l.TakeOver = takeOver
	var ctx context.Context
	ctx, l.stop = context.WithCancel(h.t.Context())
	go func() {
		if command == "sync" {
			l.done <- l.Sync(ctx)
		} else {
			l.done <- l.Run(ctx)
		}
	}()
	h.say("begin %s, take over %v", command, takeOver)
	h.sum.Lives++
	return l
}

// end stops a life, if it did not end by itself, and judges what it ended with and how it kept its budget.
func (h *history) end(l *life) error {
	h.t.Helper()
	l.stop()
	return h.await(l)
}

// await is end for those that end by themselves.
func (h *history) await(l *life) error {
	h.t.Helper()
	var err error
	select {
	case err = <-l.done:
	case <-time.After(3 * time.Hour):
		h.t.Fatal("HANG: a producer did not end")
	}
	l.stop()
	if n := l.asked.worst(15 * time.Second); n > 90 {
		h.t.Errorf("RATE: one producer sent %d requests within 15 s, by its own clock", n)
	}
	return err
}

// ended judges an error of `producer run` or, more lenient, of `producer sync` amidst faults.
func (h *history) ended(err error, service, rival bool) {
	h.t.Helper()
	code := ops.ExitCode(err)
	switch {
	case err == nil, errors.Is(err, context.Canceled), code == ops.ExitUnavailable:
	case code == ops.ExitInternal && rival:
		h.sum.Fenced++
	case !service && (code == ops.ExitData || code == ops.ExitPermission):
	default:
		h.t.Errorf("ENDED: a producer ended with exit code %d: %v", code, err)
	}
}

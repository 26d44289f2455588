package producer_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// cpu is the processor time this process has used: in a bubble the clock on the wall stands still, this one goes on.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// entries is an account of time entries and little else.
func entries(n int) harvesttest.Options {
	return harvesttest.Options{Seed: 5, NoVersions: true, NoRequests: true, CacheBytes: 4 << 30,
		Sizes: harvesttest.Sizes{Users: 20, Clients: 10, Projects: 30, Tasks: 8, Invoices: -1, Estimates: -1, Expenses: -1, TimeEntries: n}}
}

// inBubble runs a benchmark's one measurement in virtual time.
func inBubble(b *testing.B, o harvesttest.Options, measure func(w *world)) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		var failed bool
		ok := testing.RunTests(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: b.Name(), F: func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { measure(newWorld(t, o)); failed = t.Failed() })
		}}})
		if !ok || failed {
			b.Fatal("the run inside failed")
		}
	}
}

// pages fetches every page of a list straight from the simulator, which also fills its cache.
func (w *world) pages(stream string) [][]byte {
	w.t.Helper()
	var bodies [][]byte
	for page := 1; ; page++ {
		r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "https://api.harvestapp.com/v2/"+stream+"?per_page=2000&page="+strconv.Itoa(page), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer test-token")
		r.Header.Set("Harvest-Account-Id", strconv.Itoa(accountID))
		r.Header.Set("User-Agent", "bench (https://example.com)")
		res, err := w.sim.RoundTripper().RoundTrip(r)
		if err != nil {
			w.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			w.t.Fatalf("%d %v", res.StatusCode, err)
		}
		bodies = append(bodies, body)
		if bytes.Contains(body, []byte(`"next":null`)) {
			return bodies
		}
	}
}

// tokenise is the time merely reading the tokens of these pages takes: the yardstick.
func (w *world) tokenise(bodies [][]byte) time.Duration {
	began := cpu()
	for _, body := range bodies {
		dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		for {
			if _, err := dec.ReadToken(); err != nil {
				if !errors.Is(err, io.EOF) {
					w.t.Fatal(err)
				}
				break
			}
		}
	}
	return cpu() - began
}

const benchEntries = 200_000

// fast takes the account's limit away.
var fast = []string{"HARVEST_STREAMS=time_entries", "HARVEST_RATE_LIMIT=30000", "HARVEST_CONCURRENCY=4", "HARVEST_DELETES=off"}

// BenchmarkBackfill is page → diff → Avro → broker without the limit, the broker's work included, against tokenising the same JSON.
func BenchmarkBackfill(b *testing.B) {
	inBubble(b, entries(benchEntries), func(w *world) {
		bodies := w.pages("time_entries")
		yard := w.tokenise(bodies)
		began := cpu()
		w.sync(fast...)
		took := cpu() - began
		b.ReportMetric(benchEntries/took.Seconds(), "records/s-core")
		b.ReportMetric(yard.Seconds()/took.Seconds(), "×tokenising")
	})
}

// BenchmarkSweepUnchanged re-reads what has not changed: nothing is published.
func BenchmarkSweepUnchanged(b *testing.B) {
	inBubble(b, entries(benchEntries), func(w *world) {
		w.sync(fast...)
		p := w.producer(fast...)
		bodies := w.pages("time_entries")
		yard := w.tokenise(bodies)
		rebuild := cpu()
		if err := w.producer(append(fast, "HARVEST_STREAMS=time_entries")...).Sync(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		rebuilt := cpu() - rebuild
		began := cpu()
		if err := p.Sweep(w.t.Context(), []string{"time_entries"}, -1, false); err != nil {
			w.t.Fatal(err)
		}
		took := cpu() - began - rebuilt // what start and index took, measured just before
		b.ReportMetric(benchEntries/rebuilt.Seconds(), "index-records/s-core")
		b.ReportMetric(benchEntries/took.Seconds(), "records/s-core")
		b.ReportMetric(yard.Seconds()/took.Seconds(), "×tokenising")
	})
}

// BenchmarkBudget is a first read under the real limit in virtual time: how much of 100 pages of 2,000 rows per 15 s it uses.
func BenchmarkBudget(b *testing.B) {
	for _, latency := range []time.Duration{200 * time.Millisecond, time.Second} {
		b.Run(latency.String(), func(b *testing.B) {
			o := entries(400_000)
			o.Limit = 100
			o.Latency = func(*http.Request) (there, back time.Duration) { return latency / 2, latency / 2 }
			inBubble(b, o, func(w *world) {
				began := time.Now()
				p, err := producer.New(w.config("HARVEST_STREAMS=time_entries", "HARVEST_RATE_LIMIT=100"), producer.Deps{Version: "bench", Transport: w.sim.RoundTripper(), Log: w.logger()})
				if err != nil {
					w.t.Fatal(err)
				}
				if err := p.Sync(w.t.Context()); err != nil {
					w.t.Fatal(err)
				}
				rows := float64(w.sim.Count("time_entries"))
				b.ReportMetric(rows/time.Since(began).Seconds()/(100*2000/15.0)*100, "%ofbudget")
				if strings.Contains(w.log.String(), "429") {
					w.t.Error("throttled")
				}
			})
		})
	}
}

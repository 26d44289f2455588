package producer_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

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

// BenchmarkRequestsADay counts the requests of a virtual day of a service at the default intervals, and what reading every parent's
// lists of children at each pass would take for the same freshness. Meanwhile the account changes twice a minute.
func BenchmarkRequestsADay(b *testing.B) {
	const (
		invoices, estimates, users = 10_000, 1_000, 200
		day, everyPass             = 24 * time.Hour, 15 * time.Second
	)
	o := harvesttest.Options{Seed: 5, Limit: 100, Sizes: harvesttest.Sizes{Users: users, Clients: 40, Projects: 40, Tasks: 8, Invoices: invoices, Estimates: estimates, Expenses: 50, TimeEntries: 500}}
	inBubble(b, o, func(w *world) {
		w.sync()
		rng := rand.New(rand.NewPCG(1, 2))
		w.serve(func() {
			pass(2 * time.Hour) // so that the day holds the next rotating pass, a day after the first round
			w.sim.ResetRequests()
			for range day / (30 * time.Second) {
				w.sim.Live(rng)
				pass(30 * time.Second)
			}
		})
		all, children := 0, 0
		for _, r := range w.sim.Requests() {
			all++
			for _, list := range []string{"/messages", "/payments", "/billable_rates", "/cost_rates"} {
				if strings.HasSuffix(r.Path, list) {
					children++
				}
			}
		}
		naive := float64(2*invoices+estimates+2*users) * float64(day/everyPass)
		b.ReportMetric(float64(all), "requests")
		b.ReportMetric(float64(children), "of-them-for-children")
		b.ReportMetric(naive/float64(all), "times-fewer")
	})
}

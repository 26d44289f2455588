package harvesttest_test

import (
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

func request(b *testing.B, path string) *http.Request {
	r, err := http.NewRequest("GET", base+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer test-token")
	r.Header.Set("Harvest-Account-Id", "482913")
	r.Header.Set("User-Agent", "tests (tests@example.com)")
	return r
}

// serve asks for a page b.N times and reports rows a second.
func serve(b *testing.B, s *harvesttest.Sim, path string, rows int) {
	b.Helper()
	transport, r := s.RoundTripper(), request(b, path)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := transport.RoundTrip(r)
		if err != nil || resp.StatusCode != 200 {
			b.Fatal(resp, err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkPage(b *testing.B) {
	for name, cache := range map[string]int{"cached": 64 << 20, "rendered": -1} {
		b.Run(name, func(b *testing.B) {
			s := harvesttest.New(harvesttest.Options{CacheBytes: cache, NoRequests: true})
			serve(b, s, "time_entries?page=3", 2000)
		})
	}
}

// What P12 asks of an account of a million entries.
func BenchmarkProbe(b *testing.B) {
	s := harvesttest.New(harvesttest.Options{Sizes: harvesttest.Sizes{TimeEntries: 1_000_000}, NoRequests: true, CacheBytes: -1})
	anchor := time.Now().AddDate(-1, 0, 0).UTC().Format(time.RFC3339)
	half := time.Now().AddDate(0, -5, 0).UTC()
	for name, path := range map[string]string{
		"total":    "time_entries?per_page=1",
		"anchor":   "time_entries?per_page=1&updated_since=" + anchor,
		"window":   "time_entries?per_page=1&from=" + half.Format(time.DateOnly) + "&updated_since=" + anchor,
		"poll":     "time_entries?updated_since=" + time.Now().UTC().Format(time.RFC3339),
		"running":  "time_entries?is_running=true",
		"mid-past": "time_entries?per_page=1&updated_since=" + half.Format(time.RFC3339),
	} {
		b.Run(name, func(b *testing.B) { serve(b, s, path, 1) })
	}
}

func BenchmarkSeed(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 1_000_000
	var s *harvesttest.Sim
	for b.Loop() {
		s = harvesttest.New(harvesttest.Options{Sizes: harvesttest.Sizes{TimeEntries: n}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/entry")
	runtime.KeepAlive(s)
}

func BenchmarkStep(b *testing.B) {
	for name, size := range map[string]int{"20k": 20_000, "1M": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			s, rng := harvesttest.New(harvesttest.Options{Sizes: harvesttest.Sizes{TimeEntries: size}}), newRand(1)
			for b.Loop() {
				s.Live(rng)
			}
		})
	}
}

package harvest_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/pkg/harvest"
)

// worst is the highest number of times within any window, its ends included.
func worst(times []time.Time, window time.Duration) int {
	slices.SortFunc(times, time.Time.Compare)
	most, from := 0, 0
	for to := range times {
		for times[to].Sub(times[from]) > window {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// TestBudget counts at the server: whatever many callers want, and whatever is tried again, no window of 15 s has more
// than the limit (P9), and the limit is used.
func TestBudget(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			limit := []int{2, 3, 7, 20, 90, 100}[rnd.IntN(6)]
			faults := rnd.IntN(3)
			var mu sync.Mutex
			var times []time.Time
			dice := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rnd.IntN(n)
			}
			c := setup(t, handler(func(w http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				times = append(times, time.Now())
				mu.Unlock()
				time.Sleep(time.Duration(dice(3000)) * time.Millisecond)
				switch {
				case faults > 0 && dice(10) == 0:
					w.WriteHeader(503)
				case faults > 1 && dice(30) == 0:
					w.Header().Set("Retry-After", strconv.Itoa(dice(20)))
					w.WriteHeader(429)
				default:
					_, _ = io.WriteString(w, page)
				}
			}), func(c *harvest.Config) { c.Limit = limit })
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			var group sync.WaitGroup
			for range 1 + dice(30) {
				group.Go(func() {
					for ctx.Err() == nil {
						_, _ = c.users(ctx)
						if dice(20) == 0 {
							time.Sleep(time.Duration(dice(60)) * time.Second)
						}
					}
				})
			}
			group.Wait()
			if got := worst(times, 15*time.Second); got > limit {
				t.Errorf("seed %d: %d requests in 15 s, limit %d", seed, got, limit)
			}
		})
	}
}

func TestBudgetIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := setup(t, always(200, page))
		began := time.Now()
		for range 982 {
			if _, err := c.users(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began).Round(time.Second); took != 150*time.Second {
			t.Errorf("982 requests took %v, want 2 at once and 98 each 15 s", took)
		}
	})
}

// TestPause: a 429 in each recorded form stops every caller for as long as it says, and no longer.
func TestPause(t *testing.T) {
	for want, say := range map[time.Duration]func(w http.ResponseWriter){
		7 * time.Second:   func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) },
		15 * time.Second:  func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html"); w.WriteHeader(429) },
		20 * time.Second:  func(w http.ResponseWriter) { w.WriteHeader(429); _, _ = io.WriteString(w, throttled) },
		900 * time.Second: func(w http.ResponseWriter) { w.Header().Set("Retry-After", "1000000000"); w.WriteHeader(429) },
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var times []time.Time
			c := setup(t, handler(func(w http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if times = append(times, time.Now()); len(times) == 2 {
					say(w)
					return
				}
				_, _ = io.WriteString(w, page)
			}))
			began := time.Now()
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					for range 3 {
						if _, err := c.users(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
			if len(times) != 25 || times[2].Sub(began) != want {
				t.Errorf("%d requests, the third after %v; want %v", len(times), times[2].Sub(began), want)
			}
		})
	}
}

const throttled = `{"message":"This request has been throttled.","retry_after":20}`

// TestSlowDown: each pause halves the rate, minutes give it back; 429s of one moment are one.
func TestSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := harvest.NewLimiter(100, 15*time.Second)
		rate := func() int {
			began := time.Now()
			for range 64 {
				if err := l.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return int(64/time.Since(began).Seconds()*10 + 0.5)
		}
		for range 4 {
			_ = l.Wait(t.Context())
		}
		if got := rate(); got != 65 {
			t.Errorf("at first %d requests in 10 s", got)
		}
		for range 8 {
			l.Pause(time.Now(), time.Second)
		}
		if d := l.Ready(time.Now()); d != time.Second {
			t.Errorf("ready in %v", d)
		}
		time.Sleep(time.Second)
		if got := rate(); got < 32 || got > 36 {
			t.Errorf("after a pause %d requests in 10 s", got)
		}
		time.Sleep(10 * time.Minute)
		for range 4 {
			_ = l.Wait(t.Context())
		}
		if got := rate(); got != 65 {
			t.Errorf("ten minutes later %d requests in 10 s", got)
		}
	})
}

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := setup(t, hanging{}, func(c *harvest.Config) { c.Limit = 32 }) // 2 and 2 a second
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 6 {
			want := time.Duration(max(0, i-1)) * 500 * time.Millisecond
			if d := c.Ready(); d < want || d > want+time.Microsecond {
				t.Errorf("with %d under way: ready in %v, want %v", i, d, want)
			}
			go func() { _, _ = c.users(ctx) }()
			synctest.Wait()
		}
		cancel()
	})
}

// TestReserve: places are granted one by one, though none who has one has come yet, and each is given up by its request.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := setup(t, always(200, page), func(c *harvest.Config) { c.Limit = 32 }) // 2 and 2 a second
		if a, b, d := c.Reserve(), c.Reserve(), c.Reserve(); a != 0 || b != 0 || d.Round(time.Millisecond) != 500*time.Millisecond {
			t.Errorf("of three places the first is there in %v, the second in %v, the third in %v", a, b, d)
		}
		for _, path := range []string{"users", ""} { // the second is refused before it is sent
			_ = c.Do(t.Context(), harvest.Request{Path: path, Link: map[bool]string{true: "http://127.0.0.2/v2/users"}[path == ""], Reserved: true}, ignore)
		}
		if d := c.Ready(); d != 0 {
			t.Errorf("one of two was sent: ready in %v", d)
		}
		time.Sleep(time.Minute)
		if a, b, d := c.Reserve(), c.Reserve(), c.Reserve(); a != 0 || b != 0 || d == 0 {
			t.Errorf("a minute later places are there in %v, %v, %v", a, b, d)
		}
	})
}

func TestReportsHaveTheirOwnBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := setup(t, always(200, `{}`))
		began := time.Now()
		for range 100 {
			if err := c.Do(t.Context(), harvest.Request{Path: "reports/time/team"}, ignore); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 14*time.Minute {
			t.Errorf("100 reports took %v", took)
		}
		if c.Ready() != 0 {
			t.Error("reports count for the rest")
		}
	})
}

func ignore(*harvest.Response) error { return nil }

// TestReplayedRequestsArePaid: net/http sends a request again when a kept connection breaks under it; that costs too.
func TestReplayedRequestsArePaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connections := 0
		c := setup(t, wire(t, func(conn net.Conn) {
			connections++
			first := connections == 1
			for range 2 {
				if readRequest(conn) != nil {
					return
				}
				_, _ = io.WriteString(conn, answer(length(page), page))
				if first {
					_ = readRequest(conn) // and no answer
					return
				}
			}
		}), func(c *harvest.Config) { c.Limit = 34 })
		for range 2 {
			if _, err := c.users(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		const token = 15 * time.Second / 32 // of 34 a window, two at once
		if d := c.Ready(); connections != 2 || d.Round(time.Millisecond) != (2*token).Round(time.Millisecond) {
			t.Errorf("%d connections, ready in %v: two calls and a replay cost three tokens, of which two were there", connections, d)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		header []string
		body   string
		want   time.Duration
	}{
		{header: []string{"7"}, want: 7 * time.Second},
		{header: []string{" 7 "}, want: 7 * time.Second},
		{header: []string{"0"}, want: time.Second},
		{header: []string{"7"}, body: throttled, want: 7 * time.Second},
		{header: []string{at(30 * time.Second)}, want: 30 * time.Second},
		{header: []string{at(-time.Hour)}, want: time.Second},
		{header: []string{at(time.Hour)}, want: 15 * time.Minute},
		{header: []string{"1000000000"}, want: 15 * time.Minute},
		{header: []string{strings.Repeat("9", 400)}, want: 15 * time.Minute},
		{header: []string{"-1"}}, {header: []string{"abc"}}, {header: []string{"1.5"}}, {header: []string{""}}, {header: []string{"0x10"}},
		{header: []string{"-1", "9"}, want: 9 * time.Second},
		{header: []string{"-1"}, body: throttled, want: 20 * time.Second},
		{body: throttled, want: 20 * time.Second},
		{body: `{"retry_after":1.5}`, want: 1500 * time.Millisecond},
		{body: `{"retry_after":1e300}`, want: 15 * time.Minute},
		{body: `{"retry_after":-5}`}, {body: `{"retry_after":"soon"}`}, {body: `[]`}, {body: ``}, {body: `<html>`},
	} {
		if got := harvest.RetryAfter(http.Header{"Retry-After": c.header}, []byte(c.body), now); got != c.want {
			t.Errorf("%q %q: got %v, want %v", c.header, c.body, got, c.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "")
	f.Add("-1", throttled)
	f.Add("Sun, 01 Mar 2026 12:00:30 GMT", `{"retry_after":1e999}`)
	f.Fuzz(func(t *testing.T, header, body string) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		got := harvest.RetryAfter(http.Header{"Retry-After": {header}}, []byte(body), now)
		if got != 0 && (got < time.Second || got > 15*time.Minute) {
			t.Errorf("%q %q: %v", header, body, got)
		}
	})
}

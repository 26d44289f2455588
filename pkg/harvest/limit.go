package harvest

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Answers to a 429: half the rate, and a twentieth of the full rate back each minute. Never below a sixteenth.
const (
	slowDown = 0.5
	speedUp  = 0.05 // per minute
	slowest  = 1.0 / 16
)

// limiter holds requests to a number per window: burst + rate × window = limit, so no window of that length has more,
// wherever it begins (P9). Requests pass in the order they came. A token is taken at the moment of passing, never
// reserved ahead: those who wait through a pause do not all leave at its end.
type limiter struct {
	turn chan struct{} // held by whoever is next

	mu      sync.Mutex
	bucket  *rate.Limiter
	full    rate.Limit
	share   float64   // of full, less than 1 for a while after a 429
	shared  time.Time // when share was computed
	until   time.Time // no request before
	waiting int       // requests that have come, or are sure to, and not passed
}

func newLimiter(limit int, window time.Duration) *limiter {
	burst := min(2, max(1, limit/4))
	full := rate.Limit(float64(limit-burst) / window.Seconds())
	return &limiter{turn: make(chan struct{}, 1), bucket: rate.NewLimiter(full, burst), full: full, share: 1}
}

// wait returns nil when a request may be sent, or the context's error. One that reserved is among those waiting already.
func (l *limiter) wait(ctx context.Context, reserved bool) error {
	if !reserved {
		l.queue(1)
	}
	defer l.queue(-1)
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.turn }()
	for {
		d := l.take(time.Now())
		if d <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

func (l *limiter) queue(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
}

// take takes a token, or says how long to wait before trying again.
func (l *limiter) take(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.until.Sub(now); d > 0 {
		return d
	}
	l.recover(now)
	token := l.bucket.ReserveN(now, 1)
	d := token.DelayFrom(now)
	if d > 0 {
		token.CancelAt(now)
	}
	return d
}

// charge takes a token for a request that has been sent without asking.
func (l *limiter) charge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.ReserveN(time.Now(), 1)
}

// pause lets no request through for d, and fewer afterwards. The 429s of requests that were under way together are
// one: within a pause the rate is not cut again.
func (l *limiter) pause(now time.Time, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recover(now)
	if !now.Before(l.until) {
		l.share = max(l.share*slowDown, slowest)
		l.bucket.SetLimitAt(now, l.full*rate.Limit(l.share))
	}
	if until := now.Add(d); until.After(l.until) {
		l.until = until
	}
}

// recover gives back what a pause took, by the time gone. The caller holds mu.
func (l *limiter) recover(now time.Time) {
	if l.share < 1 {
		l.share = min(1, l.share+speedUp*now.Sub(l.shared).Minutes())
		l.bucket.SetLimitAt(now, l.full*rate.Limit(l.share))
	}
	l.shared = now
}

// reserve counts a request that is about to come among those waiting, if it may pass at once; else it says how long that takes.
func (l *limiter) reserve(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.ready(now)
	if d == 0 {
		l.waiting++
	}
	return d
}

// ready is the time until one more request than those waiting may pass. The caller holds mu.
func (l *limiter) ready(now time.Time) time.Duration {
	if d := l.until.Sub(now); d > 0 {
		return d
	}
	l.recover(now)
	missing := float64(l.waiting+1) - l.bucket.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing/float64(l.bucket.Limit())*float64(time.Second)) + 1
}

package harvest

import (
	"context"
	"time"
)

// For the external tests.
var (
	RetryAfter  = retryAfter
	NewLimiter  = newLimiter
	NewClock    = newClock
	ParseOrigin = parseOrigin
)

func (o *origin) Link(text string) error {
	_, err := o.link(text)
	return err
}

func (o *origin) Holds(text string) bool {
	u, err := o.link(text)
	return err == nil && u.Scheme == o.base.Scheme && u.Hostname() == o.base.Hostname() && u.User == nil
}

const (
	MaxTries   = maxTries
	MaxDecoded = maxDecoded
	MaxHeader  = maxHeader
)

func (l *limiter) Wait(ctx context.Context) error                         { return l.wait(ctx, false) }
func (l *limiter) Pause(now time.Time, d time.Duration)                   { l.pause(now, d) }
func (c *clock) Read(date string, began time.Time) (floor, now time.Time) { return c.read(date, began) }

func (c *Client) Ready() time.Duration { return c.general.Ready(time.Now()) }

func (l *limiter) Ready(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready(now)
}

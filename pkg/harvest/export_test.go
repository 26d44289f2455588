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

func (l *limiter) Wait(ctx context.Context) error                         { return l.wait(ctx) }
func (l *limiter) Pause(now time.Time, d time.Duration)                   { l.pause(now, d) }
func (l *limiter) Ready(now time.Time) time.Duration                      { return l.ready(now) }
func (c *clock) Read(date string, began time.Time) (floor, now time.Time) { return c.read(date, began) }

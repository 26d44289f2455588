package harvest

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	dateStep   = time.Second    // Date says whole seconds
	wildDate   = 48 * time.Hour // a Date further off than this from the local clock is not believed
	blindGuess = time.Hour      // how far the local clock may be ahead where no answer ever had a Date
	dateMemory = time.Hour      // how long the earliest clock of the server's is remembered, up to twice that
	dateSpread = time.Minute    // between two of the server's clocks: worth a warning
)

// clock tells the server's time (P4). Each Date, less the monotonic time since the clock was made, is a guess at the
// server's time then. The earliest guess of the last hour or two is a lower bound for all machines behind the name,
// does not care for steps of the local clock, and stands in where a Date is missing or absurd. A Date ahead of the local
// clock proves nothing: one of the two is wrong, and a bound that is too low costs requests, one that is too high changes.
type clock struct {
	log   *slog.Logger
	start time.Time // local, with its monotonic reading

	mu       sync.Mutex
	earliest [2]time.Time // of this period and the one before; zero: none
	period   time.Duration
	warned   map[string]bool
}

func newClock(log *slog.Logger) *clock {
	return &clock{log: log, start: time.Now(), warned: map[string]bool{}}
}

// read returns, for an answer that came just now, a lower bound of the server's clock when it was computed, and the
// server's clock when it was sent.
func (c *clock) read(date string, began time.Time) (floor, now time.Time) {
	local := time.Now()
	elapsed, took := local.Sub(c.start), local.Sub(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; elapsed-c.period > dateMemory; c.period += dateMemory {
		c.earliest = [2]time.Time{{}, c.earliest[0]}
	}
	now, err := http.ParseTime(date)
	usable := err == nil && now.Sub(local).Abs() < wildDate
	switch known := c.known(); {
	case usable:
		c.learn(now.Add(-elapsed), known)
	case !known.IsZero():
		now = known.Add(elapsed)
	case err == nil && now.Before(local):
	default:
		now = local.Add(-blindGuess)
	}
	if !usable {
		c.warn("the server's Date is missing or more than two days off the local clock")
	}
	floor = now
	if known := c.known(); !known.IsZero() && known.Add(elapsed).Before(floor) {
		floor = known.Add(elapsed)
	}
	if local.Before(floor) {
		if ahead := floor.Sub(local); ahead > dateSpread {
			c.warn("the server's clock is ahead of this machine's: changes are asked for again from as far back", "by", ahead)
		}
		floor = local
	}
	return floor.Add(-took - dateStep).UTC(), now.UTC()
}

// learn notes a guess.
func (c *clock) learn(guess, known time.Time) {
	if !known.IsZero() && guess.Sub(known) > dateSpread {
		c.warn("the server's clocks disagree", "by", guess.Sub(known))
	}
	if c.earliest[0].IsZero() || guess.Before(c.earliest[0]) {
		c.earliest[0] = guess
	}
}

// known is the earliest guess remembered, zero for none.
func (c *clock) known() time.Time {
	if c.earliest[0].IsZero() || !c.earliest[1].IsZero() && c.earliest[1].Before(c.earliest[0]) {
		return c.earliest[1]
	}
	return c.earliest[0]
}

// warn says each thing once.
func (c *clock) warn(message string, args ...any) {
	if !c.warned[message] {
		c.warned[message] = true
		c.log.Warn(message, args...)
	}
}

package harvest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	maxTries     = 5
	firstBackoff = 2 * time.Second // the first wait is up to this, the next up to twice as much, and so on
	maxBackoff   = 30 * time.Second

	defaultPause = 15 * time.Second // after a 429 that says nothing: Harvest's own window
	maxPause     = 15 * time.Minute // whatever it says
)

// again tells whether a failed attempt is worth another, why, and after which wait (full jitter). After a 429 it is the
// limiter that waits, for everyone.
func (c *Client) again(err error, try int) (reason string, wait time.Duration) {
	var answer *Error
	var body *BodyError
	var network *networkError
	switch {
	case err == nil || try >= maxTries:
		return "", 0
	case errors.As(err, &answer) && answer.Status == http.StatusTooManyRequests:
		return "429", 0
	case errors.As(err, &answer) && answer.temporary():
		reason = "5xx"
	case errors.As(err, &answer) && answer.Status/100 == 2: // a part, or nothing: not what was asked for (P11)
		reason = "body"
	case errors.As(err, &body):
		reason = "body"
	case errors.As(err, &network):
		reason = "network"
	default:
		return "", 0
	}
	most := min(firstBackoff<<(try-1), maxBackoff)
	wait = time.Duration(c.jitter() * float64(most))
	if answer != nil {
		wait = max(wait, min(answer.RetryAfter, maxBackoff))
	}
	return reason, wait
}

// retryAfter reads the wait an answer asks for: the header, in seconds or as an instant by the server's clock now, else
// the body's retry_after; 0 where neither makes sense. Only whole seconds are documented. It is at least a second and
// at most maxPause.
func retryAfter(header http.Header, body []byte, now time.Time) time.Duration {
	for _, value := range header.Values("Retry-After") {
		if seconds, ok := digits(strings.TrimSpace(value)); ok {
			return bounded(float64(seconds))
		}
		if at, err := http.ParseTime(value); err == nil {
			return bounded(at.Sub(now).Seconds())
		}
	}
	var answer struct {
		RetryAfter float64 `json:"retry_after"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.RetryAfter <= 0 {
		return 0
	}
	return bounded(answer.RetryAfter)
}

func bounded(seconds float64) time.Duration {
	return time.Duration(min(max(seconds, 1), maxPause.Seconds()) * float64(time.Second))
}

// digits reads a number written in digits alone; above a million it stays there.
func digits(text string) (int, bool) {
	n := 0
	for _, r := range []byte(text) {
		if r < '0' || r > '9' {
			return 0, false
		}
		n = min(n*10+int(r-'0'), 1_000_000)
	}
	return n, text != ""
}

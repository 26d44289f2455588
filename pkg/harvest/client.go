package harvest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// BaseURL is Harvest's own.
const BaseURL = "https://api.harvestapp.com/v2"

// Config is what a Client needs. Token, Account, UserAgent and Limit are required.
type Config struct {
	BaseURL   string // "" is Harvest's own; plain http only to a loopback address
	Token     string // personal access token or OAuth2 access token
	Account   int64
	UserAgent string            // "harveststream/1.0 (mail or link)": Harvest refuses requests that name no one
	Limit     int               // requests per 15 s, at least 2; Harvest's own limit is 100 (P9)
	Transport http.RoundTripper // base of the chain; nil is NewTransport's
	Log       *slog.Logger      // nil discards
	Observe   func(Attempt)     // called after each attempt, for metrics; may be nil
	Jitter    func() float64    // in [0,1), spreads retries; nil is math/rand/v2's
}

// Attempt is one request that was sent, answered or not.
type Attempt struct {
	Path   string        // below the base URL, ids replaced by {id}, without the query: "invoices/{id}/messages"
	Number uint64        // see Response
	Try    int           // from 1
	Status int           // 0 where no answer came
	Took   time.Duration // from the sending to the body's end, decoding included
	Bytes  int64         // of the body as it came, compressed or not
	Retry  string        // why it will be tried again: 429, 5xx, network, body; "" where not
}

// Client reads one Harvest account. It is safe for concurrent use.
//
// A request passes, from the outermost to the innermost:
//
//   - Do: tries again what is worth it (network, 5xx, 429, refused bodies);
//   - limited: waits for the account's budget, so retries pay too (P9); stops everything after a 401 (P11);
//   - numbered: gives the attempt its number and notes when it began (P5);
//   - timed: ends attempts that take too long or stand still;
//   - authorised: checks the origin and adds Authorization, Harvest-Account-Id, User-Agent, Accept-Encoding;
//   - Config.Transport: sends. Redirects are followed nowhere.
type Client struct {
	origin  *origin
	token   string
	log     *slog.Logger
	observe func(Attempt)
	jitter  func() float64
	chain   http.RoundTripper
	general *limiter
	reports *limiter // its budget is counted apart: 100 per 15 minutes
	clock   *clock
	number  atomic.Uint64
	denied  atomic.Pointer[Error] // the 401 that stopped this client
}

// New checks the configuration and returns a client. It sends nothing.
func New(config Config) (*Client, error) {
	if config.BaseURL == "" {
		config.BaseURL = BaseURL
	}
	at, err := parseOrigin(config.BaseURL)
	if err != nil {
		return nil, err
	}
	switch {
	case config.Token == "" || strings.ContainsFunc(config.Token, unfit) || strings.Contains(config.Token, " "):
		return nil, errors.New("the token is empty or holds characters no token has")
	case config.Account <= 0:
		return nil, fmt.Errorf("account id %d is not above zero", config.Account)
	case strings.TrimSpace(config.UserAgent) == "" || strings.ContainsFunc(config.UserAgent, unfit):
		return nil, fmt.Errorf("user agent %q is empty or not plain ASCII", config.UserAgent)
	case config.Limit < 2:
		return nil, fmt.Errorf("limit of %d requests per 15 s is below 2", config.Limit)
	}
	c := &Client{
		origin: at, token: config.Token, log: config.Log, observe: config.Observe, jitter: config.Jitter,
		general: newLimiter(config.Limit, 15*time.Second),
		reports: newLimiter(100, 15*time.Minute),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.observe == nil {
		c.observe = func(Attempt) {}
	}
	if c.jitter == nil {
		c.jitter = rand.Float64
	}
	c.clock = newClock(c.log)
	if config.Transport == nil {
		config.Transport = NewTransport()
	}
	c.chain = &limited{c, &numbered{c, &timed{&authorised{config, at, config.Transport}}}}
	return c, nil
}

// unfit reports a character that header values are better without.
func unfit(r rune) bool { return r < ' ' || r > '~' }

// Request is a GET, by path and query or by a link of the server's.
type Request struct {
	Path  string // below the base URL, without slash at its ends: "time_entries/12"
	Query url.Values
	Link  string // an absolute URL an answer gave, used as it stands when its origin is the base URL's; Path then only names the list

	Reserved bool // Reserve granted it a place
}

// Response is an answer with status 200, decoded from gzip and complete.
type Response struct {
	Number uint64    // requests are numbered as they begin, from 1; this is the attempt's that answered
	Floor  time.Time // not later than the server's clock when it computed the answer (P4)
	Now    time.Time // the server's clock when it answered, in whole seconds
	Body   []byte    // valid until decode returns
}

// Do sends req and hands the answer to decode. It waits for the budget, and tries again after a pause what is worth
// it, maxTries times in all; an error of decode refuses the answer, which counts as worth it too. So decode may be
// called several times and must start afresh each time.
//
// Errors: *Error for another status than 200, *BodyError for a refused answer, one that Unavailable reports for a
// server that cannot be reached, and the context's.
func (c *Client) Do(ctx context.Context, req Request, decode func(*Response) error) error {
	target, err := c.origin.resolve(req)
	if err != nil {
		if req.Reserved {
			c.general.queue(-1)
		}
		return err
	}
	return c.get(ctx, target, c.origin.relative(target), req.Reserved, decode)
}

// get is Do for a URL that has been checked; path is what errors and metrics call it.
func (c *Client) get(ctx context.Context, target *url.URL, path string, reserved bool, decode func(*Response) error) error {
	for try := 1; ; try++ {
		a := &attempt{path: path, reserved: reserved && try == 1}
		err := c.try(ctx, target, a, decode)
		reason, wait := c.again(err, try)
		if ctx.Err() != nil {
			reason = ""
		}
		if a.number != 0 {
			c.observe(Attempt{
				Path: pattern(a.path), Number: a.number, Try: try, Status: a.status,
				Took: time.Since(a.began), Bytes: a.bytes, Retry: reason,
			})
		}
		if reason == "" {
			return err
		}
		c.log.Warn("request is tried again", "path", a.path, "try", try, "wait", wait, "reason", err)
		if err := sleep(ctx, wait); err != nil {
			return fmt.Errorf("GET %s: %w", path, err)
		}
	}
}

// attempt is what the chain and Do tell each other about one try; it travels in the request's context.
type attempt struct {
	path     string // below the base URL
	reserved bool   // it has its place in the limiter's queue already
	number   uint64 // 0: was not sent
	began    time.Time
	status   int
	bytes    int64
}

type attemptKey struct{}

// attemptOf returns the attempt a request of ours belongs to.
func attemptOf(req *http.Request) *attempt { return req.Context().Value(attemptKey{}).(*attempt) }

// try sends one attempt and decodes its answer.
func (c *Client) try(ctx context.Context, target *url.URL, a *attempt, decode func(*Response) error) error {
	req, err := http.NewRequestWithContext(context.WithValue(ctx, attemptKey{}, a), http.MethodGet, target.String(), nil)
	if err != nil {
		return fmt.Errorf("GET %s: making the request: %w", a.path, err)
	}
	resp, err := c.chain.RoundTrip(req)
	if err != nil {
		return c.unreached(ctx, a, err)
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	floor, now := c.clock.read(resp.Header.Get("Date"), a.began)
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp, a, now)
	}
	buffer := buffers.get()
	defer buffers.put(buffer)
	if err := c.readBody(resp, a, buffer); err != nil {
		return c.unread(ctx, resp, a, err)
	}
	err = decode(&Response{Number: a.number, Floor: floor, Now: now, Body: buffer.Bytes()})
	if err != nil && ctx.Err() == nil {
		return c.bodyError(resp, a, err)
	}
	return err
}

// Reserve grants a request a place if the limiter would let one more through at once, those that wait or have a place
// already counted, and returns 0; else it is the time until then. A scheduler that sends only what has a place decides
// priorities at the last moment (P9). Whoever gets one makes a request with Reserved, and not one of reports.
func (c *Client) Reserve() time.Duration { return c.general.reserve(time.Now()) }

// Follows reports whether a link leads to where this client asks: one of another base URL does not.
func (c *Client) Follows(link string) bool {
	_, err := c.origin.link(link)
	return err == nil
}

// Requests is the highest number given so far: whatever begins from now on has a larger one.
func (c *Client) Requests() uint64 { return c.number.Load() }

// sleep waits for d or for the context's end, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

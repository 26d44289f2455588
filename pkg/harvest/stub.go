package harvest

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

var errStub = errors.New("not yet")

// Config is what a Client needs.
type Config struct {
	BaseURL   string // "" is Harvest's own
	Token     string
	Account   int64
	UserAgent string
	Limit     int // requests per 15 s
	Transport http.RoundTripper
	Log       *slog.Logger
	Observe   func(Attempt)
}

// Attempt is one request that was sent, answered or not.
type Attempt struct {
	Path   string // pattern: ids replaced by {id}, no query
	Number uint64
	Try    int // from 1
	Status int // 0: no answer
	Took   time.Duration
	Bytes  int64  // of the body, as it came
	Retry  string // why it is tried again: "429", "5xx", "network", "body"; "" not
}

// Client reads one account.
type Client struct{}

// New checks the configuration and returns a client.
func New(Config) (*Client, error) { return nil, errStub }

// Request is a GET.
type Request struct {
	Path  string // below the base URL, no leading slash: "time_entries/12"
	Query url.Values
	Link  string
}

// Response is an answer with status 200.
type Response struct {
	Number uint64
	Floor  time.Time
	Now    time.Time
	Body   []byte // valid until decode returns
}

// Do sends req.
func (c *Client) Do(ctx context.Context, req Request, decode func(*Response) error) error {
	return errStub
}

// Ready is the time until the limiter would let a request through.
func (c *Client) Ready() time.Duration { return 0 }

// Requests is the last number given.
func (c *Client) Requests() uint64 { return 0 }

// Page is a list's envelope.
type Page struct {
	PerPage, TotalPages, TotalEntries int
	Page                              int    // 0 on inner pages of cursor walks
	Next                              string // links.next, "" on the last page
	Items                             int
}

// ReadPage reads one page.
func ReadPage(body []byte, list string, item func(*jsontext.Decoder) error) (Page, error) {
	return Page{}, errStub
}

// ReadObject reads one object.
func ReadObject(body []byte, item func(*jsontext.Decoder) error) error { return errStub }

// Pages follows a list.
func (c *Client) Pages(ctx context.Context, req Request, list string, item func(*Response, *jsontext.Decoder) error) iter.Seq2[Page, error] {
	return nil
}

// Error is an answer other than 200.
type Error struct {
	Status     int
	Path       string // without query
	RequestID  string
	Message    string
	RetryAfter time.Duration
}

func (e *Error) Error() string { return "" }

// BodyError is a refused answer.
type BodyError struct {
	Path        string
	ContentType string
	Bytes       int
	Err         error
}

func (e *BodyError) Error() string { return "" }

// IsUnauthorized: 401.
func IsUnauthorized(err error) bool { return false }

// IsForbidden: 403.
func IsForbidden(err error) bool { return false }

// IsNotFound: 404.
func IsNotFound(err error) bool { return false }

// Unavailable: network, 5xx, 429 after all tries.
func Unavailable(err error) bool { return false }

// Account is one account a token reaches.
type Account struct {
	ID      int64
	Name    string
	Product string // "harvest", "forecast"
}

// Accounts asks the identity host.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) { return nil, errStub }

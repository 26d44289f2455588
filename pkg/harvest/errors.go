package harvest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Error is an answer with another status than 200. No part of it holds the token or a query.
type Error struct {
	Status     int
	Path       string        // below the base URL: "invoices/12/messages"
	RequestID  string        // X-Request-Id, for Harvest's support
	Message    string        // what the body says, shortened
	RetryAfter time.Duration // of a 429 or 5xx; 0 where it names none
}

// Error says what was asked, what was answered, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s: %d %s", e.Path, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	if remedy := e.Remedy(); remedy != "" {
		fmt.Fprintf(&b, "; %s", remedy)
	}
	return b.String()
}

// Remedy says in a sentence what a person can do about it, "" where there is nothing.
func (e *Error) Remedy() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "the token is wrong, expired or revoked: make another at https://id.getharvest.com/developers"
	case e.Status == http.StatusForbidden:
		return "the token's user may not read this, or the module is switched off: " +
			"give the user the administrator's role, or leave the stream out"
	case e.Status == http.StatusNotFound:
		return "there is no such object, or the token does not reach this account: check the account id"
	case e.Status == http.StatusUnprocessableEntity || e.Status == http.StatusBadRequest:
		return "Harvest did not understand the request: most likely a fault of this program, or no User-Agent"
	case e.Status == http.StatusTooManyRequests:
		return "something else uses up the account's budget too: lower the limit"
	case e.Status/100 == 3:
		return "redirects are not followed: check the base URL, or a proxy on the way"
	case e.temporary():
		return "Harvest, or something on the way to it, is in trouble: it passes, or https://www.harveststatus.com tells"
	}
	return ""
}

// temporary reports whether the same request may succeed a little later.
func (e *Error) temporary() bool {
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout
}

// BodyError is a refused answer: status 200, but not what was asked for.
type BodyError struct {
	Path        string // below the base URL
	ContentType string
	Bytes       int64  // of the body, as far as it came
	Reason      string // what was wrong with it, and where
	err         error
}

// Error says which answer and why.
func (e *BodyError) Error() string {
	if e.ContentType == "" && e.Bytes == 0 {
		return fmt.Sprintf("GET %s: refusing to go on: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("GET %s: refusing the answer (%q, %d bytes): %s", e.Path, e.ContentType, e.Bytes, e.Reason)
}

// Unwrap returns the decoder's error; its text may quote the server.
func (e *BodyError) Unwrap() error { return e.err }

// networkError is a request without a complete answer.
type networkError struct {
	path, reason string
	err          error
}

func (e *networkError) Error() string { return fmt.Sprintf("GET %s: %s", e.path, e.reason) }
func (e *networkError) Unwrap() error { return e.err }

// IsUnauthorized reports a 401: the token is not good for anything.
func IsUnauthorized(err error) bool { return hasStatus(err, http.StatusUnauthorized) }

// IsForbidden reports a 403: this token may not read this.
func IsForbidden(err error) bool { return hasStatus(err, http.StatusForbidden) }

// IsNotFound reports a 404: no such object, or an account out of the token's reach.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// Unavailable reports that the server could not be reached, is in trouble (5xx) or has had enough (429), after all tries.
func Unavailable(err error) bool {
	var answer *Error
	var network *networkError
	return errors.As(err, &answer) && answer.temporary() || errors.As(err, &network)
}

func hasStatus(err error, status int) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.Status == status
}

const (
	maxErrorBody = 16 << 10 // bytes read of one
	maxMessage   = 200      // bytes of a text of the server's in an error
)

// refused turns an answer into an *Error. A 429 pauses everyone (P9), a 401 ends everything (P11).
func (c *Client) refused(resp *http.Response, a *attempt, now time.Time) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // whatever came of it must do
	a.bytes = int64(len(body))
	e := &Error{
		Status:     resp.StatusCode,
		Path:       a.path,
		RequestID:  c.clean(resp.Header.Get("X-Request-Id")),
		Message:    c.clean(message(resp.Header, body)),
		RetryAfter: retryAfter(resp.Header, body, now),
	}
	switch e.Status {
	case http.StatusTooManyRequests:
		pause := e.RetryAfter
		if pause == 0 {
			pause = defaultPause
		}
		c.budget(a.path).pause(time.Now(), pause)
		c.log.Warn("Harvest asks for a pause", "path", a.path, "pause", pause)
	case http.StatusUnauthorized:
		c.denied.CompareAndSwap(nil, e)
	}
	return e
}

// message is what an answer says in words: both of Harvest's forms, else the Hint header.
func message(header http.Header, body []byte) string {
	var answer struct {
		Message     string `json:"message"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &answer) // HTML, nothing: no words
	for _, text := range []string{answer.Message, answer.Description, answer.Error, header.Get("Hint")} {
		if text != "" {
			return text
		}
	}
	return ""
}

// unreached is an attempt without an answer.
func (c *Client) unreached(ctx context.Context, a *attempt, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("GET %s: %w", a.path, ctx.Err())
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &networkError{path: a.path, reason: "reaching " + c.origin.base.Host + ": " + c.clean(err.Error()), err: err}
}

// unread is an answer whose body could not be read: the network's fault, or the body's.
func (c *Client) unread(ctx context.Context, resp *http.Response, a *attempt, err error) error {
	var wrong *bodyFaultError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("GET %s: %w", a.path, ctx.Err())
	case errors.As(err, &wrong) || errors.Is(err, io.ErrUnexpectedEOF):
		return c.bodyError(resp, a, err)
	}
	return &networkError{path: a.path, reason: "reading the answer: " + c.clean(err.Error()), err: err}
}

func (c *Client) bodyError(resp *http.Response, a *attempt, err error) error {
	return &BodyError{
		Path: a.path, ContentType: c.clean(resp.Header.Get("Content-Type")), Bytes: a.bytes,
		Reason: c.clean(err.Error()), err: err,
	}
}

// clean makes a text that may come from the server fit for an error: without our token, control characters and length.
// The token goes first, so that no cut leaves a part of it.
func (c *Client) clean(text string) string {
	text = strings.ReplaceAll(text, c.token, "***")
	text = strings.ReplaceAll(text, url.QueryEscape(c.token), "***")
	if len(text) > maxMessage {
		text = text[:maxMessage] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, text)
}

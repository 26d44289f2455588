package harvesttest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// answer is what will be sent, and how badly.
type answer struct {
	status int
	header http.Header
	body   []byte // shared with the cache: never changed
	rows   int
	length int // Content-Length
	cut    bool
	drop   bool
	hang   bool
	delay  time.Duration
}

// req is a request under way.
type req struct {
	s     *Sim
	r     *http.Request
	now   time.Time
	segs  []string
	path  string // below the base URL
	query url.Values
	base  string // what links begin with
	view  *view
	link  *string // replaces links.next
	empty bool    // answer lists as if they had no rows
}

// ServeHTTP answers one request; mount it at / (it knows /v2, /api/v2 and /api/v2/accounts).
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.answer(r)
	if !wait(r.Context(), a) || a.drop {
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	maps.Copy(header, a.header)
	if a.header.Get("Date") == "" {
		header["Date"] = nil // else net/http adds its own
	}
	header.Set("Content-Length", strconv.Itoa(a.length))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that left is its own affair
	if a.cut {
		panic(http.ErrAbortHandler)
	}
}

// wait sits out an answer's delay; false when the client gave up or must.
func wait(ctx context.Context, a *answer) bool {
	if a.hang {
		<-ctx.Done()
		return false
	}
	return sleep(ctx, a.delay)
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// RoundTripper calls the simulator without sockets, after Options.Latency.
func (s *Sim) RoundTripper() http.RoundTripper { return transport{s} }

type transport struct{ s *Sim }

var errReset = errors.New("connection reset by peer")

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	var there, back time.Duration
	if t.s.opts.Latency != nil {
		there, back = t.s.opts.Latency(r)
	}
	if r.Body != nil {
		defer r.Body.Close()
	}
	if !sleep(ctx, there) {
		return nil, context.Cause(ctx)
	}
	a := t.s.answer(r)
	a.delay += back
	if !wait(ctx, a) {
		return nil, context.Cause(ctx)
	}
	if a.drop {
		return nil, errReset
	}
	body := io.Reader(bytes.NewReader(a.body))
	if a.cut {
		body = io.MultiReader(body, cutReader{})
	}
	return &http.Response{Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(body), ContentLength: int64(a.length), Request: r}, nil
}

type cutReader struct{}

func (cutReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answer computes what a request gets, at this moment and in one piece.
func (s *Sim) answer(r *http.Request) *answer {
	s.enter()
	defer s.mu.Unlock()
	q := &req{s: s, r: r, now: s.now(), query: r.URL.Query(), view: s.present()}
	q.path, q.base = s.split(r)
	q.segs = strings.Split(q.path, "/")
	struck := s.strike(q)
	for _, f := range struck {
		f.before(q)
	}
	a := s.admit(q)
	if a == nil {
		if s.opts.Role != Administrator {
			q.view.seer = q.view.newSeer(s.opts.Role, s.me)
		}
		a = s.route(q)
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	s.decorate(q, a)
	a.length = len(a.body)
	for _, f := range struck {
		f.after(q, a)
	}
	s.logRequest(q, a, struck)
	return a
}

// decorate adds the headers of every answer.
func (s *Sim) decorate(q *req, a *answer) {
	if a.header.Get("Content-Type") == "" {
		a.header.Set("Content-Type", "application/json; charset=utf-8")
	}
	a.header.Set("Date", q.now.UTC().Format(http.TimeFormat))
	a.header.Set("Cache-Control", "max-age=0, private, no-store")
	s.served++
	a.header.Set("X-Request-Id", "request-"+strconv.FormatUint(s.served, 10))
	if s.opts.Gzip && len(a.body) > 0 && strings.Contains(q.r.Header.Get("Accept-Encoding"), "gzip") {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		_, _ = z.Write(a.body) // a bytes.Buffer takes everything
		_ = z.Close()
		a.body = b.Bytes()
		a.header.Set("Content-Encoding", "gzip")
	}
}

// split is the path below the base URL and what links begin with.
func (s *Sim) split(r *http.Request) (path, base string) {
	prefix := "/v2"
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		if path, ok = strings.CutPrefix(r.URL.Path, "/api/v2/"); !ok {
			path = "?" // no route
		}
	}
	if s.opts.LinkAlias {
		prefix = "/api/v2"
	}
	if s.opts.BaseURL != "" {
		return path, s.opts.BaseURL
	}
	scheme, host := r.URL.Scheme, r.Host
	if host == "" {
		host = r.URL.Host
	}
	if scheme == "" {
		scheme = "http"
		if r.TLS != nil {
			scheme = "https"
		}
	}
	return path, scheme + "://" + host + prefix
}

// admit checks everything that comes before the route: nil lets the request through.
func (s *Sim) admit(q *req) *answer {
	token, _ := strings.CutPrefix(q.r.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = q.query.Get("access_token")
	}
	account := q.r.Header.Get("Harvest-Account-Id")
	if account == "" {
		account = q.query.Get("account_id")
	}
	q.query.Del("access_token")
	q.query.Del("account_id")
	switch {
	case q.r.Header.Get("User-Agent") == "":
		return message(http.StatusBadRequest, "User-Agent header is required.")
	case token != s.opts.Token:
		return unauthorized()
	case q.path != "accounts" && account != strconv.FormatInt(s.opts.Account, 10):
		return notFound()
	}
	return s.throttle(q)
}

func jsonAnswer(status int, body string) *answer {
	return &answer{status: status, body: []byte(body), header: http.Header{}}
}

func message(status int, text string) *answer {
	a := jsonAnswer(status, `{"message":`+quote(text)+`}`)
	if status == http.StatusForbidden || status == http.StatusUnprocessableEntity {
		a.header.Set("Hint", text)
	}
	return a
}

func unauthorized() *answer {
	const why = "The access token provided is expired, revoked, malformed or invalid for other reasons."
	a := jsonAnswer(http.StatusUnauthorized, `{"error":"invalid_token","error_description":"`+why+`"}`)
	a.header.Set("Content-Type", "application/json")
	a.header.Set("WWW-Authenticate", `Bearer realm="Rack::OAuth2 Protected Resources", error="invalid_token", error_description="`+why+`"`)
	return a
}

func notFound() *answer {
	a := jsonAnswer(http.StatusNotFound, `{"status":404,"error":"Not Found"}`)
	a.header.Set("Content-Type", "application/json; charset=UTF-8")
	return a
}

func forbidden() *answer { return message(http.StatusForbidden, "Not authorized!") }

// page is an HTML page, as unknown routes and sick servers answer.
func page(status int) *answer {
	text := http.StatusText(status)
	a := jsonAnswer(status, "<!DOCTYPE html>\n<html><head><title>"+text+"</title></head><body><h1>"+strconv.Itoa(status)+" "+text+"</h1></body></html>\n")
	a.header.Set("Content-Type", "text/html; charset=UTF-8")
	return a
}

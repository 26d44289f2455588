package harvest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"
)

// Time limits of one attempt. A page of 2,000 rows takes Harvest a few seconds.
const (
	dialTimeout   = 10 * time.Second
	headerTimeout = 10 * time.Second // from the request's end to the answer's header
	idleTimeout   = 15 * time.Second // between two reads of the body
	totalTimeout  = time.Minute
)

const maxHeader = 64 << 10 // bytes of an answer's header

// NewTransport returns the base of the chain that a nil Config.Transport stands for: TLS 1.2 or newer, every phase
// bounded in time, headers bounded in size, no decompression (the client's own is bounded), proxies as the
// environment says.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        30 * time.Second, // below what servers in front of Harvest grant
	}
}

// limited waits for the budget of the request's class.
type limited struct {
	client *Client
	next   http.RoundTripper
}

// RoundTrip lets the request pass when its turn has come. A request net/http repeats by itself, because an idle
// connection broke under it, has been sent twice and is paid twice.
func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	a := attemptOf(req)
	budget := l.client.budget(a.path)
	if err := budget.wait(req.Context(), a.reserved); err != nil {
		return nil, err
	}
	if denied := l.client.denied.Load(); denied != nil {
		return nil, denied
	}
	connections := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if connections++; connections > 1 {
			budget.charge()
		}
	}}
	return l.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}

// budget is the limiter that counts requests of a path.
func (c *Client) budget(path string) *limiter {
	if strings.HasPrefix(path, "reports/") {
		return c.reports
	}
	return c.general
}

// numbered gives attempts their numbers, as late as it can: an observation counts as late as its number.
type numbered struct {
	client *Client
	next   http.RoundTripper
}

func (n *numbered) RoundTrip(req *http.Request) (*http.Response, error) {
	a := attemptOf(req)
	a.number, a.began = n.client.number.Add(1), time.Now()
	return n.next.RoundTrip(req)
}

var (
	errTotal = errors.New("took longer than " + totalTimeout.String())
	errIdle  = errors.New("sent nothing for " + idleTimeout.String())
)

// timed ends an attempt that takes longer than totalTimeout, or whose body stands still for idleTimeout.
type timed struct{ next http.RoundTripper }

func (t *timed) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	total := time.AfterFunc(totalTimeout, func() { cancel(errTotal) })
	stop := func() {
		total.Stop()
		cancel(nil)
	}
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		err = because(ctx, err)
		stop()
		return nil, err
	}
	idle := time.AfterFunc(idleTimeout, func() { cancel(errIdle) })
	resp.Body = &timedBody{ReadCloser: resp.Body, ctx: ctx, idle: idle, stop: stop}
	return resp, nil
}

type timedBody struct {
	io.ReadCloser
	ctx  context.Context // the attempt's, for the cause of its end
	idle *time.Timer
	stop func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	b.idle.Reset(idleTimeout)
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(b.ctx, err)
	}
	return n, err
}

func (b *timedBody) Close() error {
	b.idle.Stop()
	b.stop()
	return b.ReadCloser.Close()
}

// because returns our own reason for ending ctx, where there is one, instead of err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errTotal) || errors.Is(cause, errIdle) {
		return cause
	}
	return err
}

// authorised adds the headers Harvest wants, secrets among them, so it is the last to look where the request goes.
type authorised struct {
	config Config
	origin *origin
	next   http.RoundTripper
}

func (a *authorised) RoundTrip(req *http.Request) (*http.Response, error) {
	ours := a.origin.holds(req.URL)
	if !ours && !(a.origin.isHarvest() && req.URL.String() == accountsURL) {
		return nil, errors.New("not sending a token to " + strconv.Quote(req.URL.Host))
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+a.config.Token)
	if ours {
		req.Header.Set("Harvest-Account-Id", strconv.FormatInt(a.config.Account, 10))
	}
	req.Header.Set("User-Agent", a.config.UserAgent)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	return a.next.RoundTrip(req)
}

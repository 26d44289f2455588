package harvest_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/pkg/harvest"
)

func TestDo(t *testing.T) {
	t.Parallel()
	c := setup(t, handler(func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{
			"Authorization": "Bearer " + canary, "Harvest-Account-Id": "42", "User-Agent": "test (test@example.com)",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if r.Method != "GET" || r.URL.String() != "http://127.0.0.1/v2/time_entries/12?from=2026-01-01" || r.Body != nil {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		_, _ = io.WriteString(w, `{"id":12}`)
	}))
	req := harvest.Request{Path: "time_entries/12", Query: url.Values{"from": {"2026-01-01"}}}
	var got harvest.Response
	err := c.Do(t.Context(), req, func(r *harvest.Response) error {
		got = *r
		got.Body = []byte(string(r.Body))
		return nil
	})
	if err != nil || string(got.Body) != `{"id":12}` || got.Number != 1 || c.Requests() != 1 {
		t.Errorf("%v, %+v", err, got)
	}
	if len(c.attempts) != 1 || c.attempts[0].Path != "time_entries/{id}" || c.attempts[0].Bytes != 9 || c.attempts[0].Status != 200 {
		t.Errorf("observed %+v", c.attempts)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*harvest.Config){
		"the token":   func(c *harvest.Config) { c.Token = "" },
		"holds char":  func(c *harvest.Config) { c.Token = canary + "\n" },
		"account id":  func(c *harvest.Config) { c.Account = 0 },
		"user agent":  func(c *harvest.Config) { c.UserAgent = "x\r\nX-Evil: 1" },
		"is empty":    func(c *harvest.Config) { c.UserAgent = " " },
		"limit of 1":  func(c *harvest.Config) { c.Limit = 1 },
		"no absolute": func(c *harvest.Config) { c.BaseURL = "api.harvestapp.com/v2" },
		"neither use": func(c *harvest.Config) { c.BaseURL = "https://user:" + canary + "@api.harvestapp.com/v2" },
		"nor query":   func(c *harvest.Config) { c.BaseURL = "https://api.harvestapp.com/v2?token=" + canary },
		"nor frag":    func(c *harvest.Config) { c.BaseURL = "https://api.harvestapp.com/v2#x" },
		`"http": on`:  func(c *harvest.Config) { c.BaseURL = "http://api.harvestapp.com/v2" },
		`"ftp": only`: func(c *harvest.Config) { c.BaseURL = "ftp://127.0.0.1/v2" },
		"path has":    func(c *harvest.Config) { c.BaseURL = "https://api.harvestapp.com/v2/%2e%2e" },
	} {
		config := harvest.Config{Token: canary, Account: 1, UserAgent: "x", Limit: 90}
		change(&config)
		_, err := harvest.New(config)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, base := range []string{"", "https://api.harvestapp.com/v2/", "http://localhost:1/v2", "http://[::1]:1/v2", "https://gateway.example/harvest/v2"} {
		if _, err := harvest.New(harvest.Config{BaseURL: base, Token: "t", Account: 1, UserAgent: "x", Limit: 2}); err != nil {
			t.Errorf("%q: %v", base, err)
		}
	}
}

// TestStatus holds what is tried again, how often, and how it ends.
func TestStatus(t *testing.T) {
	for status, want := range map[int]struct {
		tries       int
		unavailable bool
		text        string
	}{
		400: {tries: 1, text: "GET users: 400 Bad Request: sorry (request abc-1); Harvest did not understand"},
		401: {tries: 1, text: "the token is wrong, expired or revoked"},
		403: {tries: 1, text: "may not read this"},
		404: {tries: 1, text: "check the account id"},
		422: {tries: 1, text: "422 Unprocessable Entity: sorry"},
		301: {tries: 1, text: "redirects are not followed"},
		302: {tries: 1, text: "redirects"},
		303: {tries: 1, text: "redirects"},
		307: {tries: 1, text: "redirects"},
		308: {tries: 1, text: "redirects"},
		204: {tries: harvest.MaxTries, text: "204"},
		206: {tries: harvest.MaxTries, text: "206"},
		408: {tries: harvest.MaxTries, unavailable: true},
		429: {tries: harvest.MaxTries, unavailable: true, text: "lower the limit"},
		500: {tries: harvest.MaxTries, unavailable: true, text: "in trouble"},
		502: {tries: harvest.MaxTries, unavailable: true},
		503: {tries: harvest.MaxTries, unavailable: true},
		504: {tries: harvest.MaxTries, unavailable: true},
		524: {tries: harvest.MaxTries, unavailable: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := setup(t, handler(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1/v2/elsewhere")
				w.Header().Set("X-Request-Id", "abc-1")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"message":"sorry"}`)
			}))
			_, err := c.users(t.Context())
			var typed *harvest.Error
			if !errors.As(err, &typed) || typed.Status != status || typed.Path != "users" || typed.RequestID != "abc-1" {
				t.Fatalf("%d: got %v", status, err)
			}
			if len(c.attempts) != want.tries || harvest.Unavailable(err) != want.unavailable || !strings.Contains(err.Error(), want.text) {
				t.Errorf("%d: %d tries, %v", status, len(c.attempts), err)
			}
			if harvest.IsUnauthorized(err) != (status == 401) || harvest.IsForbidden(err) != (status == 403) || harvest.IsNotFound(err) != (status == 404) {
				t.Errorf("%d: wrong predicate", status)
			}
		})
	}
}

func TestRetrySucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := setup(t, handler(func(w http.ResponseWriter, r *http.Request) {
			n++
			switch n {
			case 1:
				w.WriteHeader(502)
			case 2:
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, "<html>")
			case 3:
				_, _ = io.WriteString(w, page[:100])
			default:
				_, _ = io.WriteString(w, page)
			}
		}))
		began := time.Now()
		rows, err := c.users(t.Context())
		if rows != 2 || err != nil {
			t.Errorf("%d rows, %v", rows, err)
		}
		if took := time.Since(began); took != 2*time.Second+4*time.Second+8*time.Second {
			t.Errorf("took %v; want full backoffs of 2, 4 and 8 s", took)
		}
		var why []string
		for i, a := range c.attempts {
			why = append(why, a.Retry)
			if a.Try != i+1 || a.Number != uint64(i+1) {
				t.Errorf("attempt %+v", a)
			}
		}
		if strings.Join(why, " ") != "5xx body body " {
			t.Errorf("reasons %q", why)
		}
	})
}

// TestUnauthorizedStopsTheClient: a hundred callers, one 401, no storm (P11).
func TestUnauthorizedStopsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := setup(t, handler(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(401)
		}), func(c *harvest.Config) { c.Limit = 2 })
		done := make(chan error)
		for range 100 {
			go func() {
				_, err := c.users(t.Context())
				done <- err
			}()
		}
		for range 100 {
			if err := <-done; !harvest.IsUnauthorized(err) {
				t.Errorf("got %v", err)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestNetworkErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := setup(t, broken{})
		_, err := c.users(t.Context())
		if !harvest.Unavailable(err) || len(c.attempts) != harvest.MaxTries || strings.Contains(err.Error(), "secret=") {
			t.Errorf("%d tries, %v", len(c.attempts), err)
		}
		c.clean(t, err)
	})
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("malformed answer \x1b[2J Bearer " + canary)
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := setup(t, always(503, ""))
		if _, err := c.users(ctx); !errors.Is(err, context.DeadlineExceeded) || harvest.Unavailable(err) {
			t.Errorf("while waiting to try again: %v", err)
		}
		c = setup(t, hanging{})
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.users(ctx); !errors.Is(err, context.DeadlineExceeded) || harvest.Unavailable(err) {
			t.Errorf("while waiting for an answer: %v", err)
		}
		if len(c.attempts) != 1 || c.attempts[0].Retry != "" {
			t.Errorf("observed %+v", c.attempts)
		}
	})
}

// hanging answers only when it is given up.
type hanging struct{}

func (hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// TestTokenIsNeverShown lets every part of an answer echo the token (M5).
func TestTokenIsNeverShown(t *testing.T) {
	echo := "Bearer " + canary + " \x1b[31m\nlevel=ERROR " + strings.Repeat("x", 180) + canary
	for name, h := range map[string]handler{
		"message": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"message":"`+strings.NewReplacer("\x1b", `\u001b`, "\n", `\n`).Replace(echo)+`"}`)
		},
		"long message": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"message":"`+strings.Repeat("x", 190)+canary+`"}`)
		},
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			for _, h := range []string{"Hint", "X-Request-Id", "Date", "Retry-After"} {
				w.Header().Set(h, canary)
			}
			w.WriteHeader(429)
		},
		"content type": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/"+canary) },
		"encoding":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", canary) },
		"member":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"`+canary+`":[]}`) },
		"number":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"per_page":`+canary+`}`) },
		"twice": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"`+canary+`":1,"`+canary+`":2}`)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			t.Log(name)
			c := setup(t, h)
			_, err := c.users(t.Context())
			c.clean(t, err)
			if err != nil && len(err.Error()) > 700 {
				t.Errorf("%s: %d bytes", name, len(err.Error()))
			}
		})
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	c := setup(t, handler(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "https://id.getharvest.com/api/v2/accounts" || r.Header.Get("Harvest-Account-Id") != "" ||
			r.Header.Get("Authorization") != "Bearer "+canary {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}
		_, _ = io.WriteString(w, `{"user":{"id":1},"accounts":[{"id":7,"name":"A","product":"harvest"},{"id":8,"product":"forecast"}]}`)
	}), func(c *harvest.Config) { c.BaseURL = "" })
	got, err := c.Accounts(t.Context())
	if err != nil || len(got) != 2 || got[0] != (harvest.Account{ID: 7, Name: "A", Product: "harvest"}) {
		t.Errorf("%+v, %v", got, err)
	}
	c = setup(t, handler(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	if _, err := c.Accounts(t.Context()); err == nil {
		t.Error("asked for another host's token")
	}
}

// TestRetryAfterOfTrouble: a 503 that names a time is believed, within reason.
func TestRetryAfterOfTrouble(t *testing.T) {
	for say, want := range map[string]time.Duration{"1": 2 * time.Second, "20": 20 * time.Second, "86400": 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			c := setup(t, handler(func(w http.ResponseWriter, _ *http.Request) {
				if n++; n == 1 {
					w.Header().Set("Retry-After", say)
					w.WriteHeader(503)
					return
				}
				_, _ = io.WriteString(w, page)
			}))
			began := time.Now()
			if _, err := c.users(t.Context()); err != nil || time.Since(began) != want {
				t.Errorf("%s: after %v, %v", say, time.Since(began), err)
			}
		})
	}
}

// TestTLS speaks HTTP/2 to a server whose certificate is known, and to one whose is not.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("spoke %s", r.Proto)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, page)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := harvest.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	at := func(c *harvest.Config) {
		c.BaseURL, c.Limit = server.URL+"/v2", 34
		c.Jitter = func() float64 { return 0 }
	}
	if _, err := setup(t, transport, at).users(t.Context()); !harvest.Unavailable(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown certificate: %v", err)
	}
	trusting := harvest.NewTransport()
	t.Cleanup(trusting.CloseIdleConnections)
	trusting.TLSClientConfig.RootCAs = x509.NewCertPool()
	trusting.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	c := setup(t, trusting, at)
	if rows, err := c.users(t.Context()); err != nil || rows != 2 {
		t.Errorf("%d rows, %v", rows, err)
	}
	if d := c.Ready(); d != 0 {
		t.Errorf("a request costs more than one of two tokens: ready in %v", d)
	}
}

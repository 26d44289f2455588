package harvesttest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// small is an account that a test can look through.
var small = harvesttest.Sizes{Users: 6, Clients: 5, Projects: 9, Tasks: 5, Invoices: 30, Estimates: 20, Expenses: 40, TimeEntries: 400}

// clock is a settable time.
type clock struct{ t time.Time }

func (c *clock) now() time.Time             { return c.t }
func (c *clock) pass(d time.Duration)       { c.t = c.t.Add(d) }
func (c *clock) stamp() string              { return c.t.UTC().Format(time.RFC3339) }
func newClock() *clock                      { return &clock{time.Date(2026, 5, 4, 10, 20, 30, 400e6, time.UTC)} }
func (c *clock) ago(d time.Duration) string { return c.t.Add(-d).UTC().Format(time.RFC3339) }

type world struct {
	*harvesttest.Sim
	t     *testing.T
	clock *clock
}

func setup(t *testing.T, o harvesttest.Options) *world {
	t.Helper()
	c := newClock()
	if o.Now == nil {
		o.Now = c.now
	}
	if o.Sizes == (harvesttest.Sizes{}) {
		o.Sizes = small
	}
	return &world{Sim: harvesttest.New(o), t: t, clock: c}
}

type response struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

const base = "https://api.harvestapp.com/v2/"

// send is one request; edit may change it before it leaves.
func (w *world) send(method, path, body string, edit ...func(*http.Request)) response {
	w.t.Helper()
	target := path
	if !strings.Contains(path, "://") {
		target = base + path
	}
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer test-token")
	r.Header.Set("Harvest-Account-Id", "482913")
	r.Header.Set("User-Agent", "tests (tests@example.com)")
	for _, e := range edit {
		e(r)
	}
	resp, err := w.RoundTripper().RoundTrip(r)
	if err != nil {
		return response{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(b), err}
}

type object = map[string]any

type envelope struct {
	rows                       []object
	PerPage, TotalPages, Total int
	Next, Previous, Page       *int
	Links                      map[string]*string
}

// list reads a page that must be there.
func (w *world) list(path string) envelope {
	w.t.Helper()
	r := w.send("GET", path, "")
	if r.status != 200 || r.err != nil {
		w.t.Fatalf("GET %s: %d %s %v", path, r.status, r.body, r.err)
	}
	return w.envelope(r.body)
}

func (w *world) envelope(body string) envelope {
	w.t.Helper()
	var e struct {
		PerPage    int                `json:"per_page"`
		TotalPages int                `json:"total_pages"`
		Total      int                `json:"total_entries"`
		Next       *int               `json:"next_page"`
		Previous   *int               `json:"previous_page"`
		Page       *int               `json:"page"`
		Links      map[string]*string `json:"links"`
	}
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &e) != nil || json.Unmarshal([]byte(body), &all) != nil {
		w.t.Fatalf("not an envelope: %s", body)
	}
	out := envelope{PerPage: e.PerPage, TotalPages: e.TotalPages, Total: e.Total, Next: e.Next, Previous: e.Previous, Page: e.Page, Links: e.Links}
	for _, raw := range all {
		var rows []object
		if raw[0] == '[' && json.Unmarshal(raw, &rows) == nil {
			out.rows = rows
		}
	}
	return out
}

// walk follows links.next to the end.
func (w *world) walk(path string) []object {
	w.t.Helper()
	var rows []object
	for n := 0; ; n++ {
		if n > 1000 {
			w.t.Fatal("no end")
		}
		e := w.list(path)
		rows = append(rows, e.rows...)
		if e.Links["next"] == nil {
			return rows
		}
		path = *e.Links["next"]
	}
}

func (w *world) object(stream string, id int64) object {
	w.t.Helper()
	o, ok := w.Object(stream, id)
	if !ok {
		w.t.Fatalf("no %s/%d", stream, id)
	}
	return decode(w.t, o.JSON)
}

func decode(t *testing.T, text []byte) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return o
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// made is a Create that must succeed.
func (w *world) made(stream string, parent int64, f harvesttest.Fields) int64 {
	w.t.Helper()
	id, err := w.Create(stream, parent, f)
	w.must(err)
	return id
}

func id(o object) int64 { return int64(o["id"].(float64)) }

func queryOf(t *testing.T, link *string) url.Values {
	t.Helper()
	if link == nil {
		t.Fatal("no link")
	}
	u, err := url.Parse(*link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// words joins values with spaces.
func words(values ...any) string { return strings.TrimSpace(fmt.Sprintln(values...)) }

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

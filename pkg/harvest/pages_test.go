package harvest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"harveststream/pkg/harvest"
)

// book is a list of users in pages; link tells each page's next, "" for none.
type book struct {
	pages, rows int // rows a page
	total       int
	link        func(page int) string
	asked       []string
	fault       func(n int, w http.ResponseWriter) bool
}

func (b *book) serve(w http.ResponseWriter, r *http.Request) {
	b.asked = append(b.asked, r.URL.String())
	if b.fault != nil && b.fault(len(b.asked), w) {
		return
	}
	n := 1
	if text := r.URL.Query().Get("page"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	var rows []string
	for i := range b.rows {
		rows = append(rows, fmt.Sprintf(`{"id":%d}`, n*100+i))
	}
	next := "null"
	if link := b.link(n); link != "" {
		next = quote(link)
	}
	_, _ = io.WriteString(w, envelope(map[string]string{
		"users": "[" + strings.Join(rows, ",") + "]", "page": strconv.Itoa(n), "next_page": "null",
		"total_pages": strconv.Itoa(b.pages), "total_entries": strconv.Itoa(b.total), "links": `{"next":` + next + `}`,
	}))
}

func link(page int) string { return "http://127.0.0.1/api/v2/users?page=" + strconv.Itoa(page) }

// walk reads a book and returns the ids met and the error at its end.
func (b *book) walk(t *testing.T) (ids []string, err error) {
	t.Helper()
	c := setup(t, handler(b.serve), func(c *harvest.Config) { c.Limit = 1_000_000 })
	last := uint64(0)
	for page, err := range c.Pages(t.Context(), harvest.Request{Path: "users"}, "users", func(r *harvest.Response, b []byte) (int, error) {
		if r.Number < last {
			t.Errorf("request %d after %d", r.Number, last)
		}
		last = r.Number
		n, err := harvest.Skip(b)
		ids = append(ids, string(b[:n]))
		return n, err
	}) {
		if err != nil {
			return ids, err
		}
		if page.Items != b.rows {
			t.Errorf("page %+v", page)
		}
	}
	return ids, nil
}

func upTo(last int) func(int) string {
	return func(page int) string {
		if page == last {
			return ""
		}
		return link(page + 1)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := &book{pages: 3, rows: 2, total: 6, link: upTo(3)}
	ids, err := b.walk(t)
	if err != nil || len(ids) != 6 || len(b.asked) != 3 || b.asked[1] != link(2) {
		t.Errorf("%v, asked %v, %v", ids, b.asked, err)
	}
	b = &book{pages: 1, rows: 0, total: 0, link: upTo(4)} // empty pages with a next link go on
	if _, err := b.walk(t); err != nil || len(b.asked) != 4 {
		t.Errorf("asked %v, %v", b.asked, err)
	}
}

func TestPagesStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	b := &book{pages: 3, rows: 2, total: 6, link: upTo(3)}
	c := setup(t, handler(b.serve))
	for range c.Pages(t.Context(), harvest.Request{Path: "users"}, "users", skip) {
		break
	}
	if len(b.asked) != 1 {
		t.Errorf("asked %v", b.asked)
	}
}

// TestPagesRefuses: loops, endless lists and early ends are found (H8, H9).
func TestPagesRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		book *book
		most int // requests
		want string
	}{
		"itself":     {&book{pages: 3, rows: 2, total: 6, link: func(int) string { return link(1) }}, 2, "met before"},
		"cycle of 2": {&book{pages: 9, rows: 2, total: 18, link: func(p int) string { return link(p%2 + 1) }}, 3, "met before"},
		"cycle of 7": {&book{pages: 9, rows: 2, total: 18, link: func(p int) string { return link(p%7 + 1) }}, 8, "met before"},
		"endless":    {&book{pages: 3, rows: 2, total: 6, link: upTo(-1)}, 16, "does not end"},
		"ends early": {&book{pages: 3, rows: 2, total: 6, link: upTo(2)}, 2, "ends after 4 of 6 rows"},
		"leaves":     {&book{pages: 3, rows: 2, total: 6, link: func(int) string { return "http://127.0.0.2/v2/users" }}, 1, "away from"},
		"metadata":   {&book{pages: 3, rows: 2, total: 6, link: func(int) string { return "http://169.254.169.254/v2/users" }}, 1, "away from"},
	} {
		_, err := c.book.walk(t)
		var refused *harvest.BodyError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || len(c.book.asked) > c.most {
			t.Errorf("%s: %d requests, %v", name, len(c.book.asked), err)
		}
	}
}

func TestPagesTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{pages: 3, rows: 2, total: 6, link: upTo(3)}
		b.fault = func(n int, w http.ResponseWriter) bool {
			if n == 2 {
				w.WriteHeader(500)
			}
			return n == 2
		}
		if ids, err := b.walk(t); err != nil || len(slices.Compact(ids)) != 6 || len(b.asked) != 4 {
			t.Errorf("%v, asked %v, %v", ids, b.asked, err)
		}
	})
}

// TestClock holds P4's bound: never later than the server's clock when it computed the answer, whatever Date says.
func TestClock(t *testing.T) {
	format := func(at time.Time) string { return at.UTC().Format(http.TimeFormat) }
	synctest.Test(t, func(t *testing.T) {
		c := harvest.NewClock(slogTo(t))
		began := time.Now()
		time.Sleep(3 * time.Second)
		floor, now := c.Read(format(time.Now().Add(-time.Hour)), began)
		if server := began.Add(-time.Hour); !now.Equal(server.Add(3*time.Second)) || !floor.Equal(server.Add(-time.Second)) {
			t.Errorf("an hour behind: floor %v, now %v", floor, now)
		}
		// Another machine behind the same name, five minutes ahead: the earlier clock bounds.
		if floor, now := c.Read(format(time.Now().Add(-55*time.Minute)), time.Now()); now.Sub(floor) != 5*time.Minute+time.Second {
			t.Errorf("ahead of the other: floor %v, now %v", floor, now)
		}
		// No Date, nonsense, the year 1970 or 2099: what is known stands in.
		for _, date := range []string{"", "yesterday", format(time.Unix(0, 0)), format(time.Now().AddDate(99, 0, 0))} {
			time.Sleep(10 * time.Minute)
			floor, now := c.Read(date, time.Now())
			if want := time.Now().Add(-time.Hour); !now.Equal(want) || !floor.Equal(want.Add(-time.Second)) {
				t.Errorf("%q: floor %v, now %v, want %v", date, floor, now, want)
			}
		}
		// Hours later the machine with the early clock is gone and forgotten.
		time.Sleep(3 * time.Hour)
		if floor, now := c.Read(format(time.Now()), time.Now()); now.Sub(floor) != time.Second {
			t.Errorf("still bounded: floor %v, now %v", floor, now)
		}
	})
}

// TestClockAhead: a Date ahead of the local clock bounds nothing, whether all of them are or some, at first or later.
func TestClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := harvest.NewClock(slogTo(t))
		for i := range 200 {
			time.Sleep(5 * time.Minute)
			ahead := []time.Duration{5 * time.Hour, 47 * time.Hour, 0, 80 * time.Hour}[(i/7)%4]
			floor, now := c.Read(time.Now().Add(ahead).UTC().Format(http.TimeFormat), time.Now())
			if floor.After(time.Now().Add(-time.Second)) {
				t.Errorf("Date is %v ahead: floor %v after the local clock", ahead, floor.Sub(time.Now()))
			}
			if late := time.Until(now) - ahead; ahead < 48*time.Hour && late != 0 {
				t.Errorf("Date is %v ahead, now %v more", ahead, late)
			}
		}
	})
}

func TestClockBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := harvest.NewClock(slogTo(t))
		for date, want := range map[string]time.Duration{"": -time.Hour, "Thu, 01 Jan 2099 00:00:00 GMT": -time.Hour} {
			if _, now := c.Read(date, time.Now()); time.Until(now) != want {
				t.Errorf("%q: now is %v away", date, time.Until(now))
			}
		}
		if floor, _ := c.Read("Thu, 01 Jan 1970 00:00:00 GMT", time.Now()); floor.Year() > 1970 {
			t.Errorf("floor %v", floor)
		}
	})
}

package harvesttest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"time"
)

// listing is one page of a list: which rows, and how the envelope counts them.
type listing struct {
	rows       []*row // of the page, in the order they are shown
	total      int
	perPage    int
	page       int // 0: a page of a cursor walk that is neither first nor last shows no numbers
	next, prev string
}

const maxPerPage = 2000

// collection answers a list (GET) or adds to it (POST). parent is 0 for lists of the whole account.
func (s *Sim) collection(q *req, k *kind, parent int64) *answer {
	if a := s.barred(q, k); a != nil {
		return a
	}
	if q.r.Method == http.MethodPost {
		return s.post(q, k, parent)
	}
	if q.r.Method != http.MethodGet {
		return page(http.StatusNotFound)
	}
	if body, rows, ok := s.cached(q); ok {
		return &answer{status: 200, body: body, rows: rows}
	}
	numbered := k.numbered() || k.group == "project" && parent != 0
	l, bad := q.paging(k)
	if bad != nil {
		return bad
	}
	rows, keep, bad := q.candidates(k, parent)
	if bad != nil {
		return bad
	}
	if k.has("start_date") && k.parent != "" { // rates: oldest first (1.7)
		rows = slices.Clone(rows)
		start := k.slot("start_date")
		slices.SortStableFunc(rows, func(a, b *row) int { return int(sortable(b.vals[start]) - sortable(a.vals[start])) })
	}
	if q.empty {
		rows = nil
	}
	q.paginate(l, rows, keep, numbered)
	if s.opts.Stale > 0 && q.view.pos == len(s.log) {
		q.staleTotal(k, parent, l)
	}
	a := s.envelope(q, k, *l)
	s.remember(q, a)
	return a
}

func sortable(x val) int64 {
	if x.set() {
		return x.int()
	}
	return noDay
}

// paging reads per_page, page and cursor.
func (q *req) paging(k *kind) (*listing, *answer) {
	l := &listing{perPage: maxPerPage}
	if k.name == "invoices" {
		l.perPage = 100
	}
	if text := q.query.Get("per_page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPerPage {
			return nil, message(http.StatusUnprocessableEntity, "per_page must be between 1 and 2000.")
		}
		l.perPage = n
	}
	l.page = 1
	if n, err := strconv.Atoi(q.query.Get("page")); err == nil && n > 0 {
		l.page = n
	}
	return l, nil
}

// candidates are rows, ascending, and the filters that are left to apply to them (AND; harvest-api 1.8).
func (q *req) candidates(k *kind, parent int64) ([]*row, func(*row) bool, *answer) {
	v := q.view
	var tests []func(*row) bool
	var rows []*row
	if parent != 0 {
		rows = v.kids(k, parent)
	} else {
		rows = v.rows(k)
	}
	if text := q.query.Get("updated_since"); text != "" && k.since {
		since, ok := parseInstant(text)
		if !ok {
			return nil, nil, message(http.StatusUnprocessableEntity, "updated_since is invalid")
		}
		if q.s.opts.After {
			since++
		}
		all := false
		if parent == 0 {
			rows, all = v.changedSince(k, since)
		}
		if !all {
			tests = append(tests, func(r *row) bool { return r.updated >= since })
		}
	}
	if k.dated != "" {
		lo, hi := q.window(k, rows)
		rows = rows[lo:hi]
	}
	if k.name == "time_entries" && q.query.Get("is_running") == "true" && v.pos == len(q.s.log) && len(rows) > 64 {
		rows = q.runningRows(k, rows)
	}
	tests = append(tests, q.filters(k)...)
	if v.seer != nil {
		tests = append(tests, func(r *row) bool { return v.sees(k, r) })
	}
	if len(tests) == 0 {
		return rows, nil, nil
	}
	return rows, func(r *row) bool {
		for _, test := range tests {
			if !test(r) {
				return false
			}
		}
		return true
	}, nil
}

// runningRows are the running entries among rows, without looking at each of a million.
func (q *req) runningRows(k *kind, rows []*row) []*row {
	var running []*row
	for _, id := range q.s.runningIDs() {
		r := k.get(id)
		if _, ok := slices.BinarySearchFunc(rows, r, k.compareDated); ok {
			running = append(running, r)
		}
	}
	slices.SortFunc(running, k.compareDated)
	return running
}

func (q *req) window(k *kind, rows []*row) (lo, hi int) {
	first, last := int64(noDay), int64(-noDay)
	if t, ok := parseDay(q.query.Get("from")); ok {
		first = t
	}
	if t, ok := parseDay(q.query.Get("to")); ok {
		last = t
	}
	if first > noDay || last < -noDay {
		first = max(first, noDay+1) // rows without a date are in no window
	}
	return k.window(rows, first, last)
}

// window is the part of rows, ordered by date, between two days, both inclusive.
func (k *kind) window(rows []*row, first, last int64) (lo, hi int) {
	lo = sort.Search(len(rows), func(i int) bool { return k.date(rows[i]) >= first })
	hi = lo + sort.Search(len(rows)-lo, func(i int) bool { return k.date(rows[lo+i]) > last })
	return lo, hi
}

func parseDay(text string) (int64, bool) {
	for _, layout := range []string{time.DateOnly, "20060102", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Unix() / 86400, true
		}
	}
	return 0, false
}

// parseInstant is the first second of the given moment's resolution.
func parseInstant(text string) (int64, bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Unix(), true
		}
	}
	return 0, false
}

// paginate cuts the page out of rows. Offsets are computed anew for each request, so numbered pages drift (4.4); cursors
// are keys and do not.
func (q *req) paginate(l *listing, rows []*row, keep func(*row) bool, numbered bool) {
	if keep != nil && numbered {
		q.paginateMatches(l, rows, keep)
		return
	}
	matches := rows
	if keep != nil {
		matches = nil
		for _, r := range rows {
			if keep(r) {
				matches = append(matches, r)
			}
		}
	}
	l.total = len(matches)
	end := len(matches) - (l.page-1)*l.perPage // matches are ascending, pages descend
	walking := false
	if c, ok := readCursor(q.query.Get("cursor")); ok && !numbered {
		walking = true
		end = 0
		if c.After.ID != 0 {
			end = position(matches, c.After.ID)
		} else if i := position(matches, c.Before.ID); i < len(matches) {
			end = min(len(matches), i+1+l.perPage)
		}
		l.page = (len(matches)-end)/l.perPage + 1
	}
	end = max(end, 0)
	start := max(0, end-l.perPage)
	l.rows = slices.Clone(matches[start:end])
	slices.Reverse(l.rows)
	if start > 0 {
		l.next = strconv.Itoa(l.page + 1)
		if !numbered {
			l.next = cursor("after", matches[start].id)
		}
	}
	if end < len(matches) {
		l.prev = strconv.Itoa(max(1, l.page-1))
		if !numbered && end > 0 {
			l.prev = cursor("before", matches[end-1].id)
		}
	}
	if walking && start > 0 && end < len(matches) {
		l.page = 0
	}
}

// paginateMatches does the same for a numbered page of filtered rows without keeping the rest of the matches.
func (q *req) paginateMatches(l *listing, rows []*row, keep func(*row) bool) {
	first := (l.page - 1) * l.perPage
	for _, r := range slices.Backward(rows) {
		if !keep(r) {
			continue
		}
		if l.total >= first && l.total < first+l.perPage {
			l.rows = append(l.rows, r)
		}
		l.total++
	}
	if l.total > first+l.perPage {
		l.next = strconv.Itoa(l.page + 1)
	}
	if l.page > 1 {
		l.prev = strconv.Itoa(l.page - 1)
	}
}

// position is how many rows come before the one with an id, in lists ordered by id; rates, ordered by date, are looked
// through when the search misses.
func position(rows []*row, id int64) int {
	i, ok := slices.BinarySearchFunc(rows, id, func(r *row, id int64) int { return cmp.Compare(r.id, id) })
	if !ok {
		if j := slices.IndexFunc(rows, func(r *row) bool { return r.id == id }); j >= 0 {
			return j
		}
	}
	return i
}

type cursorKey struct {
	After, Before struct {
		ID int64 `json:"id"`
	}
}

func readCursor(text string) (c cursorKey, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(text)
	return c, text != "" && err == nil && json.Unmarshal(raw, &c) == nil
}

func cursor(side string, id int64) string {
	return base64.StdEncoding.EncodeToString([]byte(`{"` + side + `":{"id":` + strconv.FormatInt(id, 10) + `}}`))
}

// staleTotal counts the list as it was some time ago.
func (q *req) staleTotal(k *kind, parent int64, l *listing) {
	old := *q
	seer := q.view.seer
	old.view = q.s.past(q.now.Add(-q.s.opts.Stale))
	old.view.seer = seer
	if rows, keep, bad := old.candidates(k, parent); bad == nil {
		count := listing{perPage: l.perPage, page: 1}
		old.paginate(&count, rows, keep, true)
		l.total = count.total
	}
}

// envelope writes the answer around the rows (harvest-api 1.6).
func (s *Sim) envelope(q *req, k *kind, l listing) *answer {
	body := make([]byte, 0, 512+len(l.rows)*k.size)
	body = append(append(body, `{"`...), k.list...)
	body = append(body, `":[`...)
	for i, r := range l.rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = q.view.appendRow(body, k, r)
	}
	if len(l.rows) > 0 {
		k.size = len(body)/len(l.rows) + 16
	}
	body = append(body, ']')
	pages := max(1, (l.total+l.perPage-1)/l.perPage)
	number := func(key string, n int) {
		body = append(append(body, `,"`...), key...)
		body = append(body, `":`...)
		if n > 0 {
			body = strconv.AppendInt(body, int64(n), 10)
		} else {
			body = append(body, "null"...)
		}
	}
	number("per_page", l.perPage)
	number("total_pages", pages)
	body = append(body, `,"total_entries":`+strconv.Itoa(l.total)...)
	next, prev := 0, 0
	if l.page > 0 && l.next != "" {
		next = l.page + 1
	}
	if l.page > 1 {
		prev = l.page - 1
	}
	number("next_page", next)
	number("previous_page", prev)
	number("page", l.page)
	body = append(append(body, `,"links":`...), q.links(l, pages)...)
	return &answer{status: 200, body: append(body, '}'), rows: len(l.rows)}
}

// links keep the caller's filters and list query keys alphabetically.
func (q *req) links(l listing, pages int) string {
	link := func(key, value, ref string) string {
		if value == "" {
			return "null"
		}
		query := url.Values{}
		for name, values := range q.query { // Encode sorts
			if name != "page" && name != "cursor" && name != "ref" {
				query[name] = values
			}
		}
		query.Set("per_page", strconv.Itoa(l.perPage))
		query.Set("ref", ref)
		query.Set(key, value)
		return quote(q.base + "/" + q.path + "?" + query.Encode())
	}
	step := func(value, ref string) string {
		if value != "" && !isID(value) {
			return link("cursor", value, ref+"_cursor")
		}
		return link("page", value, ref)
	}
	next := step(l.next, "next")
	if q.link != nil {
		switch *q.link {
		case "":
			next = "null"
		case "self":
			next = quote(q.base + "/" + q.path + "?" + q.r.URL.RawQuery)
		default:
			next = quote(*q.link)
		}
	}
	return `{"first":` + link("page", "1", "first") + `,"next":` + next + `,"previous":` + step(l.prev, "previous") +
		`,"last":` + link("page", strconv.Itoa(pages), "last") + `}`
}

package producer

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	"harveststream/internal/faultpoint"
	"harveststream/internal/kafka"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"
)

const (
	fullPage  = 2000 // Harvest's largest page; said outright, because invoices default to 100 (harvest-api §1.6)
	fullEvery = time.Minute
	quickSpan = 15 * time.Second
	maxWalks  = 3 // a walk that is not clean is walked again, twice at most (P6)
)

// query is the list of a stream with some filters: names and values in turn.
func (s *stream) query(filters ...string) harvest.Request {
	q := url.Values{"per_page": {strconv.Itoa(s.pageSize)}}
	for pair := range slices.Chunk(filters, 2) {
		q.Set(pair[0], pair[1])
	}
	return harvest.Request{Path: s.Path, Query: q}
}

// instant is a moment as updated_since takes it: whole seconds, UTC, rounded down.
func instant(t time.Time) string { return t.UTC().Truncate(time.Second).Format("2006-01-02T15:04:05Z") }

// walked is what a walk over the pages of a list amounted to.
type walked struct {
	floor     time.Time // the server's clock when the first page was computed, at most (P4)
	now       time.Time // and as it told it
	published int
	rows      int
	clean     bool // nothing can have slipped from page to page (P6)
}

// walk reads a list to its end: page-numbered ones side by side, others link by link (P6).
func (e *engine) walk(t *task, s *stream, first harvest.Request, how sight) (walked, error) {
	var w walked
	how.walk = map[uint32]bool{}
	a, err := t.get(call{req: first, stream: s})
	if err != nil {
		return w, err
	}
	w.floor, w.now = a.res.Floor, a.res.Now
	start, incoming, met := a.page.TotalEntries, 0, 0
	rest := pagesAfter(a.page)
	seen, limit := map[string]bool{}, a.page.TotalPages*2+10
	for {
		end, next := a.page.TotalEntries, a.page.Next
		got, err := e.take(s, a, how)
		if err != nil {
			return w, err
		}
		how.walk[uint32(a.res.Number)] = true
		w.published, w.rows, incoming = w.published+got.published, w.rows+len(a.recs()), incoming+got.incoming
		met += len(a.recs()) - got.repeated
		if next == "" {
			rest.to = 0 // the list ends here, whatever its first page said
		}
		how.began = w.floor // what the first page shows was in the list when it began
		rest.ask(t, s, e.cfg.Concurrency)
		if t.pending() == 0 {
			if next == "" {
				// One answer shows one moment. Of several, equal totals may hide one delete and one insert.
				w.clean = len(seen) == 0 && rest.link == nil || end == start+incoming && met >= end
				return w, nil
			}
			if seen[next] || len(seen) > limit {
				return w, &blockError{stream: s, reason: "its links.next go in a circle or never end"}
			}
			seen[next] = true
			t.ask(call{req: harvest.Request{Path: s.Path, Link: next}, stream: s})
		}
		if a, err = t.answer(); err != nil {
			return w, err
		}
	}
}

// numbered are the pages of a page-numbered list that are still to be asked for. Their links are the server's own with another
// number in it.
type numbered struct {
	link     *url.URL
	query    url.Values
	from, to int
}

// pagesAfter returns the pages behind one, none where the list goes by cursor: that is followed link by link.
func pagesAfter(p harvest.Page) *numbered {
	u, err := url.Parse(p.Next)
	if err != nil || p.Next == "" {
		return &numbered{}
	}
	q := u.Query()
	n, err := strconv.Atoi(q.Get("page"))
	if err != nil || q.Has("cursor") {
		return &numbered{}
	}
	return &numbered{link: u, query: q, from: n, to: max(n, p.TotalPages)}
}

// ask keeps as many pages under way as there are workers, no more: what is answered early waits in memory.
func (n *numbered) ask(t *task, s *stream, atOnce int) {
	for ; n.link != nil && n.from <= n.to && t.pending() < atOnce; n.from++ {
		n.query.Set("page", strconv.Itoa(n.from))
		n.link.RawQuery = n.query.Encode()
		t.ask(call{req: harvest.Request{Path: s.Path, Link: n.link.String()}, stream: s})
	}
}

// poll reads what changed since the cursor, or all of a stream that cannot be asked so.
func (e *engine) poll(t *task, s *stream) error {
	switch {
	case s.Read == schema.Single:
		return e.pollObject(t, s)
	case s.whole:
		return e.sweep(t, everything)
	}
	s.fullPoll = time.Now()
	w, err := e.readChanges(t, s)
	if err != nil {
		return err
	}
	if w.published > 0 {
		e.log.Info("published changes", "stream", s.Name, "records", w.published)
	}
	if !w.clean {
		s.slip()
	}
	return e.publish(nil, func() { e.moveCursor(s, w) }, s)
}

// readChanges reads what changed since the cursor; a walk that is not clean is walked again (P6).
func (e *engine) readChanges(t *task, s *stream) (w walked, err error) {
	for range maxWalks {
		w, err = e.walk(t, s, s.query("updated_since", instant(s.ck.Cursor)), sight{cause: byPoll, since: s.ck.Cursor})
		if err != nil || w.clean {
			break
		}
		e.m.unclean.WithLabelValues(s.Name).Inc()
	}
	return w, err
}

// pollObject reads the stream that is one object.
func (e *engine) pollObject(t *task, s *stream) error {
	a, err := t.get(call{req: harvest.Request{Path: s.Path}, shape: object, stream: s})
	if err != nil {
		return err
	}
	_, err = e.take(s, a, sight{cause: byPoll, progress: func(a *answer) {
		s.ck.Cursor = later(s.ck.Cursor, a.res.Floor.Add(-e.cfg.Lookback))
	}})
	return err
}

// moveCursor moves a stream's cursor behind a complete walk (P4). One that lies ahead of all clocks was set when they were wrong:
// nobody can tell what it has passed over since, so the stream is swept.
func (e *engine) moveCursor(s *stream, w walked) {
	next := w.floor.Add(-e.cfg.Lookback)
	if !s.ck.Cursor.After(later(w.now, time.Now())) {
		s.ck.Cursor = later(s.ck.Cursor, next)
		return
	}
	e.log.Error("the cursor is in the future, set by a clock that was wrong: asking from now on, and sweeping", "stream", s.Name, "cursor", s.ck.Cursor)
	s.ck.Cursor = next
	s.slip()
}

// slip makes a sweep due, in the checkpoint: rows may have been passed over (P6). A sweep under way may have passed them already.
func (s *stream) slip() {
	s.ck.Swept = time.Time{}
	s.slips++
}

// later keeps a cursor from going back when the server's clock does.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// quickPoll asks for the last seconds only; it moves no cursor and proves nothing (P4).
func (e *engine) quickPoll(t *task, s *stream) error {
	since := e.serverTime(time.Now()).Add(-max(quickSpan, s.interval+5*time.Second))
	_, err := e.walk(t, s, s.query("updated_since", instant(since)), sight{cause: byPoll, since: since})
	return err
}

// firstRead is the backfill (P10): the whole list, from the anchor on where there is one. Its place rides in the checkpoint of each
// page; the cursor comes from the server's clock at its very beginning (P4), and polls move it on meanwhile. It is not walked again:
// where rows may have slipped from page to page, or nobody saw it from its start to its end, a sweep follows (P6).
func (e *engine) firstRead(t *task, s *stream) error {
	if b := s.ck.Backfill; b.Begun() && b.Link != "" && !e.client.Follows(b.Link) { // HARVEST_BASE_URL was another: begin again
		s.ck.Backfill, s.dirty = &kafka.Backfill{}, true
	}
	began, resumed := time.Now(), s.ck.Backfill.Begun()
	w, err := e.walk(t, s, s.resume(), sight{cause: byBackfill, progress: func(a *answer) { s.advance(a, e.cfg.Lookback) }})
	if resumed && refused(err) { // the stored place is no good any more: begin again
		s.ck.Backfill, s.dirty = &kafka.Backfill{}, true
		return e.firstRead(t, s)
	}
	if err != nil {
		return err
	}
	e.log.Info("first read complete", "stream", s.Name, "rows", w.rows, "took", time.Since(began).Round(time.Millisecond).String())
	for _, child := range s.children {
		child.orphansDue = true
	}
	return e.publish(nil, func() {
		floor := s.ck.Backfill.Floor
		s.ck.Cursor, s.ck.Swept, s.ck.Recent, s.ck.Backfill = later(s.ck.Cursor, floor.Add(-e.cfg.Lookback)), floor, floor, nil
		if !w.clean || resumed {
			s.slip()
		}
	}, s)
}

// resume is the first request of a backfill, or of what an earlier incarnation left of one.
func (s *stream) resume() harvest.Request {
	var filters []string
	if s.anchored() && !s.ck.Anchor.IsZero() {
		filters = []string{"updated_since", instant(s.ck.Anchor)}
	}
	b := s.ck.Backfill
	if b != nil && b.Link != "" {
		return harvest.Request{Path: s.Path, Link: b.Link}
	}
	if b != nil && b.Page > 0 {
		filters = append(filters, "page", strconv.Itoa(b.Page+1))
	}
	return s.query(filters...)
}

// advance moves a backfill's place behind an answer. With the first one it is known from when on polls have to ask.
func (s *stream) advance(a *answer, lookback time.Duration) {
	if !s.ck.Backfill.Begun() {
		s.ck.Backfill = &kafka.Backfill{Floor: a.res.Floor}
		s.ck.Cursor = later(s.ck.Cursor, a.res.Floor.Add(-lookback))
	}
	faultpoint.Pass("kp16")
	b := s.ck.Backfill
	if a.page.Next != "" && pagesAfter(a.page).link == nil {
		b.Link, b.Page = a.page.Next, 0
	} else {
		b.Page++
	}
}

// refused says whether the server did not take the request itself, so that repeating it is of no use.
func refused(err error) bool {
	var h *harvest.Error
	return errors.As(err, &h) && (h.Status == 404 || h.Status == 422 || h.Status == 400)
}

// pollTimers re-reads the running timers, whose hours grow without a word, and by GET those that left that list (P8).
func (e *engine) pollTimers(t *task, s *stream) error {
	first := e.nextRequest()
	_, err := e.walk(t, s, s.query("is_running", "true"), sight{cause: byTimer})
	if err != nil {
		return err
	}
	for _, id := range s.runningUnmet(first) {
		if err := e.confirm(t, s, id, byTimer); err != nil {
			return err
		}
	}
	return nil
}

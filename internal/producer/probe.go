package producer

import (
	"strconv"

	"harveststream/pkg/schema"
)

// A probe asks for one row of a list, for the sake of its total_entries (harvest-api §1.6), and compares that with what the index holds:
// a delete, or a row the polls missed, shows in the count. Where it does, windows of dates are halved until what differs is at most a
// page, and that is swept (P12).

// step is what P12 does about one window.
type step uint8

const (
	agree step = iota // counts are equal: nothing to do
	look              // small enough, or of one day: sweep it
	halve             // probe the first half; the second is the difference
)

// next is P12's decision for a window in which the server counts so many rows and the index so many.
func next(w window, server, indexed, page int) step {
	switch {
	case server == indexed:
		return agree
	case server <= page && indexed <= page, w.from >= w.to:
		return look
	default:
		return halve
	}
}

// split cuts a window in two parts that hold about the same number of the index's rows, at a boundary of days. Without rows to go by
// it cuts in the middle.
func split(w window, days []int32, rows map[int32]int) (first, second window) {
	total, inside := 0, days[:0:0]
	for _, d := range days {
		if w.from <= d && d <= w.to {
			inside = append(inside, d)
			total += rows[d]
		}
	}
	mid := w.from + (w.to-w.from)/2
	half := 0
	for _, d := range inside {
		if half += rows[d]; half*2 >= total {
			mid = d
			break
		}
	}
	mid = min(max(mid, w.from), w.to-1)
	return window{from: w.from, to: mid}, window{from: mid + 1, to: w.to}
}

// farFuture is the end of the days a probe asks about: planned time reaches a few years ahead, not a hundred.
const (
	farPast   = int32(-25567) // 1900-01-01
	farFuture = int32(84006)  // 2200-01-01
)

// probe compares a list's total with the index. It returns whether they agree.
func (e *engine) probe(t *task, s *stream) (bool, error) {
	n, err := e.total(t, s, everything)
	if err != nil {
		return false, err
	}
	e.m.probes.WithLabelValues(s.Name).Inc()
	s.excess = n - s.index.counted
	if s.excess == 0 {
		s.excused = 0 // it went away: the same difference is another one now
	}
	return s.excess == s.excused, nil
}

// probeAndMend is P12: a difference, one more poll, still a difference: found and mended.
func (e *engine) probeAndMend(t *task, s *stream) error {
	ok, err := e.probe(t, s)
	if err != nil || ok {
		return err
	}
	if err := e.poll(t, s); err != nil {
		return err
	}
	if ok, err = e.probe(t, s); err != nil || ok {
		return err
	}
	return e.reconcile(t, s)
}

// total asks how many rows a window of the mirror has now.
func (e *engine) total(t *task, s *stream, w window) (int, error) {
	var filters []string
	if s.anchored() && !s.ck.Anchor.IsZero() {
		filters = append(filters, "updated_since", instant(s.ck.Anchor))
	}
	req := s.windowQuery(w, filters...)
	req.Query.Set("per_page", strconv.Itoa(1))
	a, err := t.get(call{req: req, shape: count, stream: s})
	if err != nil {
		return 0, err
	}
	return a.page.TotalEntries, nil
}

// reconcile finds and mends what a probe saw. A difference that a search does not mend (a server that counts what it does not list, a
// stopped sweep) is left alone until it changes, or the next sweep.
func (e *engine) reconcile(t *task, s *stream) error {
	s.tooSoon = false
	if err := e.search(t, s); err != nil {
		return err
	}
	ok, err := e.probe(t, s)
	if err == nil && !ok && !s.tooSoon {
		e.log.Warn("the list's total differs from the rows it shows; looking again when that changes, or at the next sweep",
			"stream", s.Name, "total", s.index.counted+s.excess, "known", s.index.counted)
		s.excused = s.excess
	}
	return err
}

// search sweeps all where the list has no dates, else halves (P12).
func (e *engine) search(t *task, s *stream) error {
	if s.Dates == "" {
		return e.sweep(t, everything)
	}
	whole, err := e.total(t, s, everything)
	if err != nil || whole == s.index.counted {
		return err
	}
	if max(whole, s.index.counted) <= s.pageSize {
		return e.sweep(t, everything) // one page anyway
	}
	dated := window{from: farPast, to: farFuture}
	n, err := e.total(t, s, dated)
	if err != nil {
		return err
	}
	undated := whole - n
	if err := e.narrow(t, s, dated, n); err != nil {
		return err
	}
	if undated != s.index.counted-s.index.within(dated) {
		return e.sweep(t, everything) // no window explains it: rows without a date
	}
	return nil
}

// narrow follows a difference down to windows of at most a page and sweeps those. The second half's total follows from the first's, so
// one row among ten million costs some twenty requests.
func (e *engine) narrow(t *task, s *stream, w window, server int) error {
	switch next(w, server, s.index.within(w), s.pageSize) {
	case agree:
		return nil
	case look:
		return e.sweep(t, w)
	}
	first, second := split(w, s.index.dayList(), s.index.days)
	n, err := e.total(t, s, first)
	if err != nil {
		return err
	}
	if err := e.narrow(t, s, first, n); err != nil {
		return err
	}
	return e.narrow(t, s, second, server-n)
}

// probed says whether counts say anything about a stream: lists, not single objects and not children.
func (s *stream) probed() bool { return s.Read == schema.Changes || s.Read == schema.Whole }

package harvesttest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limits hold the arrivals of the two buckets (harvest-api 1.5).
type limits struct {
	general int
	recent  []time.Time // admitted general requests of the last 15 s
	reports []time.Time // of the last 15 min
}

const (
	generalWindow = 15 * time.Second
	reportWindow  = 15 * time.Minute
)

// throttle counts a request, or refuses it with a 429. Refused requests do not count.
func (s *Sim) throttle(q *req) *answer {
	times, limit, window := &s.limits.recent, s.limits.general, generalWindow
	if q.segs[0] == "reports" {
		times, limit, window = &s.limits.reports, s.opts.ReportLimit, reportWindow
	}
	if limit <= 0 {
		return nil
	}
	start := q.now.Add(-window)
	if s.opts.FixedWindow {
		start = q.now.Truncate(window).Add(-1)
	}
	for len(*times) > 0 && !(*times)[0].After(start) {
		*times = (*times)[1:]
	}
	if len(*times) < limit {
		*times = append(*times, q.now)
		return nil
	}
	free := (*times)[len(*times)-limit].Add(window)
	if s.opts.FixedWindow {
		free = q.now.Truncate(window).Add(window)
	}
	return tooMany(s.opts.Throttle, q.now, free.Sub(q.now))
}

// tooMany is a 429 in one of its forms.
func tooMany(form Throttle, now time.Time, wait time.Duration) *answer {
	seconds := int((wait + time.Second - 1) / time.Second)
	a := jsonAnswer(http.StatusTooManyRequests, "")
	a.header.Set("Content-Type", "text/html")
	switch form {
	case RetryHeader:
		a.header.Set("Retry-After", strconv.Itoa(seconds))
	case RetryDate:
		a.header.Set("Retry-After", now.Add(wait+time.Second-1).UTC().Format(http.TimeFormat))
	case RetryJunk:
		a.header.Set("Retry-After", "abc")
	case RetryBody:
		a.header.Set("Content-Type", "application/json")
		a.body = []byte(fmt.Sprintf(`{"message":"This request has been throttled.","retry_after":%d}`, seconds))
	}
	return a
}

// SetLimit changes the requests per 15 s, without notice.
func (s *Sim) SetLimit(n int) {
	s.enter()
	defer s.mu.Unlock()
	s.limits.general = n
}

func (s *Sim) logRequest(q *req, a *answer, struck []*fault) {
	if s.opts.NoRequests {
		return
	}
	segs := make([]string, len(q.segs))
	for i, seg := range q.segs {
		segs[i] = seg
		if isID(seg) {
			segs[i] = "*"
		}
	}
	l := RequestLog{At: q.now, Method: q.r.Method, Path: strings.Join(segs, "/"), Full: q.path, Query: q.r.URL.RawQuery, Status: a.status, Rows: a.rows,
		Account: q.r.Header.Get("Harvest-Account-Id")}
	for _, f := range struck {
		l.Fault = f.Do
	}
	s.requests = append(s.requests, l)
}

// Requests are all requests so far, in the order of their arrival.
func (s *Sim) Requests() []RequestLog {
	s.enter()
	defer s.mu.Unlock()
	return append([]RequestLog(nil), s.requests...)
}

// ResetRequests forgets them.
func (s *Sim) ResetRequests() {
	s.enter()
	defer s.mu.Unlock()
	s.requests = nil
}

// WorstWindow is the largest number of general requests (reports count apart) that arrived within any half-open span of d.
func (s *Sim) WorstWindow(d time.Duration) int {
	s.enter()
	defer s.mu.Unlock()
	var times []time.Time
	for _, l := range s.requests {
		if !strings.HasPrefix(l.Path, "reports/") {
			times = append(times, l.At)
		}
	}
	worst, first := 0, 0
	for i, at := range times {
		for at.Sub(times[first]) >= d {
			first++
		}
		worst = max(worst, i-first+1)
	}
	return worst
}

func isID(seg string) bool {
	return seg != "" && strings.Trim(seg, "0123456789") == ""
}

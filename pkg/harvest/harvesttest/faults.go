package harvesttest

import (
	"net/http"
	"path"
	"strings"
	"time"
)

// Do is what a fault does to an answer.
type Do uint8

// What faults do. The parameters they use are in brackets.
const (
	DoNothing  Do = iota
	DoStatus      // [Status, Header, Body] instead of the answer; without Body an HTML page
	DoBody        // [Header, Body] with status 200 instead of the answer
	DoCut         // the body ends after Bytes (negative: before the last -Bytes), though Content-Length says more
	DoDrop        // the connection breaks before an answer; the request was carried out
	DoSlow        // computed when asked, delivered Delay later
	DoHang        // no answer until the client gives up
	DoThrottle    // 429 in the form Throttle, Retry-After [Delay]
	DoEmpty       // 200 with an empty list
	DoLink        // links.next becomes Link; "": null; "self": the page itself again
	DoLag         // answered from the state of Delay ago
	DoDate        // Date is Delay off
	DoNoDate      // no Date header
	DoHeader      // [Header] added to the answer
	DoRewrite     // the body becomes Rewrite(body), which must not change its argument
	DoUnknown     // every object has an unknown field more
	DoShuffle     // arrays inside the objects come in another order
)

// Fault is a scripted fault. It strikes requests that match, from the Nth on, Count times, each with Probability.
type Fault struct {
	Match       string    // path below the base URL with * for one segment: "time_entries", "invoices/*/messages"; "" is every path
	Query       string    // must occur in the raw query
	Method      string    // "" is every method
	Nth         int       // the first matching request to strike, from 1 (0 is 1)
	Count       int       // how many to strike; 0 is all
	Probability float64   // 0 is always
	From, Until time.Time // zero: unbounded

	Do       Do
	Status   int
	Header   http.Header
	Body     string
	Bytes    int
	Delay    time.Duration
	Link     string
	Throttle Throttle
	Rewrite  func([]byte) []byte
}

type fault struct {
	Fault
	met, struck int
}

// Fault scripts a fault; the returned function takes it out and says how often it struck.
func (s *Sim) Fault(f Fault) (remove func() int) {
	s.enter()
	defer s.mu.Unlock()
	armed := &fault{Fault: f}
	s.faults = append(s.faults, armed)
	return func() int {
		s.enter()
		defer s.mu.Unlock()
		for i, g := range s.faults {
			if g == armed {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return armed.struck
	}
}

// strike is the faults that this request meets, in the order they were scripted.
func (s *Sim) strike(q *req) []*fault {
	var struck []*fault
	for _, f := range s.faults {
		if f.Match != "" {
			if ok, _ := path.Match(f.Match, q.path); !ok {
				continue
			}
		}
		if f.Method != "" && f.Method != q.r.Method || !strings.Contains(q.r.URL.RawQuery, f.Query) ||
			!f.From.IsZero() && q.now.Before(f.From) || !f.Until.IsZero() && !q.now.Before(f.Until) {
			continue
		}
		f.met++
		if f.met < f.Nth || f.Count > 0 && f.struck >= f.Count || f.Probability > 0 && s.faultRng.Float64() >= f.Probability {
			continue
		}
		f.struck++
		struck = append(struck, f)
	}
	return struck
}

// before changes what the answer is computed from.
func (f *fault) before(q *req) {
	switch f.Do {
	case DoLag:
		q.view = q.s.past(q.now.Add(-f.Delay))
	case DoUnknown:
		q.view.unknown = true
	case DoShuffle:
		q.view.shuffle = true
	case DoLink:
		q.link = &f.Link
	case DoEmpty:
		q.empty = true
	}
}

// after changes the answer.
func (f *fault) after(q *req, a *answer) {
	switch f.Do {
	case DoStatus, DoBody, DoThrottle:
		f.replace(q, a)
	case DoCut:
		n := f.Bytes
		if n < 0 {
			n += len(a.body)
		}
		a.body, a.cut = a.body[:max(0, min(n, len(a.body)))], true
	case DoDrop:
		a.drop = true
	case DoSlow:
		a.delay += f.Delay
	case DoHang:
		a.hang = true
	case DoDate:
		a.header.Set("Date", q.now.Add(f.Delay).UTC().Format(http.TimeFormat))
	case DoNoDate:
		a.header.Del("Date")
	case DoHeader:
		f.addHeader(a)
	case DoRewrite:
		a.body = f.Rewrite(a.body)
		a.length = len(a.body)
	}
}

func (f *fault) replace(q *req, a *answer) {
	status, date := f.Status, a.header.Get("Date")
	if f.Do == DoBody || status == 0 {
		status = http.StatusOK
	}
	b := page(status)
	switch {
	case f.Do == DoThrottle:
		b = tooMany(f.Throttle, q.now, f.Delay)
	case f.Body != "" || f.Do == DoBody:
		b = jsonAnswer(status, f.Body)
		b.header.Set("Content-Type", "application/json; charset=utf-8")
	}
	b.header.Set("Date", date)
	f.addHeader(b)
	b.length = len(b.body)
	*a = *b
}

func (f *fault) addHeader(a *answer) {
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
}

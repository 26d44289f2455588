package harvesttest

import (
	"net/http"
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
	DoDrop        // the connection breaks before an answer
	DoSlow        // computed when asked, delivered Delay later
	DoHang        // no answer until the client gives up
	DoThrottle    // 429 in the form Throttle, Retry-After [Delay]
	DoEmpty       // 200 with an empty list
	DoLink        // links.next becomes Link; "": null; "self": the page itself again
	DoLag         // answered from the state of Delay ago
	DoDate        // Date is Delay off
	DoNoDate      // no Date header
	DoHeader      // [Header] added to the answer
	DoRewrite     // the body becomes Rewrite(body)
	DoUnknown     // every object has an unknown field more
	DoShuffle     // arrays inside the objects come in another order
)

// Fault is a scripted fault. It strikes requests that match, from the Nth on, Count times, each with Probability.
type Fault struct {
	Match       string // path below the base URL with * for one segment: "time_entries", "invoices/*/messages"; "" is every path
	Query       string // must occur in the raw query
	Method      string // "" is every method
	Nth         int    // the first matching request to strike, from 1 (0 is 1)
	Count       int    // how many to strike; 0 is all
	Probability float64
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

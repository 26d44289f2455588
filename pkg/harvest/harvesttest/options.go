package harvesttest

import (
	"net/http"
	"time"

	"harveststream/pkg/schema"
)

// Role is what the token's user may see (harvest-api 4.10).
type Role uint8

// The roles a token can have. A Manager sees managed projects and what belongs to them, a Member its own time and expenses.
const (
	Administrator Role = iota
	Manager
	Member
)

// Off is how a module that is switched off answers; which of them is real is unverified.
type Off uint8

// The answers of a module that is off.
const (
	OffForbidden Off = iota // 403
	OffNotFound             // 404
	OffEmpty                // 200 with an empty list
)

// Numbers is how decimals are written; both styles were seen (harvest-api 4.6).
type Numbers uint8

// The number styles. Mixed alternates between the two by row, the same row always alike.
const (
	Points Numbers = iota // 5.0
	Bare                  // 5
	Mixed
)

// Throttle is the form of a 429 (harvest-api 1.5).
type Throttle uint8

// The forms of a 429.
const (
	RetryHeader  Throttle = iota // Retry-After with whole seconds, as documented
	RetryNothing                 // empty text/html body, no header, as recorded
	RetryBody                    // JSON body with retry_after, no header
	RetryDate                    // Retry-After with an HTTP date
	RetryJunk                    // Retry-After that means nothing
)

// Silent names changes that leave updated_at alone; the documentation is silent about them, so each can be set.
type Silent uint16

// The changes that can be silent.
const (
	SilentStop       Silent = 1 << iota // stopping a timer
	SilentUnpay                         // deleting a payment or a message: the invoice or estimate stays
	SilentFree                          // time and expenses freed by the deletion of their invoice
	SilentMembership                    // who holds a role
	SilentEvent                         // event messages (close, re-open, view): the parent stays
	SilentProject                       // creating a project: the client stays
	SilentRate                          // adding a rate: the user stays
)

// Sizes are the numbers of rows seeded. Zero means the default in brackets, negative none. Assignments, messages,
// payments, rates and contacts follow from their parents.
type Sizes struct {
	Users, Clients, Projects, Tasks int // (24, 40, 120, 16)
	Invoices, Estimates, Expenses   int // (400, 80, 900)
	TimeEntries                     int // (20,000)
}

// Options describe the account and the server. The zero value is an administrator's view of the default account.
type Options struct {
	Seed    uint64
	Account int64  // 482913 when zero
	Token   string // "test-token" when empty
	Now     func() time.Time
	Sizes   Sizes
	Extra   []*schema.Stream // more streams than the 21: rows are made up from their schemas
	History time.Duration    // how far back the seeded past goes (300 days)

	Limit       int           // requests per 15 s; 0 is off
	ReportLimit int           // requests per 15 min to reports; 0 is off
	FixedWindow bool          // the limit counts in fixed windows of 15 s instead of a sliding one
	Throttle    Throttle      // form of a 429
	Latency     Latency       // of the RoundTripper; nil is none
	Stale       time.Duration // age of total_entries and total_pages; 0 is of the moment

	Role       Role
	Rights     []string // of a manager, beside "manager": "billable_rates_manager", "client_and_task_manager", …
	Hidden     int      // status of a GET by id of a row the token may not see: 404 (default) or 403
	NullRates  bool     // rates the role may not see are null instead of missing
	OffAnswer  Off      // answer of modules that are off
	DeleteBody bool     // DELETE answers with the deleted object (recorded in 2019) instead of nothing

	Numbers     Numbers
	After       bool   // updated_since means later than, instead of not earlier than
	LinkAlias   bool   // links use /api/v2 instead of /v2
	Timestamps  bool   // the company tracks start and end times (wants_timestamp_timers)
	Clock12     bool   // times of day as 8:00am
	Silent      Silent // which open questions are answered with silence
	Gzip        bool   // compress for clients that accept it
	NoVersions  bool   // keep no truth history: Versions, WasVisible and lagging replicas see the present only
	NoRequests  bool   // keep no request log
	CacheBytes  int    // bound of the cache of whole answers (64 MiB; negative is off)
	BaseURL     string // what links begin with; by default the origin asked, plus /v2
	RoundingMin int    // minutes to which rounded_hours rounds up (15)
}

// Latency splits the time a request takes into the way there and the way back; the answer is computed in between.
type Latency func(*http.Request) (there, back time.Duration)

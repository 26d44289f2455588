package harvesttest

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// Sim is a simulated account and the server in front of it. All methods may be used concurrently.
type Sim struct{}

// New seeds an account.
func New(o Options) *Sim { panic("stub") }

// ServeHTTP answers one request; mount it at / (it knows /v2, /api/v2 and /api/v2/accounts).
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("stub") }

// RoundTripper calls the simulator without sockets, after Options.Latency.
func (s *Sim) RoundTripper() http.RoundTripper { panic("stub") }

// Create adds a row as POST would and returns its id. parent is the id in the path of child streams, else 0.
func (s *Sim) Create(stream string, parent int64, f Fields) (int64, error) { panic("stub") }

// Update changes a row as PATCH would: updated_at becomes now.
func (s *Sim) Update(stream string, id int64, f Fields) error { panic("stub") }

// Touch changes a row without touching updated_at (a derived value, a vendor's repair).
func (s *Sim) Touch(stream string, id int64, f Fields) error { panic("stub") }

// SetUpdated sets updated_at, to the future too.
func (s *Sim) SetUpdated(stream string, id int64, at time.Time) error { panic("stub") }

// Delete removes a row with its cascade, or refuses with a *Refusal (422) as the API guards it.
func (s *Sim) Delete(stream string, id int64) error { panic("stub") }

// Rename gives a row another name (number of an invoice or estimate).
func (s *Sim) Rename(stream string, id int64, name string) error { panic("stub") }

// Archive and Activate set is_active.
func (s *Sim) Archive(stream string, id int64) error  { panic("stub") }
func (s *Sim) Activate(stream string, id int64) error { panic("stub") }

// StartTimer starts a new running entry of a user and stops the one that ran; its id.
func (s *Sim) StartTimer(user int64) (int64, error) { panic("stub") }

// StopTimer stops the user's running entry; its id.
func (s *Sim) StopTimer(user int64) (int64, error) { panic("stub") }

// RecordPayment pays amount of an invoice (0: all that is due); the payment's id.
func (s *Sim) RecordPayment(invoice int64, amount float64) (int64, error) { panic("stub") }

// Send mails an invoice or estimate: a message, sent_at, updated_at, state.
func (s *Sim) Send(stream string, id int64) (int64, error) { panic("stub") }

// InvoiceTime makes an invoice of a client's unbilled time: entries and client move too.
func (s *Sim) InvoiceTime(client int64) (int64, error) { panic("stub") }

// AddRate adds a rate (user_billable_rates or user_cost_rates): ends the one before; without a start, or with an earlier one, replaces later ones.
func (s *Sim) AddRate(stream string, user int64, amount float64, start string) (int64, error) {
	panic("stub")
}

// Approve approves every entry and expense of the days from..to (YYYY-MM-DD) in one second; how many.
func (s *Sim) Approve(from, to string) int { panic("stub") }

// Restore is the vendor's restore: rows are as they were at that moment, updated_at included; deleted ones return. It
// returns how many rows changed. No ids: the whole stream.
func (s *Sim) Restore(stream string, at time.Time, ids ...int64) int { panic("stub") }

// ChangeRole changes what the token may see, at once.
func (s *Sim) ChangeRole(r Role, rights ...string) { panic("stub") }

// Manage adds or takes a project from the token's user's managed ones.
func (s *Sim) Manage(project int64, on bool) error { panic("stub") }

// SwitchModule switches invoice_feature, estimate_feature, expense_feature, team_feature or approval_feature.
func (s *Sim) SwitchModule(feature string, on bool) { panic("stub") }

// SetToken replaces the valid token: the old one gets 401.
func (s *Sim) SetToken(token string) { panic("stub") }

// SetLimit changes the requests per 15 s, without notice.
func (s *Sim) SetLimit(n int) { panic("stub") }

// SetLate makes a share of the following changes visible only after a delay drawn from (0, most]; they keep the stamp
// of the moment they were made.
func (s *Sim) SetLate(share float64, most time.Duration) { panic("stub") }

// Step makes one random change of any kind and describes it.
func (s *Sim) Step(rng *rand.Rand) string { panic("stub") }

// Live makes one believable everyday change and describes it.
func (s *Sim) Live(rng *rand.Rand) string { panic("stub") }

// Streams are the names of all streams in the order they are served, parents before children.
func (s *Sim) Streams() []string { panic("stub") }

// Truth is what an administrator would be shown of a stream now, ordered by id.
func (s *Sim) Truth(stream string) []Object { panic("stub") }

// TruthAt is Truth as it was at a moment.
func (s *Sim) TruthAt(stream string, at time.Time) []Object { panic("stub") }

// Object is one row as an administrator would be shown it now.
func (s *Sim) Object(stream string, id int64) (Object, bool) { panic("stub") }

// Count is the number of rows of a stream.
func (s *Sim) Count(stream string) int { panic("stub") }

// IDs are the ids of a stream, ascending.
func (s *Sim) IDs(stream string) []int64 { panic("stub") }

// Versions are all contents an object ever had, oldest first, embedded names included.
func (s *Sim) Versions(stream string, id int64) []Version { panic("stub") }

// WasVisible says whether an administrator could ever have been shown this object.
func (s *Sim) WasVisible(stream string, id int64, object []byte) bool { panic("stub") }

// Requests are all requests so far.
func (s *Sim) Requests() []RequestLog { panic("stub") }

// ResetRequests forgets them.
func (s *Sim) ResetRequests() { panic("stub") }

// WorstWindow is the largest number of requests that arrived within any span of d.
func (s *Sim) WorstWindow(d time.Duration) int { panic("stub") }

// Fault scripts a fault; the returned function takes it out and says how often it struck.
func (s *Sim) Fault(f Fault) (remove func() int) { panic("stub") }

// Refusal is a change the API would refuse.
type Refusal struct {
	Status  int
	Message string
}

// Error is the message of the API.
func (e *Refusal) Error() string { return e.Message }

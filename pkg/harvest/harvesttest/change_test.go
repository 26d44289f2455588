package harvesttest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// What moves updated_at, and what does not (harvest-api 4.3).
func TestWhatMovesUpdatedAt(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	updated := func(stream string, id int64) string { return w.object(stream, id)["updated_at"].(string) }
	client, project, user := w.IDs("clients")[1], w.IDs("projects")[1], w.IDs("users")[1]
	invoice, estimate := w.made("invoices", 0, harvesttest.Fields{"client_id": client, "amount": 100}), w.IDs("estimates")[1]
	entry := w.IDs("time_entries")[5]
	for _, c := range []struct {
		name   string
		do     func() error
		stream string
		id     int64
		moves  bool
	}{
		{"contact moves client", func() error { _, err := w.Create("contacts", 0, harvesttest.Fields{"client_id": client}); return err }, "clients", client, true},
		{"project moves client", func() error { _, err := w.Create("projects", 0, harvesttest.Fields{"client_id": client}); return err }, "clients", client, true},
		{"invoice leaves client", func() error { _, err := w.Create("invoices", 0, harvesttest.Fields{"client_id": client}); return err }, "clients", client, false},
		{"time invoiced moves client", func() error { _, err := w.InvoiceTime(client); return err }, "clients", client, true},
		{"time leaves project", func() error {
			_, err := w.Create("time_entries", 0, harvesttest.Fields{"project_id": project, "task_id": w.IDs("tasks")[0], "hours": 2})
			return err
		}, "projects", project, false},
		{"mail moves invoice", func() error { _, err := w.Send("invoices", invoice); return err }, "invoices", invoice, true},
		{"payment moves invoice", func() error { _, err := w.RecordPayment(invoice, 0); return err }, "invoices", invoice, true},
		{"mail moves estimate", func() error { _, err := w.Send("estimates", estimate); return err }, "estimates", estimate, true},
		{"rename leaves the embedding", func() error {
			return w.Rename("users", id(w.object("time_entries", entry)["user"].(object)), "Renamed")
		}, "time_entries", entry, false},
		{"rate moves user", func() error { _, err := w.AddRate("user_cost_rates", user, 50, ""); return err }, "users", user, true},
		{"touch", func() error { return w.Touch("projects", project, harvesttest.Fields{"budget": 3}) }, "projects", project, false},
		{"approval", func() error { w.Approve("1990-01-01", "2099-01-01"); return nil }, "expenses", unapproved(w), true},
	} {
		w.clock.pass(time.Minute)
		before := updated(c.stream, c.id)
		w.must(c.do())
		got := updated(c.stream, c.id)
		same(t, c.name, got != before, c.moves)
		same(t, c.name+" stamp", got == w.clock.stamp(), c.moves)
	}
	same(t, "embedded name", w.object("time_entries", entry)["user"].(object)["name"].(string), "User Renamed")
}

// Invoicing tracked time moves the entries it takes, to the second of the invoice (harvest-api 4.3).
func TestInvoicedTimeMoves(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	w.clock.pass(time.Minute)
	invoice, err := w.InvoiceTime(w.IDs("clients")[1])
	w.must(err)
	taken := 0
	for _, o := range w.walk("time_entries?updated_since=" + w.clock.stamp()) {
		if inv, ok := o["invoice"].(object); ok && id(inv) == invoice {
			taken++
		}
	}
	same(t, "taken", taken > 0 && w.object("invoices", invoice)["amount"].(float64) > 0, true)
}

func unapproved(w *world) int64 {
	for _, o := range w.Truth("expenses") {
		if decode(w.t, o.JSON)["approval_status"] != "approved" {
			return o.ID
		}
	}
	return 0
}

func TestPaymentsAndMessages(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{Silent: harvesttest.SilentUnpay})
	invoice := w.made("invoices", 0, harvesttest.Fields{"client_id": w.IDs("clients")[0], "tax": 20, "discount": 10, "line_items": []harvesttest.Fields{
		{"kind": "Service", "quantity": 10, "unit_price": 110}}})
	o := w.object("invoices", invoice)
	same(t, "amount", words(o["amount"], o["tax_amount"], o["discount_amount"], o["due_amount"], o["state"]), "1188 198 110 1188 draft")
	_, err := w.Send("invoices", invoice)
	w.must(err)
	sent := w.object("invoices", invoice)
	same(t, "sent", words(sent["state"], sent["sent_at"] == w.clock.stamp()), "open true")
	w.clock.pass(time.Minute)
	payment, err := w.RecordPayment(invoice, 1188)
	w.must(err)
	o = w.object("invoices", invoice)
	same(t, "paid", words(o["due_amount"], o["state"], o["paid_date"], o["paid_at"], o["updated_at"] == w.clock.stamp()), "0 paid 2026-05-04 2026-05-04T00:00:00Z true")
	w.clock.pass(time.Minute)
	w.must(w.Delete("invoice_payments", payment))
	after := w.object("invoices", invoice)
	same(t, "due again", words(after["due_amount"], after["state"]), "1188 open")
	same(t, "in silence", after["updated_at"] == o["updated_at"], true)
	for event, state := range map[string]string{"close": "closed", "draft": "draft"} {
		w.made("invoice_messages", invoice, harvesttest.Fields{"event_type": event})
		same(t, event, w.object("invoices", invoice)["state"].(string), state)
	}
}

// Guards refuse with 422; cascades leave nothing (harvest-api 4.1).
func TestDeletes(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	entry := w.object("time_entries", w.IDs("time_entries")[3])
	for _, stream := range []string{"user", "task", "user_assignment", "task_assignment"} {
		var refusal *harvesttest.Refusal
		err := w.Delete(stream+"s", id(entry[stream].(object)))
		same(t, stream, errors.As(err, &refusal) && refusal.Status == 422, true)
	}
	project := id(entry["project"].(object))
	count := func(stream, parent string, of int64) (n int) {
		for _, o := range w.Truth(stream) {
			if p, ok := decode(t, o.JSON)[parent].(object); ok && id(p) == of || o.ParentID == of {
				n++
			}
		}
		return n
	}
	entries := w.Count("time_entries") - count("time_entries", "project", project)
	w.must(w.Delete("projects", project))
	same(t, "entries left", w.Count("time_entries"), entries)
	for _, stream := range []string{"time_entries", "expenses", "user_assignments", "task_assignments"} {
		same(t, stream, count(stream, "project", project), 0)
	}
	var invoice int64
	for _, o := range w.Truth("time_entries") {
		if inv, ok := decode(t, o.JSON)["invoice"].(object); ok {
			invoice = id(inv)
			break
		}
	}
	w.must(w.Delete("invoices", invoice))
	same(t, "messages", count("invoice_messages", "", invoice)+count("invoice_payments", "", invoice), 0)
	same(t, "freed", count("time_entries", "invoice", invoice), 0)
	same(t, "get", w.send("GET", fmt.Sprint("invoices/", invoice), "").status, 404)
	same(t, "children", w.send("GET", fmt.Sprintf("invoices/%d/messages", invoice), "").status, 404)
}

// A new rate ends the one before; one without a start replaces them all (harvest-api 2.20).
func TestRates(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	user := w.IDs("users")[2]
	path := fmt.Sprintf("users/%d/billable_rates", user)
	old := w.walk(path)
	w.clock.pass(time.Minute)
	second, err := w.AddRate("user_billable_rates", user, 77, "2030-01-01")
	w.must(err)
	rates := w.walk(path)
	same(t, "rates", len(rates), len(old)+1)
	same(t, "ended", rates[len(old)-1]["end_date"].(string), "2029-12-31")
	same(t, "moved", rates[len(old)-1]["updated_at"].(string), w.clock.stamp())
	same(t, "user's", w.object("users", user)["default_hourly_rate"].(float64), 77)
	third, err := w.AddRate("user_billable_rates", user, 80, "")
	w.must(err)
	rates = w.walk(path)
	same(t, "replaced", len(rates), 1)
	same(t, "by", id(rates[0]), third)
	same(t, "gone", w.send("GET", fmt.Sprintf("%s/%d", path, second), "").status, 404)
}

// Hours grow with the clock and nothing else moves; one timer a user; a stop may be silent (P8).
func TestTimers(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		o := harvesttest.Options{}
		if silent {
			o.Silent = harvesttest.SilentStop
		}
		w := setup(t, o)
		user := w.IDs("users")[1]
		first, err := w.StartTimer(user)
		w.must(err)
		start := w.object("time_entries", first)
		same(t, "running", words(start["is_running"], start["hours"], start["timer_started_at"] == w.clock.stamp()), "true 0 true")
		w.clock.pass(90 * time.Minute)
		grown := w.object("time_entries", first)
		same(t, "grown", words(grown["hours"], grown["hours_without_timer"], grown["rounded_hours"], grown["updated_at"] == start["updated_at"]), "1.5 0 1.5 true")
		same(t, "not found by time", w.list("time_entries?updated_since="+w.clock.ago(time.Minute)).Total, 0)
		shown := w.list(fmt.Sprintf("time_entries?is_running=true&user_id=%d", user))
		same(t, "found as running", len(shown.rows), 1)
		same(t, "not from a cache", shown.rows[0]["hours"].(float64), 1.5)
		w.clock.pass(36 * time.Second)
		same(t, "a hundredth more", w.list(fmt.Sprintf("time_entries?is_running=true&user_id=%d", user)).rows[0]["hours"].(float64), 1.51)
		second, err := w.StartTimer(user)
		w.must(err)
		same(t, "the other stopped", words(w.object("time_entries", first)["is_running"], w.object("time_entries", first)["updated_at"] == w.clock.stamp()), "false true")
		w.clock.pass(time.Hour)
		stopped, err := w.StopTimer(user)
		w.must(err)
		same(t, "stopped", stopped, second)
		same(t, "hours", w.object("time_entries", second)["hours"].(float64), 1)
		same(t, "moved", w.object("time_entries", second)["updated_at"] == w.clock.stamp(), !silent)
		same(t, "restart", w.send("PATCH", fmt.Sprintf("time_entries/%d/restart", second), "").status, 200)
		same(t, "again", w.send("PATCH", fmt.Sprintf("time_entries/%d/restart", second), "").status, 422)
		w.clock.pass(time.Hour)
		same(t, "continued", w.object("time_entries", second)["hours"].(float64), 2)
		same(t, "stop", w.send("PATCH", fmt.Sprintf("time_entries/%d/stop", second), "").status, 200)
	}
}

func TestClockForms(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{Timestamps: true, Clock12: true})
	entry := w.made("time_entries", 0, harvesttest.Fields{"project_id": w.IDs("projects")[0], "task_id": w.IDs("tasks")[0], "hours": 1.35})
	o := w.object("time_entries", entry)
	same(t, "times", words(o["started_time"], o["ended_time"], o["rounded_hours"]), "10:20am 11:41am 1.5")
	timer, err := w.StartTimer(w.Me())
	w.must(err)
	o = w.object("time_entries", timer)
	same(t, "running", words(o["ended_time"], o["timer_started_at"], o["is_running"]), "<nil> <nil> true")
}

// Values of the wrong type, unknown fields, missing ids (P14) are part of the truth, with or without a new updated_at.
func TestRaw(t *testing.T) {
	t.Parallel()
	w := setup(t, harvesttest.Options{})
	entry := w.IDs("time_entries")[9]
	w.must(w.Touch("time_entries", entry, harvesttest.Fields{"hours": harvesttest.Raw(`"many"`), "spent_date": harvesttest.Raw(`{"a":1}`), "new": harvesttest.Raw(`[1]`),
		"id": harvesttest.Raw(""), "client": harvesttest.Raw("7")}))
	o := w.object("time_entries", entry)
	_, hasID := o["id"]
	same(t, "raw", words(o["hours"], o["spent_date"], o["new"], o["client"], hasID), "many map[a:1] [1] 7 false")
	w.must(w.Touch("time_entries", entry, harvesttest.Fields{"hours": 2}))
	same(t, "mended", w.object("time_entries", entry)["hours"].(float64), 2)
}

package producer_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// hooked calls a hook before each request to Harvest.
type hooked struct {
	http.RoundTripper
	before func(*http.Request)
}

func (h hooked) RoundTrip(r *http.Request) (*http.Response, error) {
	h.before(r)
	return h.RoundTripper.RoundTrip(r)
}

// with is a producer with other dependencies than the usual ones.
func (w *world) with(change func(*producer.Config, *producer.Deps), more ...string) *producer.Producer {
	w.t.Helper()
	cfg := w.config(more...)
	deps := producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger()}
	change(&cfg, &deps)
	p, err := producer.New(cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// latest is the last record of a key.
func (w *world) latest(stream string, id int64) (last published, found bool) {
	w.t.Helper()
	for _, p := range w.topic(stream) {
		if p.id == id {
			last, found = p, true
		}
	}
	return last, found
}

// must ends a test whose scenery could not be set up.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// P1: an answer lost at any write of a new start, the sentinel's commit among them, is no take-over: the service begins again.
func TestP1OwnSentinelOfUnknownOutcome(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 101}, func(w *world) {
		n := &cut{dial: w.net.DialContext, writes: -1}
		p := w.with(func(c *producer.Config, _ *producer.Deps) { c.Kafka.Dial = n.Dial })
		stop, ended := w.background(p)
		pass(time.Minute)
		for at := 1; at <= 45; at++ {
			n.tear()
			pass(25 * time.Second) // the incarnation ends
			n.mend()
			n.tearAt(at, true)
			pass(20 * time.Second)
			n.mend()
			pass(15 * time.Second)
			select {
			case err := <-ended:
				t.Fatalf("write %d of a start was delivered, its answer lost: the service ended with %v", at, err)
			default:
			}
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal()
	})
}

// P1: a start that takes long shows signs of life, so that a second instance goes on standing by.
func TestP1LongStartShowsLife(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 102}, func(w *world) {
		slow := w.sim.Fault(harvesttest.Fault{Match: "company", Do: harvesttest.DoSlow, Delay: 50 * time.Second})
		first := w.producer()
		stop1, ended1 := w.background(first)
		pass(5 * time.Second)
		w.elsewhere()
		second := w.producer()
		stop2, ended2 := w.background(second)
		pass(2 * time.Minute)
		slow()
		if first.States() == nil || second.States() != nil {
			t.Error("the second instance took over from one that was still starting")
		}
		stop1()
		exits(t, <-ended1, ops.ExitOK)
		stop2()
		exits(t, <-ended2, ops.ExitOK)
	})
}

// P1: a standby outlives a spell without brokers.
func TestP1StandbyOutlivesBlips(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 103}, func(w *world) {
		stop1, ended1 := w.background(w.producer())
		pass(time.Minute)
		w.elsewhere()
		n := &cut{dial: w.net.DialContext, writes: -1}
		stop2, ended2 := w.background(w.with(func(c *producer.Config, _ *producer.Deps) { c.Kafka.Dial = n.Dial }))
		pass(10 * time.Minute)
		n.tear()
		pass(time.Minute)
		n.mend()
		pass(time.Minute)
		select {
		case err := <-ended2:
			t.Fatalf("the standby ended with %v", err)
		default:
		}
		stop1()
		exits(t, <-ended1, ops.ExitOK)
		stop2()
		exits(t, <-ended2, ops.ExitOK)
	})
}

// P11: a stream that answered 403 a moment before company told that its module is off comes back with the module.
func TestP11ModuleComesBack(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 104, OffAnswer: harvesttest.OffForbidden}, func(w *world) {
		p := w.producer()
		stop, ended := w.background(p)
		pass(2*time.Minute + 5*time.Second)
		w.sim.SwitchModule("expense_feature", false)
		pass(90 * time.Minute)
		w.sim.SwitchModule("expense_feature", true)
		pass(65 * time.Minute)
		for _, s := range p.States() {
			if s.Blocked != "" {
				t.Errorf("%s is blocked still: %s", s.Stream, s.Blocked)
			}
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
	})
}

// invoiceWithPayments is an invoice that has some.
func (w *world) invoiceWithPayments(n int) (invoice int64, payments []int64) {
	w.t.Helper()
	invoice = w.sim.IDs("invoices")[0]
	for range n {
		payments = append(payments, must(w.sim.RecordPayment(invoice, 1))(w.t))
	}
	return invoice, payments
}

// P7: a child one of its parent's two lists shows is not gone, though a lagging replica leaves it out of the other.
func TestP7ChildShownByOneOfTwoLists(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 105, Silent: harvesttest.SilentUnpay}, func(w *world) {
		invoice, paid := w.invoiceWithPayments(2)
		stop, ended := w.background(w.producer())
		pass(3 * time.Minute)
		fresh := must(w.sim.RecordPayment(invoice, 2))(t)
		pass(40 * time.Second) // not too new to be taken for gone
		w.delete("invoice_payments", paid[0])
		w.sim.Fault(harvesttest.Fault{Match: "invoices/" + itoa(invoice) + "/payments", Nth: 3, Count: 1, Do: harvesttest.DoLag, Delay: 65 * time.Second})
		w.set("invoices", invoice, harvesttest.Fields{"notes": "read its lists"})
		pass(7 * time.Minute) // and read again, a lookback later
		for _, p := range w.topic("invoice_payments") {
			if p.id == fresh && p.deleted {
				t.Errorf("payment %d was buried alive at seq %d", p.id, p.seq)
			}
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("invoice_payments")
	})
}

// P7: a child the rotating pass missed and that came back before the pass ends is not buried with the others.
func TestP7ChildBackBeforeTheRoundEnds(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 106, Silent: harvesttest.SilentUnpay}, func(w *world) {
		ids := w.sim.IDs("invoices") // the pass goes by id: the first is done long before the last
		first, last := slices.Min(ids), slices.Max(ids)
		paid := must(w.sim.RecordPayment(first, 1))(t)
		w.sync()
		before := time.Now()
		pass(10 * time.Minute)
		w.sync() // behind the lookback: no poll shows what the delete does to the invoice
		if err := w.sim.Delete("invoice_payments", paid); err != nil {
			t.Fatal(err)
		}
		var done atomic.Bool
		p := w.with(func(_ *producer.Config, d *producer.Deps) {
			d.Transport = hooked{d.Transport, func(r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "invoices/"+itoa(last)+"/payments") && !done.Swap(true) {
					if w.sim.Restore("invoice_payments", before, paid) != 1 {
						t.Error("the payment did not return")
					}
					_ = w.sim.Touch("invoices", first, harvesttest.Fields{"notes": "x"})
					_ = w.sim.Update("invoices", first, harvesttest.Fields{"notes": "y"})
					time.Sleep(40 * time.Second) // the rest of a long round
				}
			}}
		}, "HARVEST_CHILDREN_INTERVAL=5m", "HARVEST_CONCURRENCY=2")
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		stop()
		exits(t, <-ended, ops.ExitOK)
		if !done.Load() {
			t.Fatal("no pass")
		}
		for _, p := range w.topic("invoice_payments") {
			if p.id == paid && p.deleted {
				t.Errorf("payment %d was buried alive at seq %d", p.id, p.seq)
			}
		}
	})
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// hide drops a row from lists and corrects their totals.
func hide(list string, id int64) func([]byte) []byte {
	return func(body []byte) []byte {
		return rewriteList(body, list, func(rows []any) []any {
			return slices.DeleteFunc(rows, func(r any) bool { return int64(r.(map[string]any)["id"].(float64)) == id })
		})
	}
}

// set updates a row.
func (w *world) set(stream string, id int64, f harvesttest.Fields) {
	w.t.Helper()
	if err := w.sim.Update(stream, id, f); err != nil {
		w.t.Fatal(err)
	}
}

// P5: a GET answered by a lagging replica takes no row back to an older version.
func TestP5LaggingGet(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 107}, func(w *world) {
		id := w.sim.IDs("expenses")[0]
		w.set("expenses", id, harvesttest.Fields{"spent_date": time.Now().Format(time.DateOnly), "notes": "older"})
		w.serve(func() {
			pass(3 * time.Minute)
			w.set("expenses", id, harvesttest.Fields{"notes": "newer"})
			pass(time.Minute)
			w.sim.Fault(harvesttest.Fault{Match: "expenses", Query: "from=", Do: harvesttest.DoRewrite, Rewrite: hide("expenses", id)})
			w.sim.Fault(harvesttest.Fault{Match: "expenses/*", Do: harvesttest.DoLag, Delay: 2 * time.Minute})
			pass(90 * time.Second)
		}, "HARVEST_RECENT_SWEEP_INTERVAL=1m")
		var stamp time.Time
		for _, p := range w.topic("expenses") {
			if p.id == id && p.stamp.Before(stamp) {
				t.Errorf("expense %d went back from %s to %s: %v", id, stamp, p.stamp, p.fields["notes"])
			}
			if p.id == id {
				stamp = p.stamp
			}
		}
	})
}

// P5: a child row that Harvest took back to an older version is taken back too, a lookback after the rotating pass met it.
func TestP5RestoredChild(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 108}, func(w *world) {
		user := w.sim.IDs("users")[0]
		w.serve(func() {
			pass(3 * time.Minute)
			must(w.sim.AddRate("user_billable_rates", user, 66, time.Now().Format(time.DateOnly)))(t)
			pass(3 * time.Minute)
			before := time.Now()
			pass(time.Minute)
			must(w.sim.AddRate("user_billable_rates", user, 77, before.AddDate(0, 0, 1).Format(time.DateOnly)))(t)
			pass(3 * time.Minute)
			if w.sim.Restore("user_billable_rates", before) == 0 {
				t.Error("nothing went back")
			}
			pass(30 * time.Minute)
		}, "HARVEST_CHILDREN_INTERVAL=5m", "HARVEST_LOOKBACK=1m")
		w.equal("user_billable_rates")
	})
}

// P12: a difference that went away does not excuse the next one of its size.
func TestP12DifferenceComesBack(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 109}, func(w *world) {
		ids := w.sim.IDs("contacts")
		w.serve(func() {
			pass(3 * time.Minute)
			wrong := w.sim.Fault(harvesttest.Fault{Match: "contacts", Query: "per_page=1", Do: harvesttest.DoRewrite, Rewrite: func(b []byte) []byte {
				return []byte(strings.Replace(string(b), `"total_entries":`+strconv.Itoa(len(ids)), `"total_entries":`+strconv.Itoa(len(ids)-1), 1))
			}})
			pass(6 * time.Minute)
			wrong()
			pass(3 * time.Minute)
			if err := w.sim.Delete("contacts", ids[0]); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Minute)
		})
		if !w.gone("contacts", ids[0]) {
			t.Errorf("contact %d is still on the topic", ids[0])
		}
	})
}

// P8, P11: a timer whose GET is forbidden stops no stream.
func TestP8ForbiddenTimer(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 110}, func(w *world) {
		p := w.producer()
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		id := must(w.sim.StartTimer(w.sim.IDs("users")[0]))(t)
		pass(time.Minute)
		w.sim.Fault(harvesttest.Fault{Match: "time_entries/" + itoa(id), Do: harvesttest.DoStatus, Status: 403, Body: `{"message":"Not authorized!"}`})
		w.sim.Fault(harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoRewrite, Rewrite: hide("time_entries", id)})
		pass(3 * time.Minute)
		for _, s := range p.States() {
			if s.Blocked != "" {
				t.Errorf("%s is blocked: %s", s.Stream, s.Blocked)
			}
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
	})
}

// P6: a row that slipped from page to page during the first read, because another one was deleted, is found although counts balance.
func TestP6FirstReadWithDrift(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 111}, func(w *world) {
		rows := w.sim.Truth("time_entries")
		slices.SortFunc(rows, func(a, b harvesttest.Object) int {
			return strings.Compare(field(b.JSON, "spent_date"), field(a.JSON, "spent_date"))
		})
		victim, deleted := rows[45].ID, false
		p := w.with(func(_ *producer.Config, d *producer.Deps) {
			d.PageSize = 10
			d.Transport = hooked{d.Transport, func(r *http.Request) {
				if !deleted && strings.HasSuffix(r.URL.Path, "time_entries") && r.URL.Query().Get("page") == "9" {
					deleted = true
					if err := w.sim.Delete("time_entries", victim); err != nil {
						t.Error(err)
					}
				}
			}}
		}, "HARVEST_CONCURRENCY=1")
		stop, ended := w.background(p)
		pass(45 * time.Minute)
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("time_entries")
	})
}

// P9: lists that hang do not keep the polls from being made.
func TestP9HangingLists(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 112}, func(w *world) {
		id := w.sim.IDs("time_entries")[0]
		w.serve(func() {
			w.sim.Fault(harvesttest.Fault{Match: "invoices/*/messages", Do: harvesttest.DoHang})
			pass(2 * time.Minute)
			w.set("time_entries", id, harvesttest.Fields{"notes": "seen at once"})
			pass(30 * time.Second)
			if p, _ := w.latest("time_entries", id); p.fields["notes"] != "seen at once" {
				t.Error("a change was not seen within 30 s")
			}
		})
	})
}

// S9: a child stream is not complete while a list of a changed parent is under way.
func TestP8ChildrenNotCompleteTooEarly(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 113}, func(w *world) {
		invoice := w.sim.IDs("invoices")[0]
		p := w.producer("HARVEST_LOOKBACK=10s")
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		w.sim.Fault(harvesttest.Fault{Match: "invoices/" + itoa(invoice) + "/messages", Do: harvesttest.DoHang})
		changed := time.Now()
		must(w.sim.Send("invoices", invoice))(t)
		pass(3 * time.Minute)
		for _, s := range p.States() {
			if s.Stream == "invoice_messages" && s.Cursor.After(changed) {
				t.Errorf("complete up to %s, and the message of %s is not there", s.Cursor, changed)
			}
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
	})
}

// C2: one answer with a wrong clock at the start does not blind the quick polls (P4).
func TestP4OneWrongClock(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 114}, func(w *world) {
		id := w.sim.IDs("time_entries")[0]
		w.sim.Fault(harvesttest.Fault{Match: "users/me", Count: 1, Do: harvesttest.DoDate, Delay: 5 * time.Minute})
		w.serve(func() {
			pass(2*time.Minute + 15*time.Second)
			for _, note := range []string{"one", "two", "three"} {
				w.set("time_entries", id, harvesttest.Fields{"notes": note})
				pass(10 * time.Second)
				if p, _ := w.latest("time_entries", id); p.fields["notes"] != note {
					t.Errorf("note %s was not seen within 10 s", note)
				}
			}
		})
	})
}

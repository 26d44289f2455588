package producer_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
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
		if err := w.sim.Delete("invoice_payments", paid[0]); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		fresh := must(w.sim.RecordPayment(invoice, 2))(t)
		w.sim.Fault(harvesttest.Fault{Match: "invoices/" + itoa(invoice) + "/payments", Nth: 3, Count: 1, Do: harvesttest.DoLag, Delay: 25 * time.Second})
		pass(time.Minute)
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
		if err := w.sim.Delete("invoice_payments", paid); err != nil {
			t.Fatal(err)
		}
		done := false
		p := w.with(func(_ *producer.Config, d *producer.Deps) {
			d.Transport = hooked{d.Transport, func(r *http.Request) {
				if !done && strings.HasSuffix(r.URL.Path, "invoices/"+itoa(last)+"/payments") {
					done = true
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
		if !done {
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

package producer_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
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

// stopped is how many missing rows a stopped sweep of a stream waits to be answered for.
func stopped(p *producer.Producer, stream string) int {
	for _, s := range p.States() {
		if s.Stream == stream {
			return s.Stopped
		}
	}
	return 0
}

// P7: a stopped sweep stays stopped, and said to be, when some other row is rightly deleted.
func TestP7StoppedSweepStaysSaid(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 115}, func(w *world) {
		p := w.producer("HARVEST_SWEEP_INTERVAL=10m")
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		w.sim.Fault(harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoRewrite, Rewrite: hideThird})
		pass(15 * time.Minute)
		if stopped(p, "time_entries") == 0 {
			t.Fatal("the sweep was not stopped")
		}
		id := must(w.sim.StartTimer(w.sim.IDs("users")[0]))(t)
		for id%3 == 0 {
			id = must(w.sim.StartTimer(w.sim.IDs("users")[0]))(t)
		}
		pass(2 * time.Minute)
		if err := w.sim.Delete("time_entries", id); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		if !w.gone("time_entries", id) || stopped(p, "time_entries") == 0 {
			t.Errorf("timer deleted: %v, rows that wait for an answer: %d", w.gone("time_entries", id), stopped(p, "time_entries"))
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
	})
}

// P7: deletes a person has allowed do not count against the next ones of the day.
func TestP7AllowedDeletesAreAnswered(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 116, Sizes: harvesttest.Sizes{Expenses: 60, TimeEntries: 20, Users: 5, Clients: 4, Projects: 6, Tasks: 4, Invoices: 3, Estimates: 3}}, func(w *world) {
		w.sync()
		ids := w.sim.IDs("expenses")
		for _, id := range ids[:30] {
			if err := w.sim.Delete("expenses", id); err != nil {
				t.Fatal(err)
			}
		}
		pass(10 * time.Minute)
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, 30, false), ops.ExitOK)
		if err := w.sim.Delete("expenses", ids[40]); err != nil {
			t.Fatal(err)
		}
		w.serve(func() { pass(5 * time.Minute) })
		if !w.gone("expenses", ids[40]) {
			t.Error("one more deleted expense is still on the topic")
		}
	})
}

// P11: child lists that answer 404 while their parents are there block the child stream; they are not empty.
func TestP11ChildListsNotFound(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 117}, func(w *world) {
		mend := w.sim.Fault(harvesttest.Fault{Match: "invoices/*/messages", Do: harvesttest.DoStatus, Status: 404, Body: `{"status":404,"error":"Not Found"}`})
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitPermission, "invoice_messages")
		mend()
		w.sync()
		w.equal()
	})
}

// P6, P7: a living row hidden by drift in both of a sweep's lists is not taken for gone.
func TestP7DriftInBothLists(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 118, Sizes: harvesttest.Sizes{Expenses: 300, TimeEntries: 20, Users: 5, Clients: 4, Projects: 6, Tasks: 4, Invoices: 3, Estimates: 3}}, func(w *world) {
		w.sync()
		order := func() []harvesttest.Object { // newest first, as Harvest lists them
			rows := w.sim.Truth("expenses")
			slices.SortFunc(rows, func(a, b harvesttest.Object) int {
				return cmp.Or(strings.Compare(field(b.JSON, "spent_date"), field(a.JSON, "spent_date")), cmp.Compare(b.ID, a.ID))
			})
			return rows
		}
		drop := func(rows []harvesttest.Object) {
			for _, r := range rows {
				if err := w.sim.Delete("expenses", r.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		drop(order()[150:270])
		walks := 0
		p := w.with(func(_ *producer.Config, d *producer.Deps) {
			d.PageSize = 10
			d.Transport = hooked{d.Transport, func(r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/expenses") {
					return
				}
				switch page := r.URL.Query().Get("page"); {
				case page == "":
					walks++
				case walks == 1 && page == "3":
					drop(order()[5:6])
				case walks == 2 && page == "2":
					drop(order()[:10])
				}
			}}
		}, "HARVEST_CONCURRENCY=1")
		if err := p.Sweep(w.t.Context(), []string{"expenses"}, 200, false); err != nil {
			t.Error(err)
		}
		if walks < 2 {
			t.Fatalf("%d walks", walks)
		}
		for _, r := range order() {
			if w.gone("expenses", r.ID) {
				t.Errorf("expense %d was buried alive", r.ID)
			}
		}
	})
}

// Exit 77: a broker that forbids writing a topic is named, and neither waited for nor tried for ever.
func TestExitForbiddenByTheBroker(t *testing.T) {
	for _, command := range []string{"run", "sync"} {
		t.Run(command, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 119}, func(w *world) {
				w.sync()
				w.bus.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
					w.bus.KeepControl()
					resp := req.ResponseKind().(*kmsg.ProduceResponse)
					resp.Version = req.GetVersion()
					for _, in := range req.(*kmsg.ProduceRequest).Topics {
						out := kmsg.NewProduceResponseTopic()
						out.Topic, out.TopicID = in.Topic, in.TopicID
						for _, p := range in.Partitions {
							part := kmsg.NewProduceResponseTopicPartition()
							part.Partition, part.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
							out.Partitions = append(out.Partitions, part)
						}
						resp.Topics = append(resp.Topics, out)
					}
					return resp, nil, true
				})
				ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
				defer cancel()
				p := w.producer()
				if command == "run" {
					exits(t, p.Run(ctx), ops.ExitPermission, "harvest.")
				} else {
					exits(t, p.Sync(ctx), ops.ExitPermission, "harvest.")
				}
			})
		})
	}
}

// Exit 65: a record of ours on the topic that is none is named and ends the start.
func TestExitUnreadableRecord(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 120}, func(w *world) {
		w.sync()
		cl, _ := w.client()
		key := w.keyOf("clients", w.sim.IDs("clients")[0])
		if err := cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: "harvest.clients", Key: key, Value: []byte("garbage")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Minute)
		defer cancel()
		exits(t, w.producer().Run(ctx), ops.ExitData, "harvest.clients", "offset")
	})
}

// keyOf are the bytes of a key as the topic has them.
func (w *world) keyOf(stream string, id int64) (key []byte) {
	w.t.Helper()
	_, opts := w.client()
	if err := kafka.ReadTo(w.t.Context(), opts, []kafka.Target{{Topic: "harvest." + stream, From: kafka.FromStart, To: int64(len(w.topic(stream)))}}, func(r *kgo.Record) error {
		if _, got, _, err := schema.ParseKey(r.Key); err == nil && got == id {
			key = r.Key
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return key
}

// P10: a stored place in a first read that the server does not take any more is left for a new beginning at once.
func TestP10FirstReadResumesAtNoGoodPlace(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 121}, func(w *world) {
		small := func(_ *producer.Config, d *producer.Deps) { d.PageSize = 2 }
		away := w.sim.Fault(harvesttest.Fault{Match: "users", Nth: 3, Do: harvesttest.DoStatus, Status: 503})
		exits(t, w.with(small).Sync(w.t.Context()), ops.ExitUnavailable)
		away()
		w.sim.Fault(harvesttest.Fault{Match: "users", Query: "cursor=", Count: 1, Do: harvesttest.DoStatus, Status: 422, Body: `{"message":"invalid cursor"}`})
		exits(t, w.with(small).Sync(w.t.Context()), ops.ExitOK)
		w.equal()
	})
}

// P10: a timer that started before the anchor is not in the mirror until its entry changes.
func TestP10RunningTimerBeforeTheAnchor(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 122}, func(w *world) {
		id := must(w.sim.StartTimer(w.sim.IDs("users")[0]))(t)
		pass(time.Hour)
		w.serve(func() { pass(30 * time.Minute) }, "HARVEST_ANCHOR_DATE="+time.Now().Add(-30*time.Minute).UTC().Format(time.RFC3339))
		if _, found := w.latest("time_entries", id); found {
			t.Errorf("entry %d, last changed before the anchor, is on the topic", id)
		}
	})
}

// A one-shot command that is interrupted has not done its work, and does not say so.
func TestSyncInterrupted(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 123}, func(w *world) {
		w.sim.Fault(harvesttest.Fault{Match: "users", Do: harvesttest.DoHang})
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
		defer cancel()
		if err := w.producer().Sync(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("an interrupted sync ended with %v", err)
		}
	})
}

// P8: parents that changed silently ask for no child lists, not after a restart either.
func TestP8SilentParentsAskForNoChildren(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 124}, func(w *world) {
		w.serve(func() {
			pass(3 * time.Minute)
			for _, id := range w.sim.IDs("clients") {
				if err := w.sim.Rename("clients", id, "Client "+itoa(id)); err != nil {
					t.Fatal(err)
				}
			}
			pass(20 * time.Minute)
		}, "HARVEST_SWEEP_INTERVAL=10m", "HARVEST_CHILDREN_INTERVAL=48h")
		w.equal("invoices")
		w.sim.ResetRequests()
		w.serve(func() { pass(3 * time.Minute) }, "HARVEST_CHILDREN_INTERVAL=48h")
		for _, r := range w.sim.Requests() {
			if strings.HasPrefix(r.Path, "invoices/") && strings.Count(r.Path, "/") == 2 {
				t.Errorf("asked for %s", r.Path)
			}
		}
	})
}

// P1: a start with --initialise leaves a checkpoint of every stream, so that the next one needs no such word.
func TestP1InitialisedOnceForAll(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 125}, func(w *world) {
		w.sync()
		cl, _ := w.client()
		if _, err := kadm.NewClient(cl).DeleteTopics(w.t.Context(), "harvest._checkpoints"); err != nil {
			t.Fatal(err)
		}
		w.sim.SwitchModule("expense_feature", false)
		p := w.producer()
		p.Initialise = true
		exits(t, p.Sync(w.t.Context()), ops.ExitPermission)
		w.sim.SwitchModule("expense_feature", true)
		w.sync()
		w.equal()
	})
}

// P8: the first reading of all child lists is the first round: none is asked for twice.
func TestP8FirstRoundReadsEachListOnce(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 126}, func(w *world) {
		w.serve(func() { pass(10 * time.Minute) })
		w.equal()
		n := 0
		for _, r := range w.sim.Requests() {
			if r.Path == "invoices/*/messages" {
				n++
			}
		}
		if n != w.sim.Count("invoices") {
			t.Errorf("%d lists of messages were read, %d invoices are there", n, w.sim.Count("invoices"))
		}
	})
}

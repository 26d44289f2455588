package producer_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// refuseFull answers 503 to full polls of entries, which ask for more than the last minutes, and lets quick ones through.
func refuseFull(next http.RoundTripper, on *atomic.Bool) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		since, err := time.Parse(time.RFC3339, r.URL.Query().Get("updated_since"))
		if on.Load() && strings.HasSuffix(r.URL.Path, "/time_entries") && err == nil && time.Since(since) > time.Minute {
			return &http.Response{StatusCode: 503, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		}
		return next.RoundTrip(r)
	})
}

// P4: quick polls publish what they see and move no cursor: the next full poll asks from where the last one did.
func TestP4QuickPollsMoveNoCursor(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 240}, func(w *world) {
		var refuse atomic.Bool
		p := w.with(func(_ *producer.Config, d *producer.Deps) { d.Transport = refuseFull(d.Transport, &refuse) }, "HARVEST_RECENT_SWEEP_INTERVAL=24h")
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		refuse.Store(true)
		pass(time.Minute)
		before := w.checkpoint("time_entries").Cursor
		id := w.sim.IDs("time_entries")[0]
		seen := 0
		for i := range 20 {
			w.set("time_entries", id, harvesttest.Fields{"notes": fmt.Sprint("note ", i)})
			pass(20 * time.Second)
			if last, _ := w.latest("time_entries", id); last.fields["notes"] == fmt.Sprint("note ", i) {
				seen++
			}
		}
		if after := w.checkpoint("time_entries").Cursor; !after.Equal(before) {
			t.Errorf("the cursor moved by %s", after.Sub(before))
		}
		if seen == 0 {
			t.Error("quick polls saw nothing")
		}
		refuse.Store(false)
		pass(2 * time.Minute)
		if after := w.checkpoint("time_entries").Cursor; !after.After(before) {
			t.Error("the cursor stands still")
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("time_entries")
	})
}

// P5, H28: rows that Harvest took back are taken back, a lookback after a sweep met them; a one-shot command reports them, and the next
// one takes them back.
func TestP5RestoredRows(t *testing.T) {
	for name, then := range map[string]func(w *world, env []string){
		"served": func(w *world, env []string) { w.serve(func() { pass(15 * time.Minute) }, env...) },
		"synced": func(w *world, env []string) { pass(2 * time.Minute); w.sync(env...) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 241}, func(w *world) {
				env := []string{"HARVEST_SWEEP_INTERVAL=5m", "HARVEST_LOOKBACK=1m"}
				w.sync(env...)
				before := time.Now()
				pass(time.Minute)
				clients := w.sim.IDs("clients")
				for _, id := range clients {
					w.set("clients", id, harvesttest.Fields{"address": "a newer one"})
				}
				pass(10 * time.Second)
				w.sync(env...)
				if n := w.sim.Restore("clients", before); n != len(clients) {
					t.Fatalf("%d clients went back", n)
				}
				n := w.records()
				pass(10 * time.Minute)
				w.sync(env...)
				if again := w.records(); again != n || !strings.Contains(w.log.String(), "rows went back") {
					t.Errorf("the first command published %d records of rows that went back, or did not say so", again-n)
				}
				then(w, env)
				w.equal("clients")
			})
		})
	}
}

// P6, H8, H9: links that lead back, in circles or nowhere, and lists that end too early stop their stream with a word; others go on.
func TestP6BrokenLists(t *testing.T) {
	cases := map[string]struct {
		fault harvesttest.Fault
		word  string
	}{
		"a page links to itself":      {harvesttest.Fault{Match: "users", Do: harvesttest.DoLink, Link: "self"}, "circle"},
		"a later one links to itself": {harvesttest.Fault{Match: "users", Query: "cursor=", Do: harvesttest.DoLink, Link: "self"}, "circle"},
		"entries link to page one":    {harvesttest.Fault{Match: "time_entries", Query: "&page=", Do: harvesttest.DoLink, Link: "https://api.harvestapp.com/v2/time_entries?page=2&per_page=2"}, ""},
		"another host":                {harvesttest.Fault{Match: "users", Do: harvesttest.DoLink, Link: "https://evil.example/v2/users?page=2"}, "evil.example"},
		"entries end too early":       {harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoLink, Link: ""}, "next"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 242, Sizes: harvesttest.Sizes{Users: 9, Clients: 3, Projects: 3, Tasks: 3, Invoices: 3, Estimates: 3, Expenses: 3, TimeEntries: 20}}, func(w *world) {
				mend := w.sim.Fault(c.fault)
				w.sim.ResetRequests()
				err := w.with(func(_ *producer.Config, d *producer.Deps) { d.PageSize = 2 }).Sync(w.t.Context())
				if c.word != "" {
					exits(t, err, ops.ExitData, c.fault.Match, c.word)
					if strings.Contains(w.log.String(), `"first read complete" stream=`+c.fault.Match) {
						t.Error("the first read counts as complete")
					}
				}
				n := 0
				for _, r := range w.sim.Requests() {
					if r.Path == c.fault.Match {
						n++
					}
				}
				if n > 150 {
					t.Errorf("%d requests", n)
				}
				w.equal("clients", "projects", "tasks")
				mend()
				w.with(func(_ *producer.Config, d *producer.Deps) { d.PageSize = 2 }).Sync(w.t.Context())
				w.sync("HARVEST_SWEEP_INTERVAL=5m", "HARVEST_LOOKBACK=1m")
				w.equal("users", "time_entries")
			})
		})
	}
}

// P7: HARVEST_DELETES=off takes nothing for deleted; on trusts a token that is no administrator's.
func TestP7DeletesOnAndOff(t *testing.T) {
	for _, c := range []struct {
		setting string
		role    harvesttest.Role
		gone    bool
	}{{"off", harvesttest.Administrator, false}, {"auto", harvesttest.Administrator, true}, {"auto", harvesttest.Manager, false}, {"on", harvesttest.Manager, true}} {
		t.Run(fmt.Sprint(c.setting, " ", c.role), func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 243, Role: c.role}, func(w *world) {
				w.env = append(w.env, "HARVEST_DELETES="+c.setting, "HARVEST_STREAMS=projects,time_entries")
				w.serve(func() {
					pass(3 * time.Minute)
					var id int64
					for _, p := range w.topic("time_entries") {
						if w.sim.Delete("time_entries", p.id) == nil { // some are closed
							id = p.id
							break
						}
					}
					pass(10 * time.Minute)
					if w.gone("time_entries", id) != c.gone {
						t.Errorf("entry %d is gone: %v", id, !c.gone)
					}
				}, "HARVEST_SWEEP_INTERVAL=5m")
			})
		})
	}
}

// P7, H31: a project's deletion explains its entries: all are buried soon, one in twenty asked for, by a search and by what the
// project took along.
func TestP7OneInTwenty(t *testing.T) {
	sizes := harvesttest.Sizes{Users: 5, Clients: 3, Projects: 6, Tasks: 3, Invoices: 3, Estimates: 3, Expenses: 60, TimeEntries: 3000}
	bubble(t, harvesttest.Options{Seed: 244, Sizes: sizes}, func(w *world) {
		w.serve(func() {
			pass(3 * time.Minute)
			before := w.sim.Count("time_entries")
			w.sim.ResetRequests()
			if err := w.sim.Delete("projects", w.sim.IDs("projects")[0]); err != nil {
				t.Fatal(err)
			}
			pass(2*time.Minute + 30*time.Second)
			gone, gets := before-w.sim.Count("time_entries"), 0
			for _, r := range w.sim.Requests() {
				if r.Path == "time_entries/*" {
					gets++
				}
			}
			if gone < 200 || gets > gone/sampleOf+10 || gets < gone/sampleOf {
				t.Errorf("%d entries went with the project, %d GETs", gone, gets)
			}
			w.equal("time_entries", "projects", "expenses")
		})
	})
}

const sampleOf = 20 // P7

// P7: two days' worth of deletes do not pass around midnight, nor around any other edge.
func TestP7DayHasNoEdge(t *testing.T) {
	sizes := harvesttest.Sizes{Users: 3, Clients: 3, Projects: 3, Tasks: 3, Invoices: 3, Estimates: 3, Expenses: 90, TimeEntries: 5}
	bubble(t, harvesttest.Options{Seed: 245, Sizes: sizes}, func(w *world) {
		ids := w.sim.IDs("expenses")
		drop := func(some []int64) {
			for _, id := range some {
				if err := w.sim.Delete("expenses", id); err != nil {
					t.Fatal(err)
				}
			}
			pass(9 * time.Minute)
		}
		p := w.producer("HARVEST_STREAMS=expenses", "HARVEST_POLL_INTERVAL=2m", "HARVEST_RECENT_SWEEP_INTERVAL=48h", "HARVEST_PROBE_INTERVAL=2m")
		stop, ended := w.background(p)
		pass(5 * time.Minute)
		drop(ids[:1]) // begins a day of a brake that counts by windows
		pass(23 * time.Hour)
		drop(ids[1:18])
		pass(90 * time.Minute) // such a day is over
		if state(p, "expenses").Stopped != 0 {
			t.Fatal("stopped too early")
		}
		drop(ids[18:36])
		if n := state(p, "expenses").Stopped; n != 18 {
			t.Errorf("%d rows wait for an answer, want the 18 beyond a day's 20", n)
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
	})
}

// P10: the anchor of the first start stays, though by default it would be another at each.
func TestP10DefaultAnchorIsFixed(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 246}, func(w *world) {
		w.env = slices.DeleteFunc(w.env, func(v string) bool { return strings.HasPrefix(v, "HARVEST_ANCHOR_DATE") })
		w.sync()
		first, n := w.checkpoint("time_entries").Anchor, len(w.history("time_entries"))
		pass(100 * 24 * time.Hour)
		w.sync()
		if again := w.checkpoint("time_entries").Anchor; !again.Equal(first) || first.IsZero() {
			t.Errorf("the anchor went from %s to %s", first, again)
		}
		if again := len(w.history("time_entries")); again != n || w.tombstones() > 0 {
			t.Errorf("%d entries in the mirror, before %d; %d tombstones", again, n, w.tombstones())
		}
	})
}

// P10, H38: an invoice from before the anchor enters by a payment, with all its children.
func TestP10OldInvoiceEntersByAPayment(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 247}, func(w *world) {
		id := w.sim.IDs("invoices")[0]
		must(w.sim.Send("invoices", id))(t)
		must(w.sim.RecordPayment(id, 1))(t)
		pass(time.Hour)
		w.serve(func() {
			pass(3 * time.Minute)
			if _, found := w.latest("invoices", id); found {
				t.Fatal("the invoice is there already")
			}
			must(w.sim.RecordPayment(id, 1))(t)
			pass(2 * time.Minute)
		}, "HARVEST_ANCHOR_DATE="+time.Now().Add(-30*time.Minute).UTC().Format(time.RFC3339))
		if _, found := w.latest("invoices", id); !found {
			t.Error("the invoice has not come in")
		}
		payments, messages := 0, 0
		for _, p := range w.topic("invoice_payments") {
			if p.fields["invoice_id"] == itoa(id) {
				payments++
			}
		}
		for _, p := range w.topic("invoice_messages") {
			if p.fields["invoice_id"] == itoa(id) {
				messages++
			}
		}
		if payments < 2 || messages < 1 {
			t.Errorf("%d payments and %d messages came with it", payments, messages)
		}
	})
}

// P11: a forbidden stream is tried again every hour, its cursor stays, and it goes on where it was.
func TestP11ForbiddenIsTriedEachHour(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 248}, func(w *world) {
		p := w.producer()
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		mend := w.sim.Fault(harvesttest.Fault{Match: "contacts", Do: harvesttest.DoStatus, Status: 403, Body: `{"message":"Not authorized!"}`})
		pass(2 * time.Minute)
		cursor := w.checkpoint("contacts").Cursor
		w.set("contacts", w.sim.IDs("contacts")[0], harvesttest.Fields{"title": "changed meanwhile"})
		w.sim.ResetRequests()
		pass(150 * time.Minute)
		tries := 0
		for _, r := range w.sim.Requests() {
			if r.Path == "contacts" {
				tries++
			}
		}
		if tries != 2 {
			t.Errorf("%d tries in two and a half hours", tries)
		}
		if ck := w.checkpoint("contacts"); !ck.Cursor.Equal(cursor) || ck.Blocked == "" {
			t.Errorf("cursor %s, was %s; blocked %q", ck.Cursor, cursor, ck.Blocked)
		}
		mend()
		pass(time.Hour)
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("contacts")
	})
}

// P12, H34: an estimate without a date is found gone, though no window holds it.
func TestP12RowWithoutADate(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 249, Sizes: harvesttest.Sizes{Users: 3, Clients: 3, Projects: 3, Tasks: 3, Invoices: 3, Estimates: 40, Expenses: 3, TimeEntries: 5}}, func(w *world) {
		ids := w.sim.IDs("estimates")
		if err := w.sim.Touch("estimates", ids[7], harvesttest.Fields{"issue_date": harvesttest.Raw("null")}); err != nil {
			t.Fatal(err)
		}
		p := w.with(func(_ *producer.Config, d *producer.Deps) { d.PageSize = 5 }, "HARVEST_RECENT_SWEEP_INTERVAL=24h")
		stop, ended := w.background(p)
		pass(4 * time.Minute)
		if err := w.sim.Delete("estimates", ids[7]); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Minute)
		if !w.gone("estimates", ids[7]) {
			t.Error("the estimate is still on the topic")
		}
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("estimates")
	})
}

// P12, H33: a row that no poll showed, because it became visible long after the lookback, is found by the count, below an anchor too.
func TestP12MissedRow(t *testing.T) {
	for _, anchor := range []string{"all", "1999-12-01"} {
		t.Run(anchor, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 250, Sizes: harvesttest.Sizes{Users: 3, Clients: 3, Projects: 3, Tasks: 3, Invoices: 3, Estimates: 3, Expenses: 3, TimeEntries: 600}}, func(w *world) {
				p := w.with(func(_ *producer.Config, d *producer.Deps) { d.PageSize = 50 }, "HARVEST_RECENT_SWEEP_INTERVAL=24h", "HARVEST_LOOKBACK=10s", "HARVEST_ANCHOR_DATE="+anchor)
				stop, ended := w.background(p)
				pass(3 * time.Minute)
				w.sim.SetLate(1, 2*time.Minute)
				id := must(w.sim.StartTimer(w.sim.IDs("users")[0]))(t)
				must(w.sim.StopTimer(w.sim.IDs("users")[0]))(t)
				w.sim.SetLate(0, 0)
				pass(5 * time.Minute)
				if _, found := w.latest("time_entries", id); !found {
					t.Errorf("entry %d was never found", id)
				}
				stop()
				exits(t, <-ended, ops.ExitOK)
			})
		})
	}
}

// P14: a value that does not fit is counted, and named once, not at each look.
func TestP14IsToldOnce(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 251}, func(w *world) {
		if err := w.sim.Touch("expenses", w.sim.IDs("expenses")[0], harvesttest.Fields{"units": harvesttest.Raw(`"many"`)}); err != nil {
			t.Fatal(err)
		}
		w.serve(func() { pass(30 * time.Minute) }, "HARVEST_SWEEP_INTERVAL=5m")
		if n := strings.Count(w.log.String(), "field=units"); n != 1 {
			t.Errorf("it was told %d times", n)
		}
	})
}

// P15: a log that ends before the checkpoint's offset lost records: the stream is read again, loudly, and only what is missing comes.
func TestP15LogEndsBeforeTheCheckpoint(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 252}, func(w *world) {
		w.sync()
		n := w.records()
		w.recheckpoint("clients", func(ck *kafka.Checkpoint) { ck.Partitions[0].Next += 5; ck.Partitions[0].Seq += 5 })
		w.sync()
		if again := w.records(); again != n {
			t.Errorf("%d records of rows that were there", again-n)
		}
		if !strings.Contains(w.log.String(), "records were lost") {
			t.Error("the loss was not said")
		}
		w.set("clients", w.sim.IDs("clients")[0], harvesttest.Fields{"address": "another"})
		w.sync()
		if last, _ := w.latest("clients", w.sim.IDs("clients")[0]); last.seq != int64(w.sim.Count("clients")+6) {
			t.Errorf("seq %d: it goes on above the checkpoint's", last.seq)
		}
	})
}

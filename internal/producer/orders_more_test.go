package producer_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
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

// state is what a producer says of a stream.
func state(p *producer.Producer, stream string) producer.StreamState {
	for _, s := range p.States() {
		if s.Stream == stream {
			return s
		}
	}
	return producer.StreamState{}
}

// P7: a stopped sweep stays stopped, and said to be, when some other row is rightly deleted.
func TestP7StoppedSweepStaysSaid(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 115}, func(w *world) {
		p := w.producer("HARVEST_SWEEP_INTERVAL=10m")
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		w.sim.Fault(harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoRewrite, Rewrite: hideThird})
		pass(15 * time.Minute)
		if state(p, "time_entries").Stopped == 0 {
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
		if !w.gone("time_entries", id) || state(p, "time_entries").Stopped == 0 {
			t.Errorf("timer deleted: %v, rows that wait for an answer: %d", w.gone("time_entries", id), state(p, "time_entries").Stopped)
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

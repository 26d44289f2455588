package producer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
	"harveststream/pkg/schema"
)

// exits holds what a command ended with against the exit codes of design §7.
func exits(t *testing.T, err error, code int, words ...string) {
	t.Helper()
	if got := ops.ExitCode(err); got != code {
		t.Errorf("exit code %d (%v), want %d", got, err, code)
	}
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the message %v does not say %q", err, word)
		}
	}
}

// gone says whether the last record of a key is a tombstone.
func (w *world) gone(stream string, id int64) bool {
	w.t.Helper()
	deleted := false
	for _, p := range w.topic(stream) {
		if p.id == id {
			deleted = p.deleted
		}
	}
	return deleted
}

func (w *world) tombstones() int {
	w.t.Helper()
	n := 0
	for _, s := range schema.All() {
		for _, p := range w.topic(s.Name) {
			if p.deleted {
				n++
			}
		}
	}
	return n
}

func (w *world) client() (*kgo.Client, []kgo.Opt) {
	w.t.Helper()
	opts, err := w.config().Kafka.Options()
	if err != nil {
		w.t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl, opts
}

// background starts the service and returns how to stop it, and what it ended with.
func (w *world) background(p *producer.Producer) (stop context.CancelFunc, ended chan error) {
	ctx, stop := context.WithCancel(w.t.Context())
	ended = make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	return stop, ended
}

// P1: of two services one stands by; when the first dies without a word the second goes on within two heartbeats, nothing lost or said twice.
func TestP1FailOver(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 11}, func(w *world) {
		n := &cut{dial: w.net.DialContext, writes: -1}
		cfg := w.config()
		cfg.Kafka.Dial = n.Dial
		first, err := producer.New(cfg, producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger()})
		if err != nil {
			t.Fatal(err)
		}
		stop1, ended1 := w.background(first)
		pass(time.Minute)
		w.elsewhere()
		second := w.producer()
		stop2, ended2 := w.background(second)
		pass(2 * time.Minute)
		if second.States() != nil {
			t.Error("the second instance did not stand by")
		}
		n.tear()
		stop1()
		<-ended1
		pass(45 * time.Second)
		if second.States() == nil {
			t.Error("the second instance did not take over")
		}
		stop2()
		exits(t, <-ended2, ops.ExitOK)
		w.equal()
	})
}

// elsewhere makes the last heartbeat look like another host's, so that this process is not taken for its dead self.
func (w *world) elsewhere() {
	w.t.Helper()
	producer.SetHost("elsewhere")
	w.t.Cleanup(func() { producer.SetHost("") })
}

// P1: a one-shot command beside a living service refuses; --take-over fences it, and the loser says by whom and ends with 70.
func TestP1OneShotBesideService(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 12}, func(w *world) {
		stop, ended := w.background(w.producer())
		defer stop()
		pass(time.Minute)
		w.elsewhere()
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitUnavailable, "serves account", "--take-over")
		p := w.producer()
		p.TakeOver = true
		exits(t, p.Sync(w.t.Context()), ops.ExitOK)
		pass(time.Minute)
		exits(t, <-ended, ops.ExitInternal, "taken over", "elsewhere")
		w.equal()
	})
}

// P1: a one-shot command that takes long shows signs of life as well: the next one refuses, and does not fence it.
func TestP1OneShotShowsLife(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 306}, func(w *world) {
		w.sim.Fault(harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoSlow, Delay: 50 * time.Second})
		first := make(chan error, 1)
		go func() { first <- w.producer().Sync(w.t.Context()) }()
		pass(5 * time.Second)
		w.elsewhere()
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitUnavailable, "`producer sync`", "--take-over")
		exits(t, <-first, ops.ExitOK)
		w.equal()
	})
}

// P1: after a clean stop a start does not wait.
func TestP1SignOff(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 13}, func(w *world) {
		w.sync()
		w.elsewhere()
		began := time.Now()
		w.sync()
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("a start after a sign-off took %s of waiting and reading", took)
		}
	})
}

// P1: data without a checkpoint is no first run.
func TestP1Initialise(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 14}, func(w *world) {
		w.sync()
		n := w.records()
		cl, _ := w.client()
		if _, err := kadm.NewClient(cl).DeleteTopics(w.t.Context(), "harvest._checkpoints"); err != nil {
			t.Fatal(err)
		}
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitConfig, "--initialise")
		p := w.producer()
		p.Initialise = true
		exits(t, p.Sync(w.t.Context()), ops.ExitOK)
		if again := w.records(); again != n {
			t.Errorf("--initialise published %d records of an account that had not changed", again-n)
		}
		w.equal()
	})
}

// P7, P12: one deleted entry is gone from the topic after two probe intervals and few requests; a deleted project takes its entries along.
func TestP12DeletesAreFoundSoon(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 15, Sizes: harvesttest.Sizes{TimeEntries: 3000, Users: 5, Clients: 3, Projects: 6, Tasks: 3, Invoices: 3, Estimates: 3, Expenses: 30}}, func(w *world) {
		w.env = append(w.env, "HARVEST_RECENT_SWEEP_INTERVAL=24h")
		cfg := w.config()
		p, err := producer.New(cfg, producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger(), PageSize: 100})
		if err != nil {
			t.Fatal(err)
		}
		stop, ended := w.background(p)
		pass(3 * time.Minute)
		ids := w.sim.IDs("time_entries")
		victim := ids[len(ids)/2]
		w.sim.ResetRequests()
		if err := w.sim.Delete("time_entries", victim); err != nil {
			t.Fatal(err)
		}
		pass(2*time.Minute + 10*time.Second)
		if !w.gone("time_entries", victim) {
			t.Errorf("time entry %d is still on the topic", victim)
		}
		extra := 0
		for _, r := range w.sim.Requests() {
			if r.Path == "time_entries/*" || strings.Contains(r.Query, "from=") || r.Path == "users/me" {
				extra++
			}
		}
		if extra > 30 {
			t.Errorf("finding one deleted entry took %d requests", extra)
		}
		project := w.sim.IDs("projects")[0]
		if err := w.sim.Delete("projects", project); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Minute)
		stop()
		exits(t, <-ended, ops.ExitOK)
		w.equal("time_entries", "projects", "expenses", "task_assignments", "user_assignments")
	})
}

// P7: what a partial token loses, what a switched-off module hides and what an outage empties is never taken for deleted.
func TestP7NothingIsDeletedByMistake(t *testing.T) {
	cases := map[string]func(w *world){
		"a manager loses a project": func(w *world) {
			if err := w.sim.Manage(w.sim.IDs("projects")[0], false); err != nil {
				w.t.Fatal(err)
			}
		},
		"invoices are switched off": func(w *world) { w.sim.SwitchModule("invoice_feature", false) },
		"lists come back empty": func(w *world) {
			w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoEmpty})
		},
		"a third of the rows hide": func(w *world) {
			w.sim.Fault(harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoRewrite, Rewrite: hideThird})
			w.sim.Fault(harvesttest.Fault{Match: "time_entries/*", Do: harvesttest.DoStatus, Status: 404, Body: `{"status":404,"error":"Not Found"}`})
		},
	}
	for name, trouble := range cases {
		t.Run(name, func(t *testing.T) {
			for _, off := range []harvesttest.Off{harvesttest.OffForbidden, harvesttest.OffNotFound, harvesttest.OffEmpty} {
				o := harvesttest.Options{Seed: 16, OffAnswer: off}
				if strings.Contains(name, "manager") {
					o.Role, o.Rights = harvesttest.Manager, []string{"billable_rates_manager"}
				}
				bubble(t, o, func(w *world) {
					w.env = append(w.env, "HARVEST_SWEEP_INTERVAL=10m", "HARVEST_CHILDREN_INTERVAL=10m")
					w.serve(func() {
						pass(3 * time.Minute)
						trouble(w)
						pass(time.Hour)
					})
					if n := w.tombstones(); n > 0 {
						t.Errorf("answer of a module that is off %v: %d tombstones", off, n)
					}
				})
			}
		})
	}
}

// P7: a process that has met no row of a stream has no control for its 404s, so an account that looks empty to it from the start loses
// nothing, projects asked for on behalf of their entries included.
func TestP7NoControlNoDelete(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 16}, func(w *world) {
		w.env = append(w.env, "HARVEST_SWEEP_INTERVAL=6m", "HARVEST_CHILDREN_INTERVAL=6m")
		w.sync()
		pass(10 * time.Minute)
		w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoEmpty})
		field := regexp.MustCompile(`\{\w+\}`)
		for _, s := range schema.All() {
			if match := field.ReplaceAllString(s.Get, "*"); match != "" && match != "users/*" { // that is users/me as well
				w.sim.Fault(harvesttest.Fault{Match: match, Do: harvesttest.DoStatus, Status: 404, Body: `{"status":404,"error":"Not Found"}`})
			}
		}
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitData, "--allow-deletes")
		if n := w.tombstones(); n > 0 {
			t.Errorf("%d tombstones, want none", n)
		}
	})
}

// hideThird drops every third row of a page and corrects its totals.
func hideThird(body []byte) []byte {
	return rewriteList(body, "time_entries", func(rows []any) []any {
		return slices.DeleteFunc(rows, func(r any) bool { return int64(r.(map[string]any)["id"].(float64))%3 == 0 })
	})
}

// P7: the brake waits for an answer, too small an answer deletes nothing, the right one only what a GET does not show.
func TestP7Brake(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 17}, func(w *world) {
		w.sync()
		ids := w.sim.IDs("expenses")
		var gone []int64
		for _, id := range ids {
			if w.sim.Delete("expenses", id) == nil {
				gone = append(gone, id)
			}
		}
		pass(10 * time.Minute)
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitData, "expenses", "--allow-deletes")
		if n := w.tombstones(); n > 0 {
			t.Fatalf("%d tombstones before an answer", n)
		}
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, len(gone)-1, false), ops.ExitData)
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, len(gone), true), ops.ExitOK)
		if n := w.tombstones(); n > 0 {
			t.Fatalf("%d tombstones after too small an answer and a dry run", n)
		}
		exits(t, w.producer().Sweep(w.t.Context(), []string{"expenses"}, len(gone), false), ops.ExitOK)
		w.equal("expenses")
	})
}

// P10: an earlier anchor extends the mirror, a later one changes nothing; nothing from outside gets in by a sweep.
func TestP10Anchor(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 18}, func(w *world) {
		day := func(ago int) string {
			return "HARVEST_ANCHOR_DATE=" + time.Now().AddDate(0, 0, -ago).Format(time.DateOnly)
		}
		inside := func(ago int) int {
			n := 0
			for _, o := range w.sim.Truth("time_entries") {
				if strings.Compare(field(o.JSON, "updated_at"), time.Now().AddDate(0, 0, -ago).Format(time.DateOnly)) >= 0 {
					n++
				}
			}
			return n
		}
		w.env = append(w.env, "HARVEST_SWEEP_INTERVAL=6m")
		steps := []struct{ ago, mirror int }{{30, 30}, {10, 30}, {100, 100}, {50, 100}}
		for _, s := range steps {
			w.sync(day(s.ago))
			pass(10 * time.Minute)
			w.sync(day(s.ago)) // sweeps too
			if got, want := len(w.history("time_entries")), inside(s.mirror); got != want {
				t.Errorf("anchor %d days ago: %d entries in the mirror, want %d", s.ago, got, want)
			}
		}
		for _, p := range w.topic("time_entries") {
			if p.op == "create" && p.cause != "backfill" { // a first read brings them, and is said to be under way, not a sweep
				t.Errorf("entry %d came by %s", p.id, p.cause)
			}
		}
	})
}

// P11: what stops what.
func TestP11Errors(t *testing.T) {
	cases := map[string]struct {
		trouble func(w *world)
		code    int
		words   []string
	}{
		"a revoked token":         {func(w *world) { w.sim.SetToken("another") }, ops.ExitPermission, []string{"HARVEST_API_KEY"}},
		"an account out of reach": {func(w *world) { w.env = append(w.env, "HARVEST_ACCOUNT_ID=1") }, ops.ExitConfig, []string{"HARVEST_ACCOUNT_ID"}},
		"a member's token":        {func(w *world) { w.sim.ChangeRole(harvesttest.Member) }, ops.ExitPermission, []string{"blocked"}},
		"a module off":            {func(w *world) { w.sim.SwitchModule("expense_feature", false) }, ops.ExitPermission, []string{"expense"}},
		"a web page instead of a list": {func(w *world) {
			w.sim.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoBody, Body: "<html>hello</html>"})
		}, ops.ExitData, []string{"clients"}},
		"bodies cut short": {func(w *world) { w.sim.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoCut, Bytes: -5}) }, ops.ExitData, []string{"clients"}},
		"an outage":        {func(w *world) { w.sim.Fault(harvesttest.Fault{Do: harvesttest.DoStatus, Status: 503}) }, ops.ExitUnavailable, nil},
		"a foreign link": {func(w *world) {
			w.sim.Fault(harvesttest.Fault{Match: "clients", Do: harvesttest.DoLink, Link: "https://evil.example/v2/clients?page=2"})
		}, ops.ExitData, []string{"clients"}},
		"a row without an id": {func(w *world) {
			w.sim.Fault(harvesttest.Fault{Match: "tasks", Do: harvesttest.DoRewrite, Rewrite: func(b []byte) []byte {
				return []byte(strings.ReplaceAll(string(b), `"id":`, `"no_id":`))
			}})
		}, ops.ExitData, []string{"tasks"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 19}, func(w *world) {
				c.trouble(w)
				err := w.producer().Sync(w.t.Context())
				exits(t, err, c.code, c.words...)
				if strings.Contains(w.log.String()+fmt.Sprint(err), "test-token") {
					t.Error("the token is shown")
				}
				if c.code == ops.ExitData { // the others go on
					w.equal("users", "time_entries", "invoices")
				}
			})
		})
	}
}

// P14: a value that does not fit is null and kept in extra; nothing is lost, nothing stops.
func TestP14BadValues(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 20}, func(w *world) {
		id := w.sim.IDs("time_entries")[0]
		if err := w.sim.Touch("time_entries", id, harvesttest.Fields{"hours": harvesttest.Raw(`"lots"`), "notes": harvesttest.Raw(`{"a":1}`)}); err != nil {
			t.Fatal(err)
		}
		w.sync()
		for _, p := range w.topic("time_entries") {
			if p.id == id && (p.fields["hours"] != "" || !strings.Contains(p.fields["extra"], `"hours":"lots"`)) {
				t.Errorf("hours is %q, extra %q", p.fields["hours"], p.fields["extra"])
			}
		}
	})
}

// P15: a topic that was deleted and made again is noticed and filled; only what is missing is published.
func TestP15LostTopic(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 21}, func(w *world) {
		w.sync()
		seq := int64(len(w.topic("clients")))
		users := len(w.topic("users"))
		cl, _ := w.client()
		if _, err := kadm.NewClient(cl).DeleteTopics(w.t.Context(), "harvest.clients"); err != nil {
			t.Fatal(err)
		}
		w.sync()
		again := w.topic("clients")
		if len(again) != w.sim.Count("clients") || again[0].seq != seq+1 {
			t.Errorf("%d clients from seq %d, want %d from %d", len(again), again[0].seq, w.sim.Count("clients"), seq+1)
		}
		if n := len(w.topic("users")); n != users {
			t.Errorf("%d users published again", n-users)
		}
		if !strings.Contains(w.log.String(), "records were lost") {
			t.Error("the loss was not said")
		}
	})
}

// The topic is the memory: one that forgets is refused before anything is read (design §4).
func TestRefusesForgetfulTopics(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 22}, func(w *world) {
		cl, _ := w.client()
		policy := "delete"
		if _, err := kadm.NewClient(cl).CreateTopic(w.t.Context(), 1, 1, map[string]*string{"cleanup.policy": &policy}, "harvest.tasks"); err != nil {
			t.Fatal(err)
		}
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitConfig, "harvest.tasks", "cleanup.policy")
		if n := len(w.sim.Requests()); n > 0 {
			t.Errorf("%d requests were made", n)
		}
	})
}

// P9: the account's limit is kept whatever happens, and every class of work is served.
func TestP9Budget(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 23, Limit: 100, Sizes: harvesttest.Sizes{TimeEntries: 2000, Invoices: 300, Users: 10, Clients: 10, Projects: 20, Tasks: 5, Estimates: 50, Expenses: 100}}, func(w *world) {
		cfg := w.config("HARVEST_RATE_LIMIT=100", "HARVEST_SWEEP_INTERVAL=10m", "HARVEST_CHILDREN_INTERVAL=10m")
		p, err := producer.New(cfg, producer.Deps{Version: "test", Transport: w.sim.RoundTripper(), Log: w.logger(), PageSize: 50})
		if err != nil {
			t.Fatal(err)
		}
		stop, ended := w.background(p)
		pass(30 * time.Minute)
		stop()
		exits(t, <-ended, ops.ExitOK)
		if n := w.sim.WorstWindow(15 * time.Second); n > 100 {
			t.Errorf("%d requests within 15 s", n)
		}
		for _, r := range w.sim.Requests() {
			if r.Status == 429 {
				t.Error("throttled")
				break
			}
		}
		w.equal()
	})
}

// rewriteList changes the rows of a page, and its totals with them.
func rewriteList(body []byte, list string, change func([]any) []any) []byte {
	var page map[string]any
	if json.Unmarshal(body, &page) != nil {
		return body
	}
	rows, ok := page[list].([]any)
	if !ok {
		return body
	}
	kept := change(slices.Clone(rows))
	page[list] = kept
	page["total_entries"] = page["total_entries"].(float64) - float64(len(rows)-len(kept))
	out, err := json.Marshal(page)
	if err != nil {
		return body
	}
	return out
}

// field is a top-level string of an object.
func field(object []byte, name string) string {
	var v map[string]any
	_ = json.Unmarshal(object, &v)
	s, _ := v[name].(string)
	return s
}

// P4: rows that become visible long after their stamp are found by the polls themselves, within the lookback, without any sweep.
func TestP4LateRows(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 24}, func(w *world) {
		ids := w.sim.IDs("time_entries")
		w.serve(func() {
			pass(2 * time.Minute)
			w.sim.SetLate(1, 100*time.Second)
			for i := range 60 {
				if err := w.sim.Update("time_entries", ids[i], harvesttest.Fields{"notes": fmt.Sprint("late ", i)}); err != nil {
					t.Log(err)
				}
				pass(3 * time.Second)
			}
			w.sim.SetLate(0, 0)
			pass(6 * time.Minute)
		}, "HARVEST_SWEEP_INTERVAL=24h", "HARVEST_RECENT_SWEEP_INTERVAL=24h")
		w.equal("time_entries")
	})
}

// P2: a record its topic does not take is found before it is produced, and stops its stream only.
func TestP2RecordTooLarge(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 25}, func(w *world) {
		id := w.sim.IDs("clients")[0]
		if err := w.sim.Update("clients", id, harvesttest.Fields{"address": strings.Repeat("long ", 300_000)}); err != nil {
			t.Fatal(err)
		}
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitData, "clients", fmt.Sprint(id), "max.message.bytes")
		if n := len(w.topic("clients")); n > 0 {
			t.Errorf("%d clients were published", n)
		}
		w.equal("users", "time_entries", "invoices")
	})
}

// P2: once the topic takes such a record, its stream goes on, without a new process.
func TestP2RecordTooLargeNoMore(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 28}, func(w *world) {
		w.set("clients", w.sim.IDs("clients")[0], harvesttest.Fields{"address": strings.Repeat("long ", 209_660)}) // the other decoder takes no more than 1 MiB
		w.serve(func() {
			pass(10 * time.Minute)
			cl, _ := w.client()
			more := "3000000"
			if _, err := kadm.NewClient(cl).AlterTopicConfigs(w.t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &more}}, "harvest.clients"); err != nil {
				t.Error(err)
			}
			pass(70 * time.Minute)
		})
		w.equal("clients")
	})
}

// P8: a running timer is one change per HARVEST_TIMER_RESOLUTION, and its end is told also where it moves no updated_at.
func TestP8Timers(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 26, Silent: harvesttest.SilentStop}, func(w *world) {
		user := w.sim.IDs("users")[1]
		var id int64
		w.serve(func() {
			pass(2 * time.Minute)
			var err error
			if id, err = w.sim.StartTimer(user); err != nil {
				t.Fatal(err)
			}
			pass(2*time.Hour + time.Minute)
			if _, err := w.sim.StopTimer(user); err != nil {
				t.Fatal(err)
			}
			pass(2 * time.Minute)
		}, "HARVEST_SWEEP_INTERVAL=24h", "HARVEST_RECENT_SWEEP_INTERVAL=24h")
		versions := 0
		for _, p := range w.topic("time_entries") {
			if p.id == id {
				versions++
			}
		}
		if versions < 8 || versions > 11 {
			t.Errorf("two hours of a timer are %d records, want one at its start, one per 15 minutes, one at its end", versions)
		}
		w.equal("time_entries")
	})
}

// P7: neither a page computed before a delete and delivered after it, nor a lagging replica asked after it, brings a row back.
func TestP7NoResurrection(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 27}, func(w *world) {
		victim := w.sim.IDs("time_entries")[3]
		w.serve(func() {
			pass(2 * time.Minute)
			if err := w.sim.Update("time_entries", victim, harvesttest.Fields{"notes": "soon gone"}); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Second)
			if err := w.sim.Delete("time_entries", victim); err != nil {
				t.Fatal(err)
			}
			pass(2*time.Minute + 30*time.Second)
			if !w.gone("time_entries", victim) {
				t.Fatal("the delete was not found")
			}
			w.sim.Fault(harvesttest.Fault{Match: "time_entries", Do: harvesttest.DoLag, Delay: 3 * time.Minute, Count: 40})
			pass(5 * time.Minute)
		})
		seen := false
		for _, p := range w.topic("time_entries") {
			if p.id == victim && seen && !p.deleted {
				t.Errorf("the row came back with seq %d", p.seq)
			}
			seen = seen || p.id == victim && p.deleted
		}
		w.equal("time_entries")
	})
}

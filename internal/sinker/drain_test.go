package sinker_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
	"harveststream/pkg/schema"
)

// TestDrainAllStreams: random rows of every stream reach their tables, field by field, items in their tables too.
func TestDrainAllStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	want := map[string]map[string]string{}
	items := map[string]int{}
	for _, st := range schema.All() {
		w.topics(1, st.Name)
		want[st.Name] = map[string]string{}
		var list []version
		for id := range int64(40) {
			v := version{stream: st, id: id*7 + 1, row: randomRow(r, st.Schema)}
			list = append(list, v)
		}
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		w.publish(list...)
		for i := range list {
			want[st.Name][fmt.Sprintf("%d/%d", list[i].id, list[i].account)] = expected(t, &list[i], nil, false)
			for _, f := range []string{"line_items", "recipients"} {
				if l, ok := list[i].row[f].([]row); ok {
					items[st.Name] += len(l)
				}
			}
		}
	}
	w.drain()
	for _, st := range schema.All() {
		w.equal(w.table("harvest."+st.Name, "id, account_id"), want[st.Name])
	}
	for name, child := range map[string]string{"invoices": "invoice_line_items", "estimates": "estimate_line_items",
		"invoice_messages": "invoice_message_recipients", "estimate_messages": "estimate_message_recipients"} {
		if n := one[int](w, "SELECT count(*) FROM harvest."+child); n != items[name] || n == 0 {
			t.Errorf("%s has %d rows, not %d", child, n, items[name])
		}
	}
	if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n != 0 {
		t.Errorf("%d dead letters, the first: %s", n, one[string](w, "SELECT reason FROM harvest._dead_letters LIMIT 1"))
	}
}

// TestDrainHistory: updates, deletes and a second drain.
func TestDrainHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "clients", "invoices")
	clients, invoices := stream(t, "clients"), stream(t, "invoices")
	item := func(n int64) row { return row{"id": n, "quantity": big.NewRat(n, 4)} }
	w.publish(version{stream: clients, id: 1, row: row{"name": "Client 1"}}, version{stream: clients, id: 2, row: row{"name": "Client 2"}})
	w.publish(version{stream: invoices, id: 9, row: row{"line_items": []row{item(1), item(2)}}}, version{stream: invoices, id: 10, row: row{"line_items": []row{item(5)}}})
	w.drain()
	w.publish(version{stream: clients, id: 1, row: row{"name": "renamed"}}, version{stream: clients, id: 2}, version{stream: clients, id: 3, row: row{}})
	w.publish(version{stream: invoices, id: 9, row: row{"line_items": []row{item(3)}}}, version{stream: invoices, id: 10})
	w.drain()
	if got := fmt.Sprint(w.table("harvest.clients", "id, _seq, name")); len(w.table("harvest.clients", "id")) != 2 || w.table("harvest.clients", "id, _seq, name")["1/3/renamed"] == "" {
		t.Error(got)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest.invoice_line_items"); n != 1 {
		t.Errorf("%d line items, not 1", n)
	}
	if q := one[string](w, "SELECT quantity::text FROM harvest.invoice_line_items WHERE invoice_id = 9 AND ordinal = 1"); q != "0.75" {
		t.Errorf("quantity %s", q)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest._deleted"); n != 2 {
		t.Errorf("%d remembered deletes", n)
	}
	if age := time.Since(one[time.Time](w, "SELECT min(at_end) FROM harvest._offsets")); age > time.Minute {
		t.Errorf("at_end is %v old", age)
	}
}

// TestDrainLoss: a topic that is lost while a drain reads stops alone: the others are drained to their ends, and the exit code and the
// error say which was lost (S2).
func TestDrainLoss(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w *world, topic string) error{
		"records gone": func(w *world, topic string) error {
			offs := kadm.Offsets{}
			offs.AddOffset(topic, 0, 300, -1)
			deleted, err := kadm.NewClient(w.cl).DeleteRecords(w.t.Context(), offs)
			return cmp.Or(err, deleted.Error())
		},
		"made anew": func(w *world, topic string) error {
			if _, err := kadm.NewClient(w.cl).DeleteTopics(w.t.Context(), topic); err != nil {
				return err
			}
			w.topics(1, "clients")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.topics(1, "clients", "tasks")
			w.drain()
			for _, name := range []string{"clients", "tasks"} {
				var list []version
				for id := range int64(600) {
					list = append(list, version{stream: stream(t, name), id: id + 1, row: row{}})
				}
				w.publish(list...)
			}
			claimed := 0
			deps := w.deps
			deps.Hook = func(at string) error {
				if at == "ks01" {
					if claimed++; claimed == 2 { // both were looked at, neither is being read
						return spoil(w, w.kafka.Topic("clients"))
					}
				}
				return nil
			}
			err := sinker.Drain(t.Context(), w.cfg, deps, time.Time{})
			if ops.ExitCode(err) != ops.ExitData || !strings.Contains(err.Error(), "sinker rebuild clients") || strings.Contains(err.Error(), "rebuild tasks") {
				t.Errorf("exit %d: %v", ops.ExitCode(err), err)
			}
			if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 600 {
				t.Errorf("the other topic has %d of 600 rows", n)
			}
			if n := one[int](w, "SELECT count(*) FROM harvest.clients"); n != 0 {
				t.Errorf("%d rows of the lost topic were applied", n)
			}
		})
	}
}

// TestRecordsGone: an offset that the log has lost at its start is found before anything is taken or read, by `check` too, and nothing is
// changed (S2).
func TestRecordsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	w.drain()
	gone := func(before int64) {
		offs := kadm.Offsets{}
		offs.AddOffset(w.kafka.Topic("tasks"), 0, before, -1)
		if _, err := kadm.NewClient(w.cl).DeleteRecords(t.Context(), offs); err != nil {
			t.Fatal(err)
		}
	}
	w.publish(version{stream: tasks, id: 2, row: row{}}, version{stream: tasks, id: 3, row: row{}})
	gone(2) // all that is applied, and nothing else
	check := func() string {
		var out bytes.Buffer
		deps := w.deps
		deps.Stdout = &out
		_ = sinker.Check(t.Context(), w.cfg, deps)
		return out.String()
	}
	if text := check(); strings.Contains(text, "WRONG topic") {
		t.Errorf("nothing is lost: %s", text)
	}
	gone(3)
	before := one[string](w, "SELECT o::text FROM harvest._offsets o")
	if text := check(); !strings.Contains(text, "the log starts at 3; run `sinker rebuild tasks`") {
		t.Errorf("check says %s", text)
	}
	if code, text := w.exitOf(w.cfg); code != ops.ExitData || !strings.Contains(text, "offset 2 of harvest.tasks/0 is gone") {
		t.Errorf("exit %d: %s", code, text)
	}
	if after := one[string](w, "SELECT o::text FROM harvest._offsets o"); after != before {
		t.Errorf("the offset went from %s to %s", before, after)
	}
}

// TestEndOfAnswer: the client fetches ahead, and hands an answer over long after it came. What is known of it is that it was asked for when
// the one before it had been handed over: then, and not later, its last stable offset was the partition's end (S8).
func TestEndOfAnswer(t *testing.T) {
	t.Parallel()
	began := time.Now()
	in := sinker.NewIntake()
	at := func(minutes int) time.Time { return began.Add(time.Duration(minutes) * time.Minute) }
	check := func(to int64, from, until time.Time) {
		t.Helper()
		gotTo, end := in.Take()
		if gotTo != to || end.Before(from) || end.After(until) {
			t.Errorf("to %d, at its end %v; not to %d, at %v to %v", gotTo, end.Sub(began), to, from.Sub(began), until.Sub(began))
		}
	}
	in.Push(0, 1, at(10))
	check(1, began, at(1))
	in.Push(1, 2, at(20))
	check(2, at(10), at(10))
	in.Push(2, 4, at(30)) // one answer in two parts
	check(3, time.Time{}, time.Time{})
	in.Push(3, 4, at(40))
	check(4, at(20), at(20))
	in.Push(4, 6, at(50)) // not to its end
	in.Push(5, 7, at(60))
	check(6, time.Time{}, time.Time{})
	in.Push(6, 7, at(70))
	check(7, at(50), at(50))
}

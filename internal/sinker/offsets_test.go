package sinker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// history publishes n random versions of some tasks and returns what the table must hold in the end, by key.
func (w *world) history(r *rand.Rand, n int, soft bool) map[string]string {
	w.t.Helper()
	tasks := stream(w.t, "tasks")
	last := map[int64]version{}
	rows := map[int64]version{}
	var list []version
	for range n {
		v := version{stream: tasks, id: int64(1 + r.IntN(n/3+1))}
		if r.IntN(4) > 0 {
			v.row = randomRow(r, tasks.Schema)
		}
		list = append(list, v)
	}
	w.publish(list...)
	for _, v := range list {
		last[v.id] = v
		if v.row != nil {
			rows[v.id] = v
		}
	}
	want := map[string]string{}
	for id, v := range rows {
		switch {
		case last[id].row != nil:
			want[fmt.Sprintf("%d/%d", id, account)] = expected(w.t, &v, nil, soft)
		case soft:
			want[fmt.Sprintf("%d/%d", id, account)] = expected(w.t, &v, zoned(last[id].at), soft)
		}
	}
	return want
}

// pick keeps the rows that a history spoke of: others are of earlier ones.
func pick(all, want map[string]string) map[string]string {
	kept := map[string]string{}
	for k := range want {
		kept[k] = all[k]
	}
	return kept
}

// TestReplays: offsets set back anywhere, again and again, change nothing (S3).
func TestReplays(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "tasks")
		r := rand.New(rand.NewPCG(21, 22))
		want := w.history(r, 500, mode == "soft")
		for range 8 {
			w.drain()
			w.equal(w.table("harvest.tasks", "id, account_id"), want)
			w.sql("UPDATE harvest._offsets SET next = $1", r.IntN(500))
		}
		w.sql("DELETE FROM harvest._offsets") // even without what it knew of seqs
		w.drain()
		w.equal(w.table("harvest.tasks", "id, account_id"), want)
	}
}

// TestFour sinkers race for the same partitions while transactions die: the offsets form one chain and the table is right (S1).
func TestFour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	r := rand.New(rand.NewPCG(31, 32))
	w.drain()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			var mu sync.Mutex
			deps := w.deps
			deps.Log = quiet
			deps.Hook = func(string) error {
				mu.Lock()
				defer mu.Unlock()
				if r.IntN(12) == 0 {
					return ops.Fail(ops.ExitInternal, errors.New("this transaction dies"))
				}
				return nil
			}
			for ctx.Err() == nil {
				_ = sinker.Drain(ctx, w.cfg, deps, time.Time{})
			}
		})
	}
	var want map[string]string
	for range 20 {
		want = w.history(r, 40, false)
	}
	w.eventually("SELECT fence > 20 FROM harvest._offsets")
	cancel()
	all.Wait()
	w.drain()
	w.equal(pick(w.table("harvest.tasks", "id, account_id"), want), want)
}

// TestAbortedTail: a topic that ends in an aborted transaction is read to its end, position for position (S1).
func TestAbortedTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	ghost := version{stream: tasks, id: 2, seq: 2, row: row{}}
	w.produce(kgo.TryAbort, w.record(&ghost))
	w.drain()
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
		t.Errorf("%d rows", n)
	}
	if n := one[int64](w, "SELECT next FROM harvest._offsets"); n != 4 { // record, marker, record, marker
		t.Errorf("next is %d", n)
	}
}

// exitOf drains and returns the exit code and the error's text.
func (w *world) exitOf(cfg sinker.Config) (int, string) {
	err := sinker.Drain(w.t.Context(), cfg, w.deps, time.Time{})
	return ops.ExitCode(err), fmt.Sprint(err)
}

// TestStops: what is lost stops its topic, names the remedy, and leaves the others alone (S2, S8). Rebuild mends it.
func TestStops(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w *world){
		"records gone": func(w *world) {
			w.publish(version{stream: stream(w.t, "tasks"), id: 2, row: row{}}, version{stream: stream(w.t, "tasks"), id: 3, row: row{}})
			offs := kadm.Offsets{}
			offs.AddOffset(w.kafka.Topic("tasks"), 0, 4, -1)
			if _, err := kadm.NewClient(w.cl).DeleteRecords(w.t.Context(), offs); err != nil {
				w.t.Fatal(err)
			}
		},
		"log cut": func(w *world) { w.sql("UPDATE harvest._offsets SET next = 1000 WHERE topic = 'harvest.tasks'") },
		"made anew": func(w *world) {
			if _, err := kadm.NewClient(w.cl).DeleteTopics(w.t.Context(), w.kafka.Topic("tasks")); err != nil {
				w.t.Fatal(err)
			}
			w.topics(1, "tasks")
			w.connect()
			w.publish(version{stream: stream(w.t, "tasks"), id: 5, row: row{}}, version{stream: stream(w.t, "tasks"), id: 6, row: row{}})
		},
		"too late": func(w *world) {
			w.publish(version{stream: stream(w.t, "tasks"), id: 2, row: row{}})
			w.sql("UPDATE harvest._offsets SET at_end = now() - interval '400 days' WHERE topic = 'harvest.tasks'")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.topics(1, "tasks", "clients")
			w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{"name": "Task 1"}})
			w.drain()
			before := w.table("harvest.tasks", "id")
			spoil(w)
			w.publish(version{stream: stream(t, "clients"), id: 1, row: row{}})
			code, text := w.exitOf(w.cfg)
			if code != ops.ExitData || !strings.Contains(text, "sinker rebuild tasks") {
				t.Errorf("exit %d: %s", code, text)
			}
			if n := one[int](w, "SELECT count(*) FROM harvest.clients"); n != 1 {
				t.Errorf("the other stream has %d rows", n)
			}
			if after := w.table("harvest.tasks", "id"); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the stopped table changed: %v", after)
			}
			if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
				t.Fatal(err)
			}
			w.drain()
			if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks", "clients"}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOutOfRange: an offset that the log does not have any more under way is no reason to begin elsewhere (S2).
func TestOutOfRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	w.bus.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: w.kafka.Topic("tasks"), Err: kerr.OffsetOutOfRange})
	w.eventually("SELECT topic_id = 'cut' FROM harvest._offsets")
}

// TestIdleIsNotLate: who stands at the end may stand there for ever (S8).
func TestIdleIsNotLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.drain()
	w.sql("UPDATE harvest._offsets SET at_end = now() - interval '400 days'")
	w.drain()
	if time.Since(one[time.Time](w, "SELECT at_end FROM harvest._offsets")) > time.Minute {
		t.Error("at_end has not moved")
	}
}

// TestUntil: the tables of another schema show what was on the topics at a moment.
func TestUntil(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{"name": "then"}}, version{stream: tasks, id: 2, row: row{}})
	moment := time.Now()
	for time.Since(moment) < 5*time.Millisecond { // records carry milliseconds
		continue
	}
	w.publish(version{stream: tasks, id: 1, row: row{"name": "now"}}, version{stream: tasks, id: 2})
	if err := sinker.Drain(t.Context(), w.config("SINK_SCHEMA=past"), w.deps, moment.Add(2*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	w.drain()
	if got := fmt.Sprint(len(w.table("past.tasks", "id")), one[string](w, "SELECT name FROM past.tasks WHERE id = 1"), len(w.table("harvest.tasks", "id")),
		one[string](w, "SELECT name FROM harvest.tasks WHERE id = 1")); got != "2then1now" {
		t.Error(got)
	}
	if err := sinker.Drain(t.Context(), w.cfg, w.deps, moment); ops.ExitCode(err) != ops.ExitConfig {
		t.Errorf("a table beyond the moment: %v", err)
	}
}

// TestGaps: a hole in a partition's seq is loss when it is young, and compaction's when it is old (S9).
func TestGaps(t *testing.T) {
	t.Parallel()
	for history, want := range map[string]int64{"720h": 2, "0": 0, "all": 2} {
		w := newWorld(t, "KAFKA_HISTORY="+history)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{}}, version{stream: tasks, id: 2, seq: 4, row: row{}})
		w.drain()
		var got int64
		_ = w.db.QueryRow(t.Context(), "SELECT gaps FROM harvest._streams WHERE stream = 'tasks'").Scan(&got)
		if got != want {
			t.Errorf("history %s: %d records missing, not %d", history, got, want)
		}
		w.sql("UPDATE harvest._offsets SET next = 0")
		w.drain() // a replay counts nothing again
		_ = w.db.QueryRow(t.Context(), "SELECT gaps FROM harvest._streams WHERE stream = 'tasks'").Scan(&got)
		if got != want {
			t.Errorf("history %s: %d records missing after a replay", history, got)
		}
	}
}

// TestMixedKeyOrder: several accounts and partitions in one topic.
func TestMixedKeyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(3, "tasks")
	tasks := stream(t, "tasks")
	r := rand.New(rand.NewPCG(41, 42))
	last := map[string]version{}
	for range 4 {
		var list []version
		for range 300 {
			v := version{stream: tasks, id: int64(1 + r.IntN(50)), account: int64(1 + r.IntN(3))}
			v.part = int32(v.id % 3)
			if r.IntN(4) > 0 {
				v.row = row{"name": fmt.Sprint(r.IntN(1000))}
			}
			list = append(list, v)
		}
		w.publish(list...)
		for _, v := range list {
			last[fmt.Sprintf("%d/%d", v.id, v.account)] = v
		}
		w.drain()
	}
	want := map[string]string{}
	for k, v := range last {
		if v.row != nil {
			want[k] = expected(t, &v, nil, false)
		}
	}
	w.equal(w.table("harvest.tasks", "id, account_id"), want)
}

// TestPartialReplay: a replay that ends before a delete does not bring the row back (S3).
func TestPartialReplay(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]int{"hard": 0, "soft": 1} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{"name": "deleted since"}})
		moment := time.Now()
		for time.Since(moment) < 5*time.Millisecond { // records carry milliseconds
			continue
		}
		w.publish(version{stream: tasks, id: 1})
		w.drain()
		w.sql("UPDATE harvest._offsets SET next = 0")
		if mode == "soft" {
			w.sql("TRUNCATE harvest.tasks")
		}
		if err := sinker.Drain(t.Context(), w.cfg, w.deps, moment.Add(2*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != want {
			t.Errorf("%s: %d rows", mode, n)
		}
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks t WHERE to_jsonb(t) ->> '_deleted_at' IS NULL"); n != 0 {
			t.Errorf("%s: %d rows are alive", mode, n)
		}
	}
}

// TestSpoiltIsNotMissing: a record that was set aside is not counted as missing, by the service or after a rebuild (S5, S9).
func TestSpoiltIsNotMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	spoilt := func() *kgo.Record {
		v := version{stream: tasks, id: 2, row: row{}}
		rec := w.record(&v)
		rec.Value = []byte("spoilt")
		return rec
	}
	good := func() *kgo.Record { return w.record(&version{stream: tasks, id: 1, row: row{}}) }
	w.produce(kgo.TryCommit, good(), spoilt(), good(), spoilt())
	w.drain()
	if n := one[int](w, "SELECT count(*) FROM harvest._streams WHERE gaps > 0"); n != 0 {
		t.Error("a spoilt record is counted as missing")
	}
	w.produce(kgo.TryCommit, good(), spoilt())
	if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Fatal(err)
	}
	w.produce(kgo.TryCommit, good())
	w.drain()
	if got := one[string](w, `SELECT (SELECT count(*) FROM harvest._dead_letters) || ' ' || (SELECT coalesce(sum(gaps), 0) FROM harvest._streams) || ' ' || (SELECT _seq FROM harvest.tasks)`); got != "3 0 7" {
		t.Errorf("dead letters, records missing and the row's rank: %s", got)
	}
}

// TestLossStays: a log that had lost its end is not taken for whole once it has grown past the stored offset (S2).
func TestLossStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	w.drain()
	w.sql("UPDATE harvest._offsets SET next = 10")
	if code, text := w.exitOf(w.cfg); code != ops.ExitData {
		t.Fatalf("exit %d: %s", code, text)
	}
	for id := range int64(10) {
		w.publish(version{stream: tasks, id: id + 1, row: row{"name": "again"}})
	}
	if code, text := w.exitOf(w.cfg); code != ops.ExitData || !strings.Contains(text, "sinker rebuild tasks") {
		t.Errorf("exit %d: %s", code, text)
	}
}

// TestDataLoss: records that the client reports as lost stop the topic at once, and for good: what it reads on from is not applied (S2).
func TestDataLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}}, version{stream: tasks, id: 2, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 2 FROM harvest.tasks")
	w.bus.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		asked := req.(*kmsg.OffsetForLeaderEpochRequest)
		resp := asked.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = asked.Topics[0].Topic
		part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		part.LeaderEpoch, part.EndOffset = 0, 1
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	w.bus.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: w.kafka.Topic("tasks"), Err: kerr.FencedLeaderEpoch})
	w.eventually("SELECT topic_id = 'cut' FROM harvest._offsets")
	w.publish(version{stream: tasks, id: 3, row: row{}})
	if code, text := w.exitOf(w.cfg); code != ops.ExitData || !strings.Contains(text, "sinker rebuild tasks") {
		t.Errorf("exit %d: %s", code, text)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// TestGapsOfTheTopic: what compaction may have taken by the topic's own setting is not missing, whatever KAFKA_HISTORY says by now (S9).
func TestGapsOfTheTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "KAFKA_HISTORY=0")
	w.topics(1, "tasks") // made when KAFKA_HISTORY was 0
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}}, version{stream: tasks, id: 2, seq: 4, row: row{}})
	if err := sinker.Drain(t.Context(), w.config("KAFKA_HISTORY=720h"), w.deps, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n := one[int](w, "SELECT coalesce(sum(gaps), 0)::int FROM harvest._streams"); n != 0 {
		t.Errorf("%d records are said to be missing, which compaction may have taken", n)
	}
}

// TestManyDeletes: many deletes are written without asking for the rows; some are of rows that somebody has taken away, or were deleted
// before and came again.
func TestManyDeletes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "SINK_DELETE_MODE="+mode)
			w.topics(1, "clients")
			st := stream(t, "clients")
			const n = 1500
			all := func(but int64, r row) {
				versions := make([]version, 0, n)
				for id := but + 1; id <= n; id++ {
					versions = append(versions, version{stream: st, id: id, row: r})
				}
				w.publish(versions...)
				w.drain()
			}
			living := "SELECT count(*) FROM harvest.clients"
			if mode == "soft" {
				living += " WHERE _deleted_at IS NULL"
			}
			for round := range int64(3) {
				all(0, row{"name": "there"})
				if got := one[int](w, living); got != n {
					t.Fatalf("%d rows", got)
				}
				w.sql("DELETE FROM harvest.clients WHERE id = 17")
				all(round, nil)
				if got := one[int64](w, living); got != round {
					t.Errorf("%d rows are left", got)
				}
				if got := one[int](w, "SELECT count(*) FROM harvest._deleted"); got != n {
					t.Errorf("%d deletes are remembered", got)
				}
			}
			if got := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); got > 0 {
				t.Errorf("%d dead letters", got)
			}
		})
	}
}

package sinker_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// serve runs the service until the test or stop ends it.
func (w *world) serve(env ...string) (stop func() error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sinker.Run(ctx, w.config(env...), w.deps) }()
	stop = func() error { cancel(); err := <-done; done <- err; return err }
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

// forEver is longer than anything here lasts, on a busy machine too.
const forEver = 3 * time.Minute

// eventually waits until a query says true.
func (w *world) eventually(query string, args ...any) {
	w.t.Helper()
	deadline := time.Now().Add(forEver)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		var ok bool
		err := w.db.QueryRow(context.Background(), query, args...).Scan(&ok)
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not true: %s (%v)", query, err)
		}
	}
}

// TestRun: the service takes up topics that come into being, applies what comes, and ends cleanly.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "clients")
	clients, tasks := stream(t, "clients"), stream(t, "tasks")
	w.publish(version{stream: clients, id: 1, row: row{"name": "Client 1"}})
	stop := w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.clients")
	w.topics(2, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}}, version{stream: tasks, id: 2, part: 1, row: row{}}, version{stream: clients, id: 1, row: row{"name": "renamed"}})
	w.eventually("SELECT count(*) = 2 FROM harvest.tasks")
	w.eventually("SELECT name = 'renamed' FROM harvest.clients")
	began := time.Now()
	for i := range int64(20) {
		w.publish(version{stream: clients, id: 1, row: row{"name": fmt.Sprint(i)}})
		w.eventually("SELECT name = $1 FROM harvest.clients", fmt.Sprint(i))
	}
	t.Logf("%v from append to visible row", time.Since(began)/20)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestBeside: who raises the fence gets the partition, who finds it raised lets go, says so, and comes back when the other is gone (S1).
// A rebuild beside the service is no take-over.
func TestBeside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	w.sql("UPDATE harvest.tasks SET name = 'by hand'")
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}); ops.ExitCode(err) != ops.ExitData {
		t.Errorf("verify: %v", err)
	}
	w.publish(version{stream: tasks, id: 2, row: row{}})
	if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Fatal(err)
	}
	w.publish(version{stream: tasks, id: 3, row: row{}})
	w.eventually("SELECT count(*) = 3 AND count(name) = 0 FROM harvest.tasks")
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Error(err)
	}
	w.publish(version{stream: tasks, id: 4, row: row{}})
	w.drain() // takes the partition over
	w.publish(version{stream: tasks, id: 5, row: row{}})
	w.drain()
	w.eventually("SELECT count(*) = 5 FROM harvest.tasks")
}

// TestFenceAlone: who raises the fence and applies nothing has the partition all the same; and an offset that was moved elsewhere is not
// taken for a commit whose answer was lost (S1).
func TestFenceAlone(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(w *world){
		"claimed by another": func(w *world) { w.killed("ks02", 0) }, // which dies before it applies anything
		"moved":              func(w *world) { w.sql("UPDATE harvest._offsets SET next = 1") },
	} {
		w := newWorld(t)
		w.topics(1, "tasks")
		w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}}, version{stream: stream(t, "tasks"), id: 2, row: row{}})
		deps, once := w.deps, false
		deps.Hook = func(at string) error {
			if at == "ks02" && !once {
				once = true
				between(w)
			}
			return nil
		}
		if err := sinker.Drain(t.Context(), w.cfg, deps, time.Time{}); ops.ExitCode(err) != ops.ExitInternal {
			t.Errorf("%s: %v", name, err)
		}
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 0 {
			t.Errorf("%s: %d rows were written from behind the fence", name, n)
		}
	}
}

// TestTwoServices share the partitions of a topic; when one ends the other has them all.
func TestTwoServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(4, "tasks")
	tasks := stream(t, "tasks")
	add := func(id int64) {
		w.publish(version{stream: tasks, id: id, part: int32(id % 4), row: row{}})
	}
	w.serve()
	add(1)
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	stop := w.serve()
	for id := int64(2); id < 40; id++ {
		add(id)
	}
	w.eventually("SELECT count(*) = 39 FROM harvest.tasks")
	w.eventually("SELECT max(fence) > 1 FROM harvest._offsets")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for id := int64(40); id < 60; id++ {
		add(id)
	}
	w.eventually("SELECT count(*) = 59 FROM harvest.tasks")
}

// TestDatabaseAway: the service waits for a database that throws it out, and goes on by itself.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.serve()
	for id := int64(1); id <= 30; id++ {
		w.publish(version{stream: tasks, id: id, row: row{}})
		if id%5 == 0 {
			w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		}
		if id == 17 {
			w.sql(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
			w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		}
		if id == 23 {
			w.sql(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`)
		}
	}
	w.eventually("SELECT count(*) = 30 FROM harvest.tasks")
	if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestStoppedWhileRunning: a topic made anew under the service stops, the others go on, and a rebuild sets it going again (S2).
func TestStoppedWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "clients")
	tasks, clients := stream(t, "tasks"), stream(t, "clients")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	if _, err := kadm.NewClient(w.cl).DeleteTopics(t.Context(), w.kafka.Topic("tasks")); err != nil {
		t.Fatal(err)
	}
	w.topics(1, "tasks")
	w.connect()
	w.publish(version{stream: tasks, id: 2, row: row{}}, version{stream: tasks, id: 3, row: row{}}, version{stream: clients, id: 1, row: row{}})
	w.eventually("SELECT count(*) = 1 FROM harvest.clients")
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
		t.Errorf("%d rows", n)
	}
	if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Fatal(err)
	}
	w.publish(version{stream: tasks, id: 4, row: row{}})
	w.eventually("SELECT string_agg(id::text, ' ' ORDER BY id) = '2 3 4' FROM harvest.tasks")
}

// TestPassingErrors: what a broker says for a moment, also that it does not know the topic, stops nothing (S2).
func TestPassingErrors(t *testing.T) {
	t.Parallel()
	for _, passing := range []*kerr.Error{kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.UnknownServerError} {
		w := newWorld(t)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		fault := func() *kfake.FaultHandle {
			return w.bus.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: w.kafka.Topic("tasks"), Err: passing, Count: 2})
		}
		w.publish(version{stream: tasks, id: 1, row: row{}})
		met := fault()
		w.drain()
		met.Remove()
		again := fault() // before the service asks: what it asked for before would be answered
		w.serve()
		w.publish(version{stream: tasks, id: 2, row: row{}})
		w.eventually("SELECT count(*) = 2 FROM harvest.tasks")
		if met.Hits() == 0 || again.Hits() == 0 {
			t.Errorf("%s was met %d and %d times", passing.Message, met.Hits(), again.Hits())
		}
	}
}

// TestCompleteTo: _streams says up to when a table is complete, once what the checkpoint speaks of is applied (S9).
func TestCompleteTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "_checkpoints")
	tasks := stream(t, "tasks")
	ids, err := kafka.TopicIDs(t.Context(), w.cl, w.kafka.Topic("tasks"))
	if err != nil {
		t.Fatal(err)
	}
	cursor := time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC)
	say := func(next int64, cursor time.Time) {
		point := kafka.Checkpoint{Account: account, Stream: "tasks", Cursor: cursor, TopicID: kafka.TopicIDText(ids[w.kafka.Topic("tasks")]),
			Partitions: []kafka.PartitionState{{Seq: 1, Next: next}}}
		w.produce(kgo.TryCommit, &kgo.Record{Topic: w.kafka.CheckpointTopic(), Key: kafka.CheckpointKey(account, "tasks"), Value: point.Marshal()})
	}
	w.publish(version{stream: tasks, id: 1, row: row{}})
	say(1, cursor)
	w.drain()
	if got := one[time.Time](w, "SELECT complete_to FROM harvest._streams"); !got.Equal(cursor) {
		t.Errorf("complete to %v", got)
	}
	say(100, cursor.Add(time.Hour)) // speaks of what is not there yet
	w.drain()
	if got := one[time.Time](w, "SELECT complete_to FROM harvest._streams"); !got.Equal(cursor) {
		t.Errorf("complete to %v before its records are applied", got)
	}
	w.serve()
	say(2, cursor.Add(2*time.Hour))
	w.eventually("SELECT complete_to = $1 FROM harvest._streams", cursor.Add(2*time.Hour))
}

// TestCompleteToStays: a service that starts reads old checkpoints first; what it says of completeness does not step back meanwhile (S9).
func TestCompleteToStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "_checkpoints")
	cursor := time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC)
	say := func(hours int) {
		point := kafka.Checkpoint{Account: account, Stream: "tasks", Cursor: cursor.Add(time.Duration(hours) * time.Hour), Partitions: []kafka.PartitionState{{}}}
		w.produce(kgo.TryCommit, &kgo.Record{Topic: w.kafka.CheckpointTopic(), Key: kafka.CheckpointKey(account, "tasks"), Value: point.Marshal()})
	}
	pad := func() { // so that the topic comes in several answers
		for range 6 {
			w.produce(kgo.TryCommit, &kgo.Record{Topic: w.kafka.CheckpointTopic(), Key: []byte("other"), Value: bytes.Repeat([]byte("x"), 900<<10)})
		}
	}
	say(1)
	pad()
	say(2)
	w.drain()
	w.sql(`CREATE TABLE steps (complete_to timestamptz);
CREATE FUNCTION step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.steps VALUES (NEW.complete_to); RETURN NEW; END $$;
CREATE TRIGGER step BEFORE UPDATE ON harvest._streams FOR EACH ROW EXECUTE FUNCTION step()`)
	w.serve()
	say(3)
	w.eventually("SELECT complete_to = $1 FROM harvest._streams", cursor.Add(3*time.Hour))
	if n := one[int](w, "SELECT count(*) FROM steps WHERE complete_to IS NULL OR complete_to < $1", cursor.Add(2*time.Hour)); n != 0 {
		t.Errorf("%d steps back", n)
	}
}

// TestOffsetMoved: an offset set back under the service is taken up from where it stands: nothing is applied from anywhere else (S1).
func TestOffsetMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.serve()
	for id := range int64(5) {
		w.publish(version{stream: tasks, id: id + 1, row: row{}})
	}
	w.eventually("SELECT count(*) = 5 FROM harvest.tasks")
	w.sql("BEGIN; TRUNCATE harvest.tasks; UPDATE harvest._offsets SET next = 0; COMMIT")
	w.publish(version{stream: tasks, id: 6, row: row{}})
	w.eventually("SELECT count(*) = 6 FROM harvest.tasks")
}

// TestLostWhileIdle: what a server that crashed has lost, after it had said that it was committed, is applied again though nothing new
// comes; a drain that meets it says so (S1; synchronous_commit is off).
func TestLostWhileIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	lose := "BEGIN; DELETE FROM harvest.tasks; UPDATE harvest._offsets SET next = 0, seqs = '{}'; COMMIT"
	deps := w.deps
	deps.Hook = func(at string) error {
		if at == "ks07" {
			w.sql(lose)
		}
		return nil
	}
	if err := sinker.Drain(t.Context(), w.cfg, deps, time.Time{}); err == nil {
		t.Error("a drain whose rows are not there ended well")
	}
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	w.eventually("SELECT next = 2 FROM harvest._offsets")
	w.sql(lose)
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
}

// TestClaimLost: a server that crashed may have lost the claim of a partition, too: nobody else has it then (S1).
func TestClaimLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.serve()
	for _, lose := range []string{"DELETE FROM harvest._offsets", "UPDATE harvest._offsets SET next = 0, seqs = '{}', fence = fence - 1"} {
		w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
		w.eventually("SELECT next = 2 FROM harvest._offsets")
		w.sql("BEGIN; DELETE FROM harvest.tasks; " + lose + "; COMMIT")
	}
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
}

// TestBacklog: more than may wait for the database passes through, and what waited is given back (S7).
func TestBacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "roles")
	roles := stream(t, "roles")
	const n = 120_000
	for from := int64(0); from < n; from += 10_000 {
		list := make([]version, 10_000)
		for i := range list {
			list[i] = version{stream: roles, id: from + int64(i) + 1, row: row{"name": "Role"}}
		}
		w.publish(list...)
	}
	w.serve()
	w.eventually("SELECT count(*) = $1 FROM harvest.roles", int64(n))
}

// TestPartitionsAdded: partitions that are added under the service are read from their starts; a rebuild and a drain know them, too
// (reliability K12).
func TestPartitionsAdded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	tasks := stream(t, "tasks")
	w.publish(version{stream: tasks, id: 1, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	if _, err := kadm.NewClient(w.cl).CreatePartitions(t.Context(), 2, w.kafka.Topic("tasks")); err != nil {
		t.Fatal(err)
	}
	w.connect()
	w.publish(version{stream: tasks, id: 2, part: 1, row: row{}}, version{stream: tasks, id: 3, part: 2, row: row{}}, version{stream: tasks, id: 1, row: row{"name": "again"}})
	w.eventually("SELECT count(*) = 3 AND count(name) = 1 FROM harvest.tasks")
	w.sql("DELETE FROM harvest.tasks WHERE id = 3")
	if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Fatal(err)
	}
	w.publish(version{stream: tasks, id: 2, part: 1}, version{stream: tasks, id: 1, row: row{"name": "third"}})
	w.eventually("SELECT string_agg(id || coalesce(name, ''), ' ' ORDER BY id) = '1third 3' FROM harvest.tasks")
	if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Error(err)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest._offsets"); n != 3 {
		t.Errorf("%d offsets", n)
	}
}

// TestComingAndGoing: twelve sinkers come and go while records come; what the last of them leaves is right (reliability K20).
func TestComingAndGoing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(4, "tasks")
	tasks := stream(t, "tasks")
	w.drain()
	deps := w.deps
	deps.Log = quiet
	last := map[string]version{}
	r := rand.New(rand.NewPCG(81, 82))
	publish := func() {
		var list []version
		for range 20 {
			v := version{stream: tasks, id: int64(1 + r.IntN(40))}
			v.part = int32(v.id % 4)
			if r.IntN(3) > 0 {
				v.row = row{"name": fmt.Sprint(r.IntN(1000))}
			}
			list = append(list, v)
		}
		w.publish(list...)
		for _, v := range list {
			last[fmt.Sprintf("%d/%d", v.id, v.account)] = v
		}
	}
	var all sync.WaitGroup
	for n := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(100+r.IntN(2000))*time.Millisecond)
		defer cancel()
		all.Go(func() {
			if err := sinker.Run(ctx, w.cfg, deps); err != nil && ctx.Err() == nil {
				t.Errorf("sinker %d: %v", n, err)
			}
		})
		publish()
	}
	all.Wait()
	publish()
	w.drain()
	want := map[string]string{}
	for key, v := range last {
		if v.row != nil {
			want[key] = expected(t, &v, nil, false)
		}
	}
	w.equal(w.table("harvest.tasks", "id, account_id"), want)
	if n := one[int64](w, "SELECT coalesce(sum(gaps), 0)::bigint FROM harvest._streams"); n != 0 {
		t.Errorf("%d records are said to be missing", n)
	}
}

// TestUnknownTopicIDPasses: a broker that has not heard yet of a topic's id is asked again: that alone is no other topic (S2).
func TestUnknownTopicIDPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.serve()
	w.eventually("SELECT count(*) = 1 FROM harvest.tasks")
	w.bus.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: w.kafka.Topic("tasks"), Err: kerr.UnknownTopicID})
	w.publish(version{stream: stream(t, "tasks"), id: 2, row: row{}})
	w.eventually("SELECT count(*) = 2 FROM harvest.tasks")
}

// TestCheckpointTopicAnew: the service follows a checkpoint topic that was made anew (S9).
func TestCheckpointTopicAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "_checkpoints")
	cursor := time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC)
	say := func(hours int) {
		point := kafka.Checkpoint{Account: account, Stream: "tasks", Cursor: cursor.Add(time.Duration(hours) * time.Hour), Partitions: []kafka.PartitionState{{}}}
		w.produce(kgo.TryCommit, &kgo.Record{Topic: w.kafka.CheckpointTopic(), Key: kafka.CheckpointKey(account, "tasks"), Value: point.Marshal()})
	}
	w.serve()
	say(1)
	w.eventually("SELECT complete_to = $1 FROM harvest._streams", cursor.Add(1*time.Hour))
	if _, err := kadm.NewClient(w.cl).DeleteTopics(t.Context(), w.kafka.CheckpointTopic()); err != nil {
		t.Fatal(err)
	}
	w.topics(1, "_checkpoints")
	w.connect()
	say(2)
	w.eventually("SELECT complete_to = $1 FROM harvest._streams", cursor.Add(2*time.Hour))
}

// TestTopicRefused: a topic that may not be seen is no topic to wait for (reliability K16).
func TestTopicRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "clients")
	w.bus.Fault(kfake.Fault{Topic: w.kafka.Topic("tasks"), Keys: []kmsg.Key{kmsg.Metadata, kmsg.Fetch, kmsg.ListOffsets}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	ctx, cancel := context.WithTimeout(t.Context(), forEver)
	defer cancel()
	err := sinker.Run(ctx, w.cfg, w.deps)
	if ops.ExitCode(err) != ops.ExitPermission {
		t.Errorf("%v", err)
	}
}

package sinker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// TestNumbersBeginAgain: after everything on Kafka's side was lost, the topic's numbers begin again. A rebuild beside the producer's first
// read takes rows away that are not there yet; when they come, nothing remembered of the old topic stands against them (S2, S3).
func TestNumbersBeginAgain(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"hard", "soft"} {
		w := newWorld(t, "SINK_DELETE_MODE="+mode)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		for range 3 {
			w.publish(version{stream: tasks, id: 1, row: row{"name": "old"}}, version{stream: tasks, id: 2, row: row{"name": "old"}}, version{stream: tasks, id: 3, row: row{"name": "old"}})
		}
		w.publish(version{stream: tasks, id: 3})
		w.drain()
		if _, err := kadm.NewClient(w.cl).DeleteTopics(t.Context(), w.kafka.Topic("tasks")); err != nil {
			t.Fatal(err)
		}
		w.topics(1, "tasks")
		w.connect()
		clear(w.seqs)
		clear(w.rows)
		w.publish(version{stream: tasks, id: 1, row: row{"name": "new"}})
		if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
			t.Fatal(err)
		}
		w.publish(version{stream: tasks, id: 2, row: row{"name": "new"}}, version{stream: tasks, id: 3, row: row{"name": "restored"}}, version{stream: tasks, id: 1, row: row{"name": "newer"}})
		w.drain()
		if got := one[string](w, "SELECT string_agg(name, ' ' ORDER BY id) FROM harvest.tasks t WHERE to_jsonb(t) ->> '_deleted_at' IS NULL"); got != "newer new restored" {
			t.Errorf("%s: %s", mode, got)
		}
		if err := sinker.Verify(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// TestRebuildOfNothing: a rebuild that could not read the topic's records does not empty the table (S5).
func TestRebuildOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	var list []version
	for id := range int64(150) {
		list = append(list, version{stream: stream(t, "tasks"), id: id + 1, row: row{}})
	}
	w.publish(list...)
	w.drain()
	w.sql("DELETE FROM harvest._schemas")
	cfg := w.cfg
	cfg.Kafka.RegistryTransport = handler{srfake.NewRegistry().Handler()} // restored without its contents
	if err := sinker.Rebuild(t.Context(), cfg, w.deps, []string{"tasks"}); ops.ExitCode(err) != ops.ExitData {
		t.Errorf("exit %d: %v", ops.ExitCode(err), err)
	}
	if got := one[string](w, "SELECT (SELECT count(*) FROM harvest.tasks) || ' ' || (SELECT count(*) FROM harvest._dead_letters)"); got != "150 0" {
		t.Errorf("rows and dead letters: %s", got)
	}
}

// TestRebuildBounded: a rebuild ends with the first hundred records that cannot be applied, not with all of them in memory (S5, S7).
func TestRebuildBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "roles")
	for range 3 {
		recs := make([]*kgo.Record, 10_000)
		for i := range recs {
			recs[i] = w.record(&version{stream: stream(t, "roles"), id: int64(i + 1), row: row{}})
			recs[i].Value[4] = 77
		}
		w.produce(kgo.TryCommit, recs...)
	}
	err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"roles"})
	if ops.ExitCode(err) != ops.ExitData || !strings.Contains(err.Error(), "of the first 25000 records") {
		t.Error(err)
	}
}

// TestRebuildAtEnd: what comes while a rebuild waits for its turn is not counted as read (S8).
func TestRebuildAtEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks")
	w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
	w.drain()
	let := w.hold("SELECT FROM harvest._offsets FOR UPDATE")
	done := make(chan error, 1)
	go func() { done <- sinker.Rebuild(context.Background(), w.cfg, w.deps, []string{"tasks"}) }()
	w.eventually("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	read := time.Now()
	w.publish(version{stream: stream(t, "tasks"), id: 2, row: row{}})
	let()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := one[int](w, "SELECT count(*) FROM harvest.tasks"); n != 1 {
		t.Errorf("%d rows", n)
	}
	if at := one[time.Time](w, "SELECT at_end FROM harvest._offsets"); at.After(read) {
		t.Errorf("at end at %v, though what came after %v is not applied", at, read)
	}
}

package sinker_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

// TestMissing: what a hole in an account's numbers says, by the record before it (S9).
func TestMissing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	const history = 100 * time.Hour
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	met := func(seq int64, hours int) sinker.Met { return sinker.Met{Account: 1, Seq: seq, At: ago(hours)} }
	other := func(seq int64, hours int) sinker.Met { return sinker.Met{Account: 2, Seq: seq, At: ago(hours)} }
	type list = []sinker.Met
	for name, c := range map[string]struct {
		before, records list
		history         kafka.History // 0: the usual one
		after           list
		gaps            map[int64]int64
	}{
		"nothing":                     {before: list{met(7, 3)}, after: list{met(7, 3)}},
		"the next":                    {before: list{met(7, 3)}, records: list{met(8, 1)}, after: list{met(8, 1)}},
		"one missing":                 {before: list{met(7, 3)}, records: list{met(9, 1)}, after: list{met(9, 1)}, gaps: map[int64]int64{1: 1}},
		"three missing":               {before: list{met(7, 3)}, records: list{met(11, 1)}, after: list{met(11, 1)}, gaps: map[int64]int64{1: 3}},
		"two holes":                   {before: list{met(7, 3)}, records: list{met(9, 1), met(10, 1), met(13, 1)}, after: list{met(13, 1)}, gaps: map[int64]int64{1: 3}},
		"the first ever":              {records: list{met(5, 1)}, after: list{met(5, 1)}},
		"behind the first ever":       {records: list{met(5, 1), met(7, 0)}, after: list{met(7, 0)}, gaps: map[int64]int64{1: 1}},
		"a replay":                    {before: list{met(7, 3)}, records: list{met(3, 5), met(7, 2)}, after: list{met(7, 3)}},
		"a replay, then a hole":       {before: list{met(7, 3)}, records: list{met(3, 5), met(9, 1)}, after: list{met(9, 1)}, gaps: map[int64]int64{1: 1}},
		"a replay across a hole":      {before: list{met(7, 3)}, records: list{met(2, 5), met(5, 4), met(8, 1)}, after: list{met(8, 1)}},
		"old":                         {before: list{met(7, 91)}, records: list{met(9, 1)}, after: list{met(9, 1)}},
		"just old enough":             {before: list{met(7, 90)}, records: list{met(9, 1)}, after: list{met(9, 1)}},
		"just young enough":           {before: list{met(7, 89)}, records: list{met(9, 1)}, after: list{met(9, 1)}, gaps: map[int64]int64{1: 1}},
		"old, and the hole is behind": {before: list{met(7, 99)}, records: list{met(8, 2), met(10, 1)}, after: list{met(10, 1)}, gaps: map[int64]int64{1: 1}},
		"young, the hole is before":   {before: list{met(7, 99)}, records: list{met(9, 2), met(10, 1)}, after: list{met(10, 1)}},
		"every version is kept":       {before: list{met(7, 9999)}, records: list{met(9, 1)}, history: kafka.All, after: list{met(9, 1)}, gaps: map[int64]int64{1: 1}},
		"none is":                     {before: list{met(7, 1)}, records: list{met(9, 1)}, history: 1, after: list{met(9, 1)}},
		"without a moment":            {before: list{{Account: 1, Seq: 7}}, records: list{met(9, 1)}, history: kafka.All, after: list{met(9, 1)}},
		"two accounts": {before: list{met(7, 3), other(20, 3)}, records: list{met(8, 1), other(22, 1), met(10, 1), other(23, 1)},
			after: list{met(10, 1), other(23, 1)}, gaps: map[int64]int64{1: 1, 2: 1}},
		"one of two accounts":    {before: list{met(7, 3), other(20, 3)}, records: list{met(8, 1), other(24, 1), met(9, 1)}, after: list{met(9, 1), other(24, 1)}, gaps: map[int64]int64{2: 3}},
		"another account is new": {before: list{met(7, 3)}, records: list{other(24, 1), met(8, 1)}, after: list{met(8, 1), other(24, 1)}},
		"one old, one young":     {before: list{met(7, 99), other(20, 3)}, records: list{met(9, 1), other(22, 1)}, after: list{met(9, 1), other(22, 1)}, gaps: map[int64]int64{2: 1}},
	} {
		h := c.history
		if h == 0 {
			h = kafka.History(history)
		}
		after, gaps := sinker.After(t, c.before, c.records, h, now)
		want := map[int64]sinker.Met{}
		for _, m := range c.after {
			want[m.Account] = m
		}
		if !maps.Equal(gaps, c.gaps) || !maps.Equal(after, want) {
			t.Errorf("%s: %v are missing, not %v; the marks are %v, not %v", name, gaps, c.gaps, after, want)
		}
	}
}

// TestCovered: a checkpoint counts once everything it speaks of is applied, in every partition, of the topic it speaks of (S9).
func TestCovered(t *testing.T) {
	t.Parallel()
	cfg := newWorld(t, "HARVEST_STREAMS=tasks,clients").cfg
	for name, c := range map[string]struct {
		stream, topicID string
		said            []int64
		applied         map[int32]int64
		want            bool
	}{
		"applied":                              {"tasks", "id", []int64{5}, map[int32]int64{0: 5}, true},
		"and more":                             {"tasks", "id", []int64{5}, map[int32]int64{0: 6}, true},
		"one is left":                          {"tasks", "id", []int64{5}, map[int32]int64{0: 4}, false},
		"nothing is there":                     {"tasks", "id", []int64{5}, nil, false},
		"nothing was ever written":             {"tasks", "id", []int64{0, 0}, nil, true},
		"all of three":                         {"tasks", "id", []int64{5, 0, 7}, map[int32]int64{0: 5, 2: 7}, true},
		"the first of three is behind":         {"tasks", "id", []int64{5, 6, 7}, map[int32]int64{0: 4, 1: 6, 2: 7}, false},
		"the last of three is behind":          {"tasks", "id", []int64{5, 6, 7}, map[int32]int64{0: 5, 1: 6, 2: 6}, false},
		"one of three is not there":            {"tasks", "id", []int64{5, 6, 7}, map[int32]int64{0: 5, 2: 7}, false},
		"one that was never written is behind": {"tasks", "id", []int64{0, 6}, map[int32]int64{0: 9, 1: 5}, false},
		"partitions in another order":          {"tasks", "id", []int64{7, 5}, map[int32]int64{0: 5, 1: 7}, false},
		"of another topic":                     {"tasks", "other", []int64{5}, map[int32]int64{0: 5}, false},
		"of another topic, nothing written":    {"tasks", "other", []int64{0}, map[int32]int64{0: 0}, false},
		"of a topic that is not said":          {"tasks", "", []int64{5}, map[int32]int64{0: 5}, true},
		"another stream is applied":            {"tasks", "id", []int64{5}, map[int32]int64{}, false},
	} {
		point := &kafka.Checkpoint{Account: account, Stream: c.stream, TopicID: c.topicID}
		for _, next := range c.said {
			point.Partitions = append(point.Partitions, kafka.PartitionState{Next: next})
		}
		if got := sinker.Covered(t, cfg, point, "id", c.applied); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// gapsOf are the records missing by account and stream.
func (w *world) gapsOf() string {
	w.t.Helper()
	return one[string](w, "SELECT coalesce(string_agg(account_id || ' ' || stream || ' ' || gaps, ', ' ORDER BY account_id, stream), '') FROM harvest._streams WHERE gaps > 0")
}

// TestGapsOfEach: what is missing is counted by account and stream, over partitions and restarts, once; a rebuild answers it for its
// stream (S9).
func TestGapsOfEach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(2, "tasks", "clients")
	tasks, clients := stream(t, "tasks"), stream(t, "clients")
	var seqs [4]int64
	publish := func(skip ...int64) { // before one record of each: tasks of account 1 in both partitions, of account 2, clients of account 1
		for i, n := range skip {
			seqs[i] += n + 1
		}
		w.publish(version{stream: tasks, account: 1, id: 1, seq: seqs[0], row: row{}}, version{stream: tasks, account: 1, id: 2, part: 1, seq: seqs[1], row: row{}},
			version{stream: tasks, account: 2, id: 1, seq: seqs[2], row: row{}}, version{stream: clients, account: 1, id: 1, seq: seqs[3], row: row{}})
		w.drain()
	}
	check := func(want string) {
		t.Helper()
		if got := w.gapsOf(); got != want {
			t.Errorf("missing are %q, not %q", got, want)
		}
	}
	publish(0, 40, 0, 80) // where each begins
	check("")
	publish(0, 0, 0, 0)
	check("")
	publish(0, 2, 0, 0)
	check("1 tasks 2")
	publish(1, 3, 0, 0)
	check("1 tasks 6")
	publish(0, 0, 10, 20)
	check("1 clients 20, 1 tasks 6, 2 tasks 10")
	w.sql("UPDATE harvest._offsets SET next = 0")
	w.drain()
	check("1 clients 20, 1 tasks 6, 2 tasks 10")
	if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
		t.Fatal(err)
	}
	check("1 clients 20")
	publish(2, 5, 0, 0)
	check("1 clients 20, 1 tasks 7")
}

// TestGapsOfTries: a transaction that is run again, for a connection that was lost, an answer to COMMIT that was, or a record that is set
// aside by halves, counts what is missing once (S9).
func TestGapsOfTries(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"ks05", "ks07", "refused", "ks12"} {
		w := newWorld(t)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{}})
		w.drain()
		if point == "refused" || point == "ks12" { // in COMMIT, which names nobody: halves
			w.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF NEW.name = 'refused' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '23514'; END IF; RETURN NEW; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON harvest.tasks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
		}
		w.publish(version{stream: tasks, id: 2, seq: 4, row: row{}}, version{stream: tasks, id: 3, seq: 8, row: row{"name": "refused"}}, version{stream: tasks, id: 4, seq: 16, row: row{}})
		deps, once := w.deps, false
		deps.Hook = func(at string) error {
			if at == point && !once {
				once = true
				if point == "ks07" || point == "ks12" {
					return ops.Fail(ops.ExitInternal, errors.New("the program ends"))
				}
				w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
			}
			return nil
		}
		if err := sinker.Drain(t.Context(), w.cfg, deps, time.Time{}); (err != nil) != (point == "ks07" || point == "ks12") {
			t.Fatalf("%s: %v", point, err)
		}
		w.drain()
		if got := w.gapsOf(); got != "482913 tasks 12" { // 2 and 3, 5 to 7, 9 to 15
			t.Errorf("%s: missing are %q", point, got)
		}
	}
}

// TestGapsByAge: how old a hole may be goes by the moment of the record before it and by how long the topic keeps every version (S9).
func TestGapsByAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "KAFKA_HISTORY=10h")
	w.topics(1, "tasks", "clients")
	for name, age := range map[string]time.Duration{"tasks": 8 * time.Hour, "clients": 11 * time.Hour} {
		before := w.record(&version{stream: stream(t, name), id: 1, row: row{}})
		before.Timestamp = time.Now().Add(-age)
		w.produce(kgo.TryCommit, before, w.record(&version{stream: stream(t, name), id: 2, seq: 4, row: row{}}))
	}
	w.drain()
	if got := w.gapsOf(); got != "482913 tasks 2" {
		t.Errorf("missing are %q", got)
	}
}

// TestUnreadableNumber: a record whose number cannot be read is set aside, and where it was one of the producer's its number is missing:
// which one it bore nobody can tell, and to excuse one would hide a loss behind every foreign record. That one takes no number (S5, S9).
func TestUnreadableNumber(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seq  int64
		want string
	}{"ours": {2, "482913 tasks 1"}, "foreign": {1, ""}} {
		w := newWorld(t)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{}})
		rec := w.record(&version{stream: tasks, id: 2, seq: c.seq, row: row{}})
		rec.Headers = nil
		w.produce(kgo.TryCommit, rec)
		w.publish(version{stream: tasks, id: 3, row: row{}})
		w.drain()
		if got := w.gapsOf(); got != c.want {
			t.Errorf("%s: missing are %q", name, got)
		}
		if n := one[int](w, "SELECT count(*) FROM harvest._dead_letters"); n != 1 {
			t.Errorf("%s: %d dead letters", name, n)
		}
	}
}

// say writes a checkpoint of tasks.
func (w *world) say(account int64, point kafka.Checkpoint) {
	w.t.Helper()
	point.Account = account
	if point.Stream == "" {
		point.Stream = "tasks"
	}
	if point.Partitions == nil {
		point.Partitions = []kafka.PartitionState{{}}
	}
	w.produce(kgo.TryCommit, &kgo.Record{Topic: w.kafka.CheckpointTopic(), Key: kafka.CheckpointKey(account, point.Stream), Value: point.Marshal()})
}

// completeOf is up to when the tables are complete by account and stream.
func (w *world) completeOf() string {
	w.t.Helper()
	return one[string](w, `SELECT coalesce(string_agg(account_id || ' ' || stream || ' ' || coalesce(to_char(complete_to, 'HH24:MI'), '-'), ', ' ORDER BY account_id, stream), '') FROM harvest._streams`)
}

// TestCompleteOfEach: completeness is said by account and stream; a first read is none, and gaps and completeness do not touch each
// other (S9). `status` shows what holds for all accounts.
func TestCompleteOfEach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "clients", "_checkpoints")
	tasks := stream(t, "tasks")
	day := time.Date(2026, 4, 5, 0, 0, 0, 0, time.UTC)
	check := func(complete, status string) {
		t.Helper()
		w.drain()
		if got := w.completeOf(); got != complete {
			t.Errorf("complete: %q, not %q", got, complete)
		}
		if got := w.statusOf("tasks"); got != status {
			t.Errorf("status: %q, not %q", got, status)
		}
	}
	clients := stream(t, "clients")
	w.publish(version{stream: tasks, account: 1, id: 1, row: row{}}, version{stream: tasks, account: 2, id: 1, row: row{}})
	check("", "- 0")
	w.publish(version{stream: clients, account: 1, id: 1, row: row{}}, version{stream: clients, account: 1, id: 1, seq: 7, row: row{}})
	w.say(1, kafka.Checkpoint{Cursor: day.Add(2 * time.Hour)})
	w.say(2, kafka.Checkpoint{Cursor: day.Add(9 * time.Hour), Backfill: &kafka.Backfill{}})
	w.say(1, kafka.Checkpoint{Stream: "clients", Cursor: day.Add(5 * time.Hour)})
	w.say(1, kafka.Checkpoint{Stream: "roles"})
	check("1 clients 05:00, 1 roles -, 1 tasks 02:00, 2 tasks -", "- 0")
	w.publish(version{stream: tasks, account: 1, id: 2, seq: 4, row: row{}})
	w.say(2, kafka.Checkpoint{Cursor: day.Add(3 * time.Hour)})
	check("1 clients 05:00, 1 roles -, 1 tasks 02:00, 2 tasks 03:00", "02:00 2")
	w.say(1, kafka.Checkpoint{Cursor: day.Add(4 * time.Hour)})
	check("1 clients 05:00, 1 roles -, 1 tasks 04:00, 2 tasks 03:00", "03:00 2")
	w.publish(version{stream: tasks, account: 2, id: 2, seq: 9, row: row{}})
	w.say(2, kafka.Checkpoint{Cursor: day.Add(8 * time.Hour), Partitions: []kafka.PartitionState{{Next: 100}}}) // not there yet
	check("1 clients 05:00, 1 roles -, 1 tasks 04:00, 2 tasks 03:00", "03:00 9")
	w.say(1, kafka.Checkpoint{Cursor: day.Add(4 * time.Hour), Backfill: &kafka.Backfill{}}) // it is read again
	check("1 clients 05:00, 1 roles -, 1 tasks -, 2 tasks 03:00", "- 9")
	if got := w.gapsOf(); got != "1 clients 5, 1 tasks 2, 2 tasks 7" {
		t.Errorf("missing are %q", got)
	}
}

// TestNoCheckpoint: a checkpoint that was taken back, one that cannot be read, which is said, and a writer's sign of life, which is none, say
// nothing of completeness (S9).
func TestNoCheckpoint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, value []byte
		want       string
		said       bool
	}{
		"taken back":         {kafka.CheckpointKey(1, "tasks"), nil, "2 tasks 15:09", false},
		"cannot be read":     {kafka.CheckpointKey(3, "tasks"), []byte(`{"v": 99}`), "1 tasks 15:09, 2 tasks 15:09", true},
		"a sign of life":     {kafka.HeartbeatKey(3), (&kafka.Heartbeat{Account: 3, At: observed}).Marshal(), "1 tasks 15:09, 2 tasks 15:09", false},
		"of somebody else's": {[]byte("tasks"), []byte("{}"), "1 tasks 15:09, 2 tasks 15:09", false},
	} {
		w := newWorld(t)
		said := w.hear("cannot tell how complete")
		w.topics(1, "tasks", "_checkpoints")
		w.say(1, kafka.Checkpoint{Cursor: observed})
		w.say(2, kafka.Checkpoint{Cursor: observed})
		w.produce(kgo.TryCommit, &kgo.Record{Topic: w.kafka.CheckpointTopic(), Key: c.key, Value: c.value})
		w.drain()
		if got := w.completeOf(); got != c.want {
			t.Errorf("%s: complete are %q", name, got)
		}
		select {
		case <-said.met:
			if !c.said {
				t.Errorf("%s: it is complained of", name)
			}
		default:
			if c.said {
				t.Errorf("%s: nothing is said", name)
			}
		}
	}
}

// statusOf is what `status` says of a stream: complete to, and missing.
func (w *world) statusOf(stream string) string {
	w.t.Helper()
	var out bytes.Buffer
	deps := w.deps
	deps.Stdout = &out
	if err := sinker.Status(w.t.Context(), w.cfg, deps); err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if fields := strings.Fields(line); fields[0] == stream {
			if _, clock, ok := strings.Cut(fields[5], "T"); ok {
				fields[5] = strings.TrimSuffix(clock, ":00Z")
			}
			return fields[5] + " " + fields[6]
		}
	}
	return ""
}

// TestCompleteOfNothing: a table that was made anew, and one that a rebuild has made equal to a topic that lost what a checkpoint speaks of,
// are complete up to no moment until what it speaks of is applied (S9).
func TestCompleteOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topics(1, "tasks", "clients", "_checkpoints")
	publish := func() {
		w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}}, version{stream: stream(t, "clients"), id: 1, row: row{}})
	}
	say := func(hour int) {
		ids, err := kafka.TopicIDs(t.Context(), w.cl, w.kafka.Topic("tasks"))
		if err != nil {
			t.Fatal(err)
		}
		w.say(account, kafka.Checkpoint{Cursor: observed.Truncate(24 * time.Hour).Add(time.Duration(hour) * time.Hour),
			TopicID: kafka.TopicIDText(ids[w.kafka.Topic("tasks")]), Partitions: []kafka.PartitionState{{Next: 1}}})
	}
	check := func(when, want string) {
		t.Helper()
		if got := w.completeOf(); got != "482913 clients 01:00, "+want {
			t.Errorf("%s: complete are %q", when, got)
		}
	}
	rebuild := func() {
		t.Helper()
		if err := sinker.Rebuild(t.Context(), w.cfg, w.deps, []string{"tasks"}); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	say(2)
	w.say(account, kafka.Checkpoint{Stream: "clients", Cursor: observed.Truncate(24 * time.Hour).Add(time.Hour)})
	w.drain()
	check("at first", "482913 tasks 02:00")
	rebuild()
	check("rebuilt", "482913 tasks 02:00")
	w.sql("DROP TABLE harvest.tasks")
	if code, text := w.exitOf(w.cfg); code != ops.ExitData {
		t.Errorf("exit %d: %s", code, text)
	}
	check("made anew", "482913 tasks -")
	rebuild()
	check("filled", "482913 tasks 02:00")
	if _, err := kadm.NewClient(w.cl).DeleteTopics(t.Context(), w.kafka.Topic("tasks")); err != nil {
		t.Fatal(err)
	}
	w.topics(1, "tasks")
	w.connect()
	rebuild()
	check("equal to a topic that has nothing", "482913 tasks -")
	publish()
	say(3)
	w.drain()
	check("read again", "482913 tasks 03:00")
}

// TestCompleteOfAll: an account whose checkpoint speaks of more than is applied is not passed over by `status` (S9).
func TestCompleteOfAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HARVEST_STREAMS=tasks")
	w.topics(1, "tasks", "_checkpoints")
	w.publish(version{stream: stream(t, "tasks"), account: 1, id: 1, row: row{}}, version{stream: stream(t, "tasks"), account: 2, id: 1, row: row{}})
	w.say(1, kafka.Checkpoint{Cursor: observed})
	w.say(2, kafka.Checkpoint{Cursor: observed, Partitions: []kafka.PartitionState{{Next: 100}}})
	w.say(2, kafka.Checkpoint{Stream: "roles", Cursor: observed})
	w.drain()
	if got := w.completeOf(); got != "1 tasks 15:09, 2 tasks -" {
		t.Errorf("complete are %q", got)
	}
	if got := w.statusOf("tasks"); got != "- 0" {
		t.Errorf("status says %q", got)
	}
}

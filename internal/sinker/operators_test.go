package sinker_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"harveststream/internal/pgserver"
	"harveststream/internal/sinker"
)

// operate runs the service until the test ends, and asks its operators' pages.
func (w *world) operate(cfg sinker.Config) (get func(path string) (int, string)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	handler := make(chan http.Handler, 1)
	go func() {
		defer close(done)
		if err := sinker.Service(ctx, cfg, w.deps, func(h http.Handler) { handler <- h }); err != nil {
			w.t.Error(err)
		}
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	h := <-handler
	return func(path string) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		return rec.Code, rec.Body.String()
	}
}

// TestReady: a service whose database is away for long is not ready, and is again once it is back; a connection that is lost, or a short
// while, is not worth a word. On virtual time.
func TestReady(t *testing.T) {
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldIn(t, url)
		w.topics(1, "tasks")
		w.publish(version{stream: stream(t, "tasks"), id: 1, row: row{}})
		w.drain()
		low, role := w.lowRole()
		w.sql("GRANT USAGE ON SCHEMA harvest TO " + role + "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA harvest TO " + role)
		get := w.operate(low)
		ready := func(when string, want int) {
			t.Helper()
			if code, text := get("/readyz"); code != want || (code == http.StatusOK) == strings.Contains(text, "connections") {
				t.Errorf("%s: %d %s", when, code, text)
			}
			if code, _ := get("/healthz"); code != http.StatusOK {
				t.Errorf("%s: a restart would not help, and /healthz is %d", when, code)
			}
		}
		throwOut := func() { w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role) }
		time.Sleep(time.Minute)
		ready("at first", http.StatusOK)
		for range 6 {
			throwOut()
			time.Sleep(11 * time.Second)
			ready("connections are lost", http.StatusOK)
		}
		for _, away := range []time.Duration{25 * time.Second, 3 * time.Minute} {
			w.sql("ALTER ROLE " + role + " CONNECTION LIMIT 0")
			throwOut()
			time.Sleep(away)
			want := http.StatusOK
			if away > time.Minute {
				want = http.StatusServiceUnavailable
			}
			ready("away for "+away.String(), want)
			w.sql("ALTER ROLE " + role + " CONNECTION LIMIT -1")
			time.Sleep(time.Minute)
			ready("back after "+away.String(), http.StatusOK)
		}
	})
}

// TestReadyWithoutTopics: a service that has nothing to read yet tells, too, when its database is away.
func TestReadyWithoutTopics(t *testing.T) {
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldIn(t, url)
		w.drain()
		low, role := w.lowRole()
		w.sql("GRANT USAGE ON SCHEMA harvest TO " + role + "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA harvest TO " + role)
		get := w.operate(low)
		time.Sleep(2 * time.Minute)
		if code, text := get("/readyz"); code != http.StatusOK {
			t.Errorf("at first: %d %s", code, text)
		}
		w.sql("ALTER ROLE " + role + " CONNECTION LIMIT 0")
		w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)
		time.Sleep(2 * time.Minute)
		if code, _ := get("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("the database is away, and it is %d", code)
		}
		w.sql("ALTER ROLE " + role + " CONNECTION LIMIT -1")
	})
}

// TestStoppedPartition: a partition that is stopped shows as such, whatever the others of its topic do, and not after another sinker has got
// it.
func TestStoppedPartition(t *testing.T) {
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldIn(t, url)
		w.topics(2, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{}}, version{stream: tasks, id: 2, part: 1, row: row{}})
		w.drain()
		w.sql("UPDATE harvest._offsets SET next = 1000 WHERE partition = 0") // its log was cut
		get := w.operate(w.cfg)
		time.Sleep(20 * time.Second)
		w.sql("UPDATE harvest._offsets SET next = 0 WHERE partition = 1") // a new session of the other
		time.Sleep(20 * time.Second)
		_, text := get("/metrics")
		for _, want := range []string{`harvest_sinker_stopped{partition="0",stream="tasks"} 1`, `harvest_sinker_stopped{partition="1",stream="tasks"} 0`,
			`harvest_sinker_lag_records{partition="1",stream="tasks"} 0`} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("it does not say %s", want)
			}
		}
		if code, text := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "sinker rebuild tasks") {
			t.Errorf("ready: %d %s", code, text)
		}
	})
}

// TestRebuiltMeanwhile: a rebuild that was done when the service found its topic made anew is noticed within a minute (S2). On virtual time.
func TestRebuiltMeanwhile(t *testing.T) {
	url := pgserver.Database(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorldIn(t, url)
		w.topics(1, "tasks")
		tasks := stream(t, "tasks")
		w.publish(version{stream: tasks, id: 1, row: row{}})
		w.drain()
		var once atomic.Bool
		deps := w.deps
		w.deps.Hook = func(at string) error {
			if at != "ks01" || !once.CompareAndSwap(false, true) { // between its look at the topic and at what is stored
				return nil
			}
			if _, err := kadm.NewClient(w.cl).DeleteTopics(t.Context(), w.kafka.Topic("tasks")); err != nil {
				t.Error(err)
			}
			w.topics(1, "tasks")
			w.connect()
			w.publish(version{stream: tasks, id: 2, row: row{}})
			if err := sinker.Rebuild(t.Context(), w.cfg, deps, []string{"tasks"}); err != nil {
				t.Error(err)
			}
			return nil
		}
		w.operate(w.cfg)
		time.Sleep(5 * time.Second)
		w.publish(version{stream: tasks, id: 3, row: row{}})
		time.Sleep(time.Minute)
		if n := one[int](w, "SELECT count(*) FROM harvest.tasks WHERE id > 1"); n != 2 {
			t.Errorf("%d rows: it waits", n)
		}
	})
}

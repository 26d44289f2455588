package sinker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

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

// eventually waits until a query says true.
func (w *world) eventually(query string, args ...any) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
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

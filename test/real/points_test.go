package real_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"harveststream/pkg/harvest/harvesttest"
)

// point is a place where a program is killed.
type point struct {
	name   string
	what   string
	fault  string // %d: the nth pass of so many that a run has for sure
	passes int
	args   []string
	before func(w *world, k int)            // makes the run come by
	during func(w *world, p *program) error // while it runs
	ends   bool                             // it may also end by itself, by a signal it sent itself
}

// The points of the producer, in the order of a life. kp02 and kp12 are one place: a sentinel is a transaction without checkpoints.
var producerPoints = []point{
	{name: "kp01", what: "after InitProducerId", fault: "kp01:%d", passes: 1},
	{name: "kp02", what: "sentinel produced", fault: "kp12:%d", passes: 1},
	{name: "kp03", what: "sentinel committed", fault: "kp03:%d", passes: 1},
	{name: "kp04", what: "index half rebuilt", fault: "kp04:%d", passes: 2000},
	{name: "kp05", what: "request sent", fault: "kp05:%d", passes: 40},
	{name: "kp06", what: "headers read", fault: "kp06:%d", passes: 40},
	{name: "kp07", what: "amid a body", fault: "kp07:%d", passes: 40},
	{name: "kp08", what: "page decoded", fault: "kp08:%d", passes: 40},
	{name: "kp09", what: "schema registered", fault: "kp09:%d", passes: 21},
	{name: "kp10", what: "transaction begun", fault: "kp10:%d", passes: 4},
	{name: "kp11", what: "k of n records produced", fault: "kp11:%d", passes: 12},
	{name: "kp12", what: "all acknowledged, no checkpoint yet", fault: "kp12:1%d", passes: 4},
	{name: "kp13", what: "checkpoint produced", fault: "kp13:%d", passes: 3},
	{name: "kp14", what: "EndTxn sent, no answer", fault: "kp14:%d", passes: 4},
	{name: "kp15", what: "EndTxn answered, index not moved", fault: "kp15:%d", passes: 3},
	{name: "kp16", what: "between pages of a first read", fault: "kp16:%d", passes: 2, args: []string{"reset", "--yes", "time_entries"}},
	{name: "kp17", what: "candidates known", fault: "kp17:%d", passes: 1, args: []string{"sweep", "--allow-deletes", "100000", "time_entries"}, before: vanish},
	{name: "kp18", what: "confirmed, no tombstone yet", fault: "kp18:%d", passes: 1, args: []string{"sweep", "--allow-deletes", "100000", "time_entries"}, before: vanish},
	{name: "kp19", what: "SIGTERM in a transaction, no sign-off yet", fault: "kp11:3%d:TERM,kp19:1", passes: 1},
	{name: "kp20", what: "a second SIGTERM in the same transaction", fault: "kp12:2:TERM,kp14:2:TERM", passes: 1, ends: true},
}

// The points of the sinker. What dies is drain, where a group is not the point: a service waits for its dead predecessor's session.
var sinkerPoints = []point{
	{name: "ks01", what: "assigned, fence not raised", fault: "ks01:%d", passes: 20},
	{name: "ks02", what: "fetched, before BEGIN", fault: "ks02:%d", passes: 2},
	{name: "ks03", what: "after the compare-and-set", fault: "ks03:%d", passes: 2},
	{name: "ks04", what: "amid a COPY", fault: "ks04:%d", passes: 2},
	{name: "ks05", what: "before COMMIT", fault: "ks05:%d", passes: 2},
	{name: "ks06", what: "COMMIT sent", fault: "ks06:%d", passes: 2},
	{name: "ks07", what: "committed, memory not moved", fault: "ks07:%d", passes: 2},
	{name: "ks08", what: "in the callback that takes partitions away", fault: "ks08:%d", passes: 1, args: []string{"run"}, during: leave},
	{name: "ks09", what: "DDL executed, not committed", fault: "ks09:%d", passes: 1, before: func(w *world, _ int) { w.exec("DROP TABLE IF EXISTS harvest._dead_letters") }},
	{name: "ks10", what: "DDL committed, batch not", fault: "ks10:%d", passes: 1, before: func(w *world, _ int) { w.exec("DROP TABLE IF EXISTS harvest._dead_letters") }},
	{name: "ks11", what: "dead letter written", fault: "ks11:%d", passes: 1, before: forbid},
	{name: "ks12", what: "amid a bisection", fault: "ks12:%d", passes: 1, before: forbid},
	{name: "ks13", what: "rebuild: shadow full, merge not committed", fault: "ks13:%d", passes: 2, args: []string{"rebuild", "--yes", "time_entries"}},
	{name: "ks14", what: "SIGTERM amid a batch", fault: "ks03:%d:TERM,ks05:1", passes: 1, ends: true},
}

// vanish deletes some rows that a sweep then misses.
func vanish(w *world, _ int) {
	for range 3 {
		w.first("time_entries", func(id int64) error { return w.sim().Delete("time_entries", id) })
	}
}

// forbid has the database refuse what the sinker is about to write, in the merge of a stage, which names no row: the batch is divided.
// The next kill takes it back.
func forbid(w *world, k int) {
	w.permit()
	w.exec("ALTER TABLE harvest.clients ADD CONSTRAINT forbidden CHECK (name NOT LIKE 'forbidden%') NOT VALID")
	for i := range 4 { // several rows in one batch, so that there is something to divide
		name := fmt.Sprintf("fine %d %d", k, i)
		if i == 2 {
			name = fmt.Sprintf("forbidden %d", k)
		}
		ids := w.sim().IDs("clients")
		if err := w.sim().Rename("clients", ids[i%len(ids)], name); err != nil {
			w.t.Fatal(err)
		}
	}
}

// permit ends forbid and applies what was set aside.
func (w *world) permit() {
	w.t.Helper()
	w.exec("ALTER TABLE harvest.clients DROP CONSTRAINT IF EXISTS forbidden")
	w.drain()
	w.must("sinker", []string{"dead-letters", "replay"})
}

// leave asks a service to stop once it has its partitions.
func leave(_ *world, p *program) error {
	for end := time.Now().Add(15 * time.Second); !p.saidText("msg=reading"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			break // it is asked to leave whatever it has
		}
	}
	return p.cmd.Process.Signal(syscall.SIGTERM)
}

func (w *world) exec(sql string) {
	w.t.Helper()
	db, err := pgx.Connect(context.Background(), databaseURL(w.name))
	if err == nil {
		defer func() { _ = db.Close(context.Background()) }()
		_, err = db.Exec(context.Background(), sql)
	}
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// on is the world for another test than the one that made it.
func (w *world) on(t *testing.T) *world {
	other := *w
	other.t = t
	return &other
}

// Producer and sinker die at every named point, each run being the recovery of the one before, while the account changes. After each
// round over all points tables and topics are the account, nothing was published twice and no seq is missing.
func TestPoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 16})
	rng := rand.New(rand.NewPCG(*seed, 16))
	w.env = append(w.env, "HARVEST_LOOKBACK=10s", "HARVEST_SWEEP_INTERVAL=15s", "HARVEST_RECENT_SWEEP_INTERVAL=10s", "HARVEST_CHILDREN_INTERVAL=20s")
	w.must("producer", []string{"sync"})
	w.drain()
	var kills, runs atomic.Int64
	changes, compared, records := 0, 0, 0
	for round := range *rounds {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for ; ; changes++ {
				select {
				case <-stop:
					return
				case <-time.After(150 * time.Millisecond):
					w.sim().Live(rng)
				}
			}
		}()
		var service *program // goes on when the producer has died everywhere: the sinker needs something to apply
		t.Run(fmt.Sprint("round", round+1), func(t *testing.T) {
			for name, points := range map[string][]point{"producer": producerPoints, "sinker": sinkerPoints} {
				rng := rand.New(rand.NewPCG(*seed+uint64(round), uint64(len(points))))
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					for _, pt := range points {
						w.on(t).die(name, pt, round, rng, &kills, &runs)
					}
					if name == "producer" {
						service = w.start("producer", nil)
					}
				})
			}
		})
		close(stop)
		<-stopped
		if service != nil {
			waitFor(t, service, "index rebuilt")
			service.stop()
		}
		w.permit()
		compared, records = w.finish()
	}
	figure(t, "%d kills at %d points, %d runs, %d changes, %d rounds compared; at last %d rows, %d records: none lost, none twice, no gap",
		kills.Load(), len(producerPoints)+len(sinkerPoints), runs.Load(), changes, *rounds, compared, records)
}

// die starts a program until it dies at a point. What a run came to without is no fault: nothing may have changed for it to do.
func (w *world) die(name string, pt point, round int, rng *rand.Rand, kills, runs *atomic.Int64) {
	w.t.Helper()
	if pt.before != nil {
		pt.before(w, round)
	}
	args := pt.args
	if args == nil && name == "sinker" {
		args = []string{"drain"}
	}
	began := time.Now()
	for try := 0; ; try++ {
		n := 1 + rng.IntN(max(1, pt.passes>>try))
		env := []string{"HARVESTSTREAM_FAULT=" + strings.ReplaceAll(pt.fault, "%d", strconv.Itoa(n)), fmt.Sprintf("SINK_GROUP=%s-%d", w.name, runs.Load())}
		p := w.start("armed/"+name, args, env...)
		runs.Add(1)
		if pt.during != nil {
			_ = pt.during(w, p) // it may have died meanwhile
		}
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			p.kill()
		}
		switch died := p.saidText("faultpoint " + pt.last()); {
		case died && (p.code == -1 || pt.ends):
			kills.Add(1)
			return
		case p.code == 78, p.code == 70, p.code == 77, died && p.code != -1:
			w.t.Fatalf("%s %v ended with %d on its way to %s: %s", name, args, p.code, pt.name, p.said())
		case time.Since(began) > 3*time.Minute:
			w.t.Fatalf("%s %v was not seen at %s (%s) in %d runs: %s", name, args, pt.name, pt.what, try+1, p.said())
		}
	}
}

// last is the point of a fault that kills.
func (pt point) last() string {
	specs := strings.Split(pt.fault, ",")
	spec := specs[len(specs)-1]
	return spec[:strings.IndexByte(spec, ':')]
}

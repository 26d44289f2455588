package sinker_test

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/pgserver"
	"harveststream/internal/sinker"
)

// servedWorld is a world that other processes reach, too: broker and registry have ports.
func servedWorld(b *testing.B) *world {
	b.Helper()
	bus, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bus.Close)
	registry := httptest.NewServer(srfake.NewRegistry().Handler())
	b.Cleanup(registry.Close)
	w := &world{t: b, bus: bus, url: pgserver.Database(b), seqs: map[string]int64{}, ids: map[string]int{}, rows: map[string]bool{}}
	w.env = []string{"KAFKA_BROKERS=" + bus.ListenAddrs()[0], "SCHEMA_REGISTRY_URL=" + registry.URL, "KAFKA_COMPRESSION=none", "ADMIN_ADDR=", "DATABASE_URL=" + w.url}
	if w.cfg, err = ops.Load[sinker.Config](w.env, ""); err != nil {
		b.Fatal(err)
	}
	w.kafka = w.cfg.Kafka
	if w.registry, err = kafka.NewRegistry(w.kafka); err != nil {
		b.Fatal(err)
	}
	w.connect()
	if w.db, err = pgx.Connect(b.Context(), w.url); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.db.Close(context.Background()) })
	return w
}

// BenchmarkBacklog has the program itself drain a backlog of 1,000,000 time entries, and then of an update of each, and says what memory
// it had at most and what processor time it took; the broker is in another process.
func BenchmarkBacklog(b *testing.B) {
	const n = 1_000_000
	program := filepath.Join(b.TempDir(), "sinker")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "harveststream/cmd/sinker").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	w := servedWorld(b)
	w.topics(1, "time_entries")
	drain := func(what string) {
		w.publishEntries(n)
		cmd := exec.CommandContext(b.Context(), program, "drain")
		cmd.Env = append(os.Environ(), w.env...)
		var out bytes.Buffer
		cmd.Stderr = &out
		began := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		most := watchMemory(cmd.Process.Pid)
		if err := cmd.Wait(); err != nil {
			b.Fatalf("%v: %s", err, &out)
		}
		b.ReportMetric(n/time.Since(began).Seconds(), what+"rows/s")
		b.ReportMetric(<-most, what+"MiB-at-most")
		b.ReportMetric(cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds(), what+"cpu-s/Mrows")
		if got := one[int](w, "SELECT count(*) FROM harvest.time_entries"); got != n {
			b.Fatalf("%d rows", got)
		}
	}
	for b.Loop() {
		w.sql("DROP SCHEMA IF EXISTS harvest CASCADE")
		drain("")
		drain("update-")
	}
}

// watchMemory looks at a process's highest resident memory until it is gone. (What wait(2) says of it is at least what its parent had.)
func watchMemory(pid int) <-chan float64 {
	done := make(chan float64, 1)
	go func() {
		most := 0.0
		for range time.Tick(20 * time.Millisecond) {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, after, found := strings.Cut(string(status), "VmHWM:")
			if err != nil || !found { // gone, or ended and not waited for
				done <- most / 1024
				return
			}
			if kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64); err == nil {
				most = kib
			}
		}
	}()
	return done
}

// BenchmarkDelete drains the deletes of 200,000 rows, and deletes as many by arrays of 10,000 ids, the usual way.
func BenchmarkDelete(b *testing.B) {
	const n = 200_000
	w := timeEntries(b, n)
	st := stream(b, "time_entries")
	var r rates
	for b.Loop() {
		w.drain()
		for _, text := range []string{"CREATE TABLE plain (LIKE harvest.time_entries INCLUDING ALL)", "INSERT INTO plain TABLE harvest.time_entries ORDER BY id",
			"TRUNCATE harvest._deleted", "VACUUM ANALYZE plain", "VACUUM ANALYZE harvest.time_entries", "CHECKPOINT"} {
			w.sql(text)
		}
		gone := make([]version, n)
		for i := range gone {
			gone[i] = version{stream: st, id: int64(i + 1)}
		}
		w.publish(gone...)
		w.measure(&r.ours, n, w.drain)
		w.measure(&r.other, n, func() {
			for from := int64(1); from <= n; from += 10_000 {
				var ids []int64
				for id := from; id < from+10_000; id++ {
					ids = append(ids, id)
				}
				w.sql("DELETE FROM plain WHERE account_id = $1 AND id = ANY($2)", account, ids)
			}
		})
		w.sql("DROP TABLE plain")
		w.publishEntries(n)
	}
	r.report(b, "delete", "array")
}

// BenchmarkInvoices drains 30,000 invoices with three line items each, and copies the same rows by one plain COPY for each of the tables.
func BenchmarkInvoices(b *testing.B) {
	const n = 30_000
	w := newWorld(b)
	w.deps.Log = quiet
	w.topics(1, "invoices")
	st := stream(b, "invoices")
	for id := int64(1); id <= n; id += 5000 {
		recs := make([]*kgo.Record, 5000)
		for i := range recs {
			at := id + int64(i)
			items := make([]row, 3)
			for k := range items {
				items[k] = row{"id": 3*at + int64(k), "kind": "Service", "description": "Work of a month", "quantity": big.NewRat(at%90, 4),
					"unit_price": big.NewRat(100, 1), "amount": big.NewRat(at%90*25, 1), "taxed": true}
			}
			v := version{stream: st, id: at, row: row{"number": fmt.Sprint(at), "amount": big.NewRat(at, 2), "due_amount": big.NewRat(at, 2),
				"subject": "What was done", "state": "open", "currency": "EUR", "issue_date": observed, "created_at": observed, "line_items": items}}
			recs[i] = w.record(&v)
		}
		w.produce(kgo.TryCommit, recs...)
	}
	w.drain()
	tables := []string{"harvest.invoices", "harvest.invoice_line_items"}
	var plain [2]bytes.Buffer
	for i, table := range tables {
		if _, err := w.db.PgConn().CopyTo(b.Context(), &plain[i], "COPY "+table+" TO STDOUT (FORMAT binary)"); err != nil {
			b.Fatal(err)
		}
	}
	var r rates
	for b.Loop() {
		w.sql("TRUNCATE harvest.invoices, harvest.invoice_line_items; DELETE FROM harvest._offsets; CHECKPOINT")
		w.measure(&r.ours, n, w.drain)
		w.sql("TRUNCATE harvest.invoices, harvest.invoice_line_items; CHECKPOINT")
		w.measure(&r.other, n, func() {
			for i, table := range tables {
				w.copyInto(table, plain[i].Bytes())
			}
		})
	}
	r.report(b, "drain", "copy")
}

// BenchmarkRate is the time from a commit to its last row's being visible, at 1, 100 and 10,000 changes a second, ten transactions a
// second at most. The table is looked at every 2 ms.
func BenchmarkRate(b *testing.B) {
	for _, rate := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			w := newWorld(b)
			w.deps.Log = quiet
			w.topics(1, "clients")
			w.serve()
			w.eventually("SELECT to_regclass('harvest.clients') IS NOT NULL")
			every := max(time.Second/time.Duration(rate), 100*time.Millisecond)
			took := w.latencies(max(b.N, 30), every, max(1, rate/10))
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// latencies publishes count transactions of so many rows, one at each tick, and returns when each was visible.
func (w *world) latencies(count int, every time.Duration, rows int) []time.Duration {
	var mu sync.Mutex
	committed := map[int64]time.Time{} // by highest seq
	watcher, err := pgx.Connect(w.t.Context(), w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer watcher.Close(context.Background())
	done := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		var highest int64
		for range time.Tick(2 * time.Millisecond) {
			var seen int64
			if err := watcher.QueryRow(w.t.Context(), "SELECT _seq FROM harvest.clients WHERE id = 1 AND account_id = $1", account).Scan(&seen); err != nil && w.t.Context().Err() != nil {
				return
			}
			now := time.Now()
			mu.Lock()
			for seq, at := range committed {
				if seq <= seen {
					took = append(took, now.Sub(at))
					delete(committed, seq)
					highest++
				}
			}
			mu.Unlock()
			if int(highest) == count {
				done <- took
				return
			}
		}
	}()
	clients := stream(w.t, "clients")
	for tick, i := time.NewTicker(every), 0; i < count; i++ {
		<-tick.C
		list := make([]version, rows)
		for k := range list {
			list[k] = version{stream: clients, id: int64(rows - k), row: row{"name": fmt.Sprint(i)}}
		}
		w.publish(list...)
		mu.Lock()
		committed[list[rows-1].seq] = time.Now()
		mu.Unlock()
	}
	return <-done
}

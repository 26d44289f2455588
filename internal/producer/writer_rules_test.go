package producer_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/pkg/harvest/harvesttest"
)

// P1: an end of a transaction that the broker refuses, as one does that has timed out, is no take-over: the last sentinel is our own, and
// the service begins again. P2: what the refused transaction held is published by the next one, and once.
func TestP1RefusedEndIsNoTakeOver(t *testing.T) {
	for _, c := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{
		{kmsg.EndTxn, kerr.ProducerFenced}, {kmsg.EndTxn, kerr.InvalidProducerEpoch}, {kmsg.EndTxn, kerr.InvalidTxnState}, {kmsg.EndTxn, kerr.UnknownServerError},
		{kmsg.EndTxn, kerr.TransactionAbortable}, {kmsg.Produce, kerr.InvalidRecord}, {kmsg.Produce, kerr.ProducerFenced}, {kmsg.Produce, kerr.InvalidTxnState},
	} {
		t.Run(fmt.Sprint(c.key.Name(), " ", c.err.Message), func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 213}, func(w *world) {
				ids := w.sim.IDs("time_entries")
				w.serve(func() {
					pass(2 * time.Minute)
					for i := range 5 {
						w.bus.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err})
						w.set("time_entries", ids[i], harvesttest.Fields{"notes": fmt.Sprint("note ", i)})
						w.set("invoices", w.sim.IDs("invoices")[i], harvesttest.Fields{"notes": fmt.Sprint("note ", i)})
						pass(time.Minute)
					}
				})
				if n := strings.Count(w.log.String(), "starting again"); n < 4 {
					t.Errorf("the writer was started again %d times", n)
				}
				w.equal()
			})
		})
	}
}

const heartbeat = 10 * time.Second // P1

// P1, K29: neither sweep nor reset fences a living service.
func TestP1SweepAndResetBesideService(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 215}, func(w *world) {
		stop, ended := w.background(w.producer())
		pass(time.Minute)
		w.elsewhere()
		began := time.Now()
		exits(t, w.producer().Sweep(w.t.Context(), []string{"clients"}, -1, false), ops.ExitUnavailable, "serves account", "--take-over")
		exits(t, w.producer().Sweep(w.t.Context(), []string{"clients"}, -1, true), ops.ExitUnavailable, "serves account")
		exits(t, w.producer().Reset(w.t.Context(), []string{"clients"}), ops.ExitUnavailable, "serves account")
		if took := time.Since(began); took < 3*heartbeat || took > 6*heartbeat {
			t.Errorf("three commands waited %s, want a heartbeat each", took)
		}
		pass(time.Minute)
		stop()
		exits(t, <-ended, ops.ExitOK)
	})
}

// P1: what a process of this host left that no longer runs is waited for by nobody; what one of another host left is.
func TestP1DeadProcessOfThisHost(t *testing.T) {
	dead := exec.Command(os.Args[0], "-test.run=^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	space, _ := os.Readlink("/proc/self/ns/pid")
	for name, c := range map[string]struct {
		host  string
		space string
		waits bool
	}{
		"dead":                     {host, space, false},
		"of another host":          {"elsewhere", space, true},
		"of another number space":  {host, "pid:[1]", true},
		"of no number space known": {host, "", space != ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 216}, func(w *world) {
				w.sync()
				cl, _ := w.client()
				beat := kafka.Heartbeat{Account: accountID, Host: c.host, PIDSpace: c.space, PID: dead.Process.Pid, Nonce: "another", Version: "test", Command: "run", Started: time.Now(), At: time.Now()}
				if err := cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: "harvest._checkpoints", Key: kafka.HeartbeatKey(accountID), Value: beat.Marshal()}).FirstErr(); err != nil {
					t.Fatal(err)
				}
				w.sim.ResetRequests()
				began := time.Now()
				w.sync()
				if waited := w.sim.Requests()[0].At.Sub(began); (waited > heartbeat) != c.waits {
					t.Errorf("waited %s", waited)
				}
			})
		})
	}
}

// P2, K32: a stream without changes writes its checkpoint twice a minute at most, and its cursor moves on.
func TestP2IdleCheckpoints(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 217}, func(w *world) {
		var before, after map[string]int
		var cursor time.Time
		w.serve(func() {
			pass(5 * time.Minute)
			before, cursor = w.written(), w.checkpoint("clients").Cursor
			pass(20 * time.Minute)
			after = w.written()
		})
		for name, n := range after {
			if strings.HasPrefix(name, "checkpoint") && n-before[name] > 40 {
				t.Errorf("%s was written %d times in 20 idle minutes", name, n-before[name])
			}
			if !strings.HasPrefix(name, "checkpoint") && name != "time_entries" && n != before[name] { // a timer may run
				t.Errorf("%d records of %s in 20 idle minutes", n-before[name], name)
			}
		}
		if moved := w.checkpoint("clients").Cursor.Sub(cursor); moved < 19*time.Minute {
			t.Errorf("the cursor moved by %s", moved)
		}
	})
}

// P2: no transaction is open while Harvest is waited for, however slowly it answers.
func TestP2NoTransactionWaitsForHarvest(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 218}, func(w *world) {
		var open atomic.Int64 // when the transaction under way began
		var longest atomic.Int64
		w.bus.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: -1, When: func(kmsg.Request) bool {
			open.CompareAndSwap(0, time.Now().UnixNano())
			return false
		}}, kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Count: -1, When: func(kmsg.Request) bool {
			longest.Store(max(longest.Load(), time.Now().UnixNano()-open.Swap(0)))
			return false
		}})
		p := w.with(func(_ *producer.Config, d *producer.Deps) {
			d.PageSize = 20
			d.Transport = hooked{d.Transport, func(*http.Request) { time.Sleep(7 * time.Second) }}
		})
		stop, ended := w.background(p)
		pass(10 * time.Minute)
		stop()
		exits(t, <-ended, ops.ExitOK)
		if took := time.Duration(longest.Load()); took > time.Second {
			t.Errorf("a transaction was open for %s", took)
		}
		w.equal("time_entries")
	})
}

// P3, K26: a transaction another account's producer left open on our topics is waited out; the index is complete, nothing is said twice.
func TestP3ForeignOpenTransaction(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 219}, func(w *world) {
		w.sync()
		n := w.records()
		w.set("clients", w.sim.IDs("clients")[0], harvesttest.Fields{"address": "changed"})
		_, opts := w.client()
		foreign, err := kgo.NewClient(append(slices.Clone(opts), kgo.TransactionalID("harvest.7"), kgo.TransactionTimeout(5*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer foreign.Close()
		if err := foreign.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"harvest.clients", "harvest.time_entries"} {
			if err := foreign.ProduceSync(w.t.Context(), &kgo.Record{Topic: topic, Key: []byte("foreign"), Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- w.producer().Sync(w.t.Context()) }()
		pass(90 * time.Second)
		select {
		case err := <-done:
			t.Errorf("the start did not wait: %v", err)
		default:
		}
		if err := foreign.EndTransaction(context.WithoutCancel(w.t.Context()), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		exits(t, <-done, ops.ExitOK)
		if again := w.records() - n; again > 2 {
			t.Errorf("%d records of one change", again)
		}
		w.equal()
	})
}

package producer_test

import (
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
)

// P7, P11: a token that may not see its own user, for a while, deletes nothing and is said to; but that says nothing about the streams,
// which are read on.
func TestP7OwnUserForbidden(t *testing.T) {
	for _, c := range []struct {
		stream string
		id     func(w *world) int64
	}{
		{"expenses", func(w *world) int64 { return w.sim.IDs("expenses")[0] }},
		{"invoice_payments", func(w *world) int64 {
			_, payments := w.invoiceWithPayments(1)
			return payments[0]
		}},
	} {
		t.Run(c.stream, func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 233}, func(w *world) {
				gone := c.id(w)
				w.sync()
				pass(10 * time.Minute)
				p := w.producer("HARVEST_SWEEP_INTERVAL=20m", "HARVEST_CHILDREN_INTERVAL=20m")
				stop, ended := w.background(p)
				pass(time.Minute)
				mend := w.sim.Fault(harvesttest.Fault{Match: "users/me", Do: harvesttest.DoStatus, Status: 403, Body: `{"message":"Not authorized!"}`})
				w.delete(c.stream, gone)
				pass(25 * time.Minute)
				if why := state(p, c.stream).Blocked; why != "" {
					t.Errorf("blocked: %s", why)
				}
				if n := state(p, c.stream).Stopped; n != 1 || w.gone(c.stream, gone) {
					t.Errorf("a sweep waits to be answered for %d rows, wanted 1", n)
				}
				mend()
				pass(25 * time.Minute)
				if n := state(p, c.stream).Stopped; n != 0 || !w.gone(c.stream, gone) {
					t.Errorf("with a token that is an administrator's again a sweep waits for %d rows", n)
				}
				stop()
				exits(t, <-ended, ops.ExitOK)
				w.equal(c.stream)
			})
		})
	}
}

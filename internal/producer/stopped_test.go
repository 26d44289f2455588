package producer_test

import (
	"context"
	"net/http"
	"testing"

	"harveststream/pkg/harvest/harvesttest"
)

// A stop amid a start is a clean one, also where what is interrupted says why: net/http hands on the context's cause, and that of a
// signal carries an exit code.
func TestStoppedWhileAskingTheRegistry(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 1}, func(w *world) {
		w.sync()
		ctx, stop := context.WithCancelCause(w.t.Context())
		w.registry = roundTrip(func(req *http.Request) (*http.Response, error) {
			stop(signalled{})
			return nil, context.Cause(req.Context())
		})
		if err := w.producer().Run(ctx); err != nil {
			w.t.Errorf("run ended with %v, want a clean end", err)
		}
	})
}

// signalled is the cause of a context that a signal ended.
type signalled struct{}

func (signalled) Error() string { return "interrupted: terminated" }
func (signalled) ExitCode() int { return 143 }

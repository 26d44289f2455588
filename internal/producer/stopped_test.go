package producer_test

import (
	"context"
	"net/http"
	"testing"

	"harveststream/internal/ops"
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

// A registry that refuses the login ends a start at once, of the service too: nobody but a person mends that.
func TestRegistryRefusesTheLogin(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 1}, func(w *world) {
		w.registry = roundTrip(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody, Request: req}, nil
		})
		exits(t, w.producer().Sync(w.t.Context()), ops.ExitPermission, "SCHEMA_REGISTRY_URL")
		exits(t, w.producer().Run(w.t.Context()), ops.ExitPermission, "SCHEMA_REGISTRY_URL")
	})
}

// signalled is the cause of a context that a signal ended.
type signalled struct{}

func (signalled) Error() string { return "interrupted: terminated" }
func (signalled) ExitCode() int { return 143 }

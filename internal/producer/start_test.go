package producer_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest/harvesttest"
)

// Exit codes: at a start nothing is waited for that does not mend itself, and what may is waited for by the service.
func TestStartRefusesWhatWillNotMend(t *testing.T) {
	const waits = -1
	answer := func(status int, body string) harvesttest.Fault {
		return harvesttest.Fault{Do: harvesttest.DoStatus, Status: status, Body: body}
	}
	page := harvesttest.Fault{Do: harvesttest.DoBody, Body: "<html>Welcome</html>", Header: http.Header{"Content-Type": {"text/html"}}}
	cases := []struct {
		name, path string
		fault      harvesttest.Fault
		run, sync  int
		words      string
	}{
		{"unauthorised", "users/me", answer(401, `{"error":"invalid_token"}`), ops.ExitPermission, ops.ExitPermission, "HARVEST_API_KEY"},
		{"unauthorised", "company", answer(401, `{"error":"invalid_token"}`), ops.ExitPermission, ops.ExitPermission, "HARVEST_API_KEY"},
		{"forbidden", "users/me", answer(403, `{"message":"Not authorized!"}`), ops.ExitPermission, ops.ExitPermission, "HARVEST_API_KEY"},
		{"not found", "users/me", answer(404, `{"status":404}`), ops.ExitConfig, ops.ExitConfig, "HARVEST_ACCOUNT_ID"},
		{"not found", "company", answer(404, `{"status":404}`), ops.ExitConfig, ops.ExitConfig, "HARVEST_ACCOUNT_ID"},
		{"a web page", "users/me", page, ops.ExitData, ops.ExitData, "HARVEST_BASE_URL"},
		{"a web page", "company", page, ops.ExitData, ops.ExitData, "HARVEST_BASE_URL"},
		{"another product's user", "users/me", harvesttest.Fault{Do: harvesttest.DoBody, Body: `{"id":7,"email":"user@example.com"}`}, ops.ExitData, ops.ExitData, "access_roles"},
		{"elsewhere", "company", harvesttest.Fault{Do: harvesttest.DoStatus, Status: 302, Body: "{}", Header: http.Header{"Location": {"https://example.com"}}}, ops.ExitConfig, ops.ExitConfig, "HARVEST_BASE_URL"},
		{"not understood", "users/me", answer(400, `{}`), ops.ExitData, ops.ExitData, "HARVEST_BASE_URL"},
		{"in trouble", "users/me", answer(503, ``), waits, ops.ExitUnavailable, ""},
		{"in trouble", "company", answer(500, ``), waits, ops.ExitUnavailable, ""},
		{"out of reach", "users/me", harvesttest.Fault{Do: harvesttest.DoDrop}, waits, ops.ExitUnavailable, ""},
		{"too busy", "company", harvesttest.Fault{Do: harvesttest.DoThrottle, Delay: 10 * time.Second}, waits, ops.ExitUnavailable, ""},
	}
	for _, c := range cases {
		t.Run(c.name+" "+strings.ReplaceAll(c.path, "/", "_"), func(t *testing.T) {
			bubble(t, harvesttest.Options{Seed: 209}, func(w *world) {
				c.fault.Match = c.path
				mend := w.sim.Fault(c.fault)
				exits(t, w.producer().Sync(w.t.Context()), c.sync, c.words)
				ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Minute)
				defer cancel()
				p := w.producer()
				if c.run != waits {
					exits(t, p.Run(ctx), c.run, c.words)
					return
				}
				go func() {
					pass(10 * time.Minute)
					mend()
				}()
				exits(t, p.Run(ctx), ops.ExitOK)
				if p.States() == nil {
					t.Error("Harvest came back, and the service did not")
				}
				if n := strings.Count(w.log.String(), "index rebuilt"); n > 12 {
					t.Errorf("the index was rebuilt %d times", n)
				}
				w.equal("clients")
			})
		})
	}
}

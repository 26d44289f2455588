package producer_test

import (
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// What the account says of itself is read while other answers come in, whose bodies take turns in the same buffers.
func TestAccountIsReadBesideOthers(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 4, Gzip: true}, func(w *world) {
		w.serve(func() { pass(30 * time.Minute) }, "HARVEST_POLL_INTERVAL=1s", "HARVEST_RATE_LIMIT=30000")
		if strings.Contains(w.log.String(), "reading the account") {
			t.Error("the account could not be read")
		}
	})
}

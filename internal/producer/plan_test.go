package producer_test

import (
	"bytes"
	"regexp"
	"testing"

	"harveststream/pkg/harvest/harvesttest"
)

// `plan` tells what the lists of children take: all of the budget at a first read, a tenth of it in a rotating pass. 12 invoices have two
// lists each, 5 estimates one, 5 users two.
func TestPlanTellsOfChildren(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 271}, func(w *world) {
		var out bytes.Buffer
		if err := w.producer("HARVEST_RATE_LIMIT=30").Plan(w.t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		if want := regexp.MustCompile(`children +39 lists +first read +19\.5s +rotating pass +3m15s at a tenth of the budget`); !want.Match(out.Bytes()) {
			t.Errorf("no line says %s in\n%s", want, out.String())
		}
	})
}

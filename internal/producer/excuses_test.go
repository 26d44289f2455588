package producer_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

var total = regexp.MustCompile(`"total_entries":(\d+)`)

// oneLess is a list's answer that counts a row less than it shows.
func oneLess(body []byte) []byte {
	return total.ReplaceAllFunc(body, func(m []byte) []byte {
		n, _ := strconv.Atoi(string(total.FindSubmatch(m)[1]))
		return []byte(`"total_entries":` + strconv.Itoa(n-1))
	})
}

// P12: a difference that no search mends is left alone; another one is not, and a complete sweep has it looked at again.
func TestP12OneExcuse(t *testing.T) {
	bubble(t, harvesttest.Options{Seed: 261}, func(w *world) {
		id := w.sim.IDs("expenses")[0]
		excuses := func() int {
			return strings.Count(w.log.String(), "the list's total differs from the rows it shows")
		}
		w.serve(func() {
			pass(3 * time.Minute)
			mend := w.sim.Fault(harvesttest.Fault{Match: "expenses", Query: "per_page=1", Do: harvesttest.DoRewrite, Rewrite: oneLess})
			pass(6 * time.Minute)
			if n := excuses(); n != 1 {
				t.Errorf("the difference was excused %d times before the next sweep", n)
			}
			w.delete("expenses", id)
			pass(5 * time.Minute)
			if !w.gone("expenses", id) {
				t.Errorf("expense %d is still on the topic", id)
			}
			before := excuses()
			pass(70 * time.Minute)
			if n := excuses(); n == before {
				t.Error("no sweep had the difference looked at again")
			}
			mend()
			before = excuses()
			pass(5 * time.Minute)
			if n := excuses(); n != before {
				t.Error("a difference that went away was looked for")
			}
		}, "HARVEST_SWEEP_INTERVAL=1h", "HARVEST_STREAMS=expenses")
	})
}

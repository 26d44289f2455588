package producer

import (
	"testing"
	"time"

	"harveststream/internal/kafka"
)

// P7: whatever comes when, no 24 hours see more deletes than the brake lets through, and those of more than 25 hours ago are forgotten.
func TestBrakeDaySlides(t *testing.T) {
	t.Parallel()
	type event struct {
		at time.Time
		n  int
	}
	for step := 7 * time.Minute; step < 30*time.Hour; step += step/3 + 11*time.Second {
		var past []kafka.Deletes
		var let []event
		now := time.Date(2026, 3, 1, 23, 50, 0, 0, time.UTC)
		for range 300 {
			now = now.Add(step)
			const n = 5
			sum, longer := 0, 0
			for _, e := range let {
				if now.Sub(e.at) <= brakeMemory {
					sum += e.n
				}
				if now.Sub(e.at) <= brakeMemory+brakeGrain {
					longer += e.n
				}
			}
			today := sumDeletes(past, now)
			if today < sum || today > longer {
				t.Fatalf("every %s: the brake remembers %d deletes, of 24 h there are %d, of 25 h %d", step, today, sum, longer)
			}
			if conclude(candidates{unexplained: n, today: today, living: 100, allowed: -1, admin: true}) != "" {
				continue
			}
			past, let = addDeletes(past, now, n), append(let, event{now, n})
			if len(past) > 26 {
				t.Fatalf("every %s: %d entries are remembered", step, len(past))
			}
		}
		if step > time.Hour && len(let) < 20 {
			t.Errorf("every %s: %d deletes in 300 tries", step, len(let))
		}
	}
}

package real_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"harveststream/pkg/harvest/harvesttest"
)

// victim is a program that is killed and started again.
type victim struct {
	*program
	start func() *program
	kills int
	dies  time.Time // when next
	mean  time.Duration
}

func (v *victim) next(rng *rand.Rand, now time.Time) {
	v.dies = now.Add(time.Duration(-math.Log(1-rng.Float64()) * float64(v.mean)))
}

// mayEnd says whether a drain ended as it should: done, or before its topics were there, or because the service that was given the
// partitions took them over (S1).
func (v *victim) mayEnd() bool {
	return v.code == 0 || v.code == 69 || v.code == 70 && v.saidText("another sinker has taken")
}

// Producer and sinker die at random moments, the first load included, while the account changes; afterwards tables and topics are the
// account, nothing was published twice and no seq is missing. A killed service's partitions are free when its group session ends, so the
// sinker that dies most often is drain, which needs no group; the service beside it dies seldom enough to get to work.
func TestKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harvesttest.Options{Seed: 11})
	rng := rand.New(rand.NewPCG(*seed, 11))
	w.env = append(w.env, "HARVEST_LOOKBACK=10s", "HARVEST_SWEEP_INTERVAL=15s", "HARVEST_RECENT_SWEEP_INTERVAL=10s", "HARVEST_CHILDREN_INTERVAL=20s")
	producer := &victim{mean: 3 * time.Second, start: func() *program { return w.start("producer", nil) }}
	drain := &victim{mean: time.Second, start: func() *program { return w.start("sinker", []string{"drain"}) }}
	service := &victim{mean: 45 * time.Second, start: func() *program { return w.start("sinker", nil) }}
	victims := []*victim{producer, drain, service}
	for _, v := range victims {
		v.program = v.start()
		v.next(rng, time.Now())
	}
	changes, fenced := 0, 0
	for end := time.Now().Add(*killing); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		w.sim().Live(rng)
		changes++
		for _, v := range victims {
			select {
			case <-v.done:
				if v != drain || !v.mayEnd() {
					t.Fatalf("%s ended by itself with %d: %s", v.name, v.code, v.said())
				}
				if v.code == 70 {
					fenced++
				}
				v.program = v.start()
				continue
			default:
			}
			if time.Now().After(v.dies) {
				v.kill()
				v.kills++
				v.program = v.start()
				v.next(rng, time.Now())
			}
		}
	}
	drain.kill()
	took := w.arrives(3*time.Minute, producer.program, service.program)
	compared, records := w.finish(producer.program, service.program)
	figure(t, "%d kills of the producer, %d of drain (besides %d fenced), %d of the service in %s, %d changes, the last there after %s; %d rows, %d records: none lost, none twice, no gap",
		producer.kills, drain.kills, fenced, service.kills, *killing, changes, took, compared, records)
}

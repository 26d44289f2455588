package producer

import (
	"fmt"
	"slices"
	"time"

	"harveststream/internal/kafka"
)

// brakeFloor and brakeShare are P7's limits: more unexplained deletes than max(20, 2 %) of the stream within a day stop the sweep.
const (
	brakeFloor = 20
	brakeShare = 50 // 1/50 = 2 %

	brakeMemory = 24 * time.Hour // it slides: no day of anybody's has more
	brakeGrain  = time.Hour      // deletes within it are remembered as one, as of the last
)

// addDeletes adds deletes to the brake's memory and forgets those of more than a day ago.
func addDeletes(past []kafka.Deletes, now time.Time, n int) []kafka.Deletes {
	past = slices.DeleteFunc(slices.Clone(past), func(d kafka.Deletes) bool { return now.Sub(d.At) > brakeMemory })
	if n == 0 {
		return past
	}
	if last := len(past) - 1; last >= 0 && past[last].At.Truncate(brakeGrain).Equal(now.Truncate(brakeGrain)) {
		past[last] = kafka.Deletes{At: now, Rows: past[last].Rows + n}
		return past
	}
	return append(past, kafka.Deletes{At: now, Rows: n})
}

// sumDeletes is how many deletes of the last day the brake remembers.
func sumDeletes(past []kafka.Deletes, now time.Time) int {
	n := 0
	for _, d := range past {
		if now.Sub(d.At) <= brakeMemory {
			n += d.Rows
		}
	}
	return n
}

// candidates is what a sweep concludes from, reduced to numbers (P7).
type candidates struct {
	unexplained int // keys not met whose own parent is not confirmed gone
	explained   int // keys not met whose parent is
	today       int // unexplained deletes of earlier sweeps within a day, and those other tasks are about to make
	living      int // keys of the whole stream in the index, the candidates included, less what other tasks are about to delete
	allowed     int // what a human allowed with --allow-deletes; -1 = nobody was asked
	admin       bool
	changed     bool // the token's permissions are others than when the sweep began
}

// conclude is the brake of P7: "" when the candidates may be confirmed one by one and deleted, else why the sweep stops until a
// human answers with `producer sweep STREAM --allow-deletes N`.
func conclude(c candidates) string {
	limit := max(brakeFloor, c.living/brakeShare)
	switch {
	case !c.admin:
		return "the token is not an administrator's: it may just not see these rows"
	case c.unexplained == 0:
		return ""
	case c.changed:
		return "the token's permissions have changed"
	case c.allowed >= 0 && c.unexplained > c.allowed:
		return fmt.Sprintf("%d rows are missing, more than the %d allowed", c.unexplained, c.allowed)
	case c.allowed >= 0:
		return ""
	case c.unexplained+c.explained >= c.living:
		return "none of the stream is left"
	case c.unexplained+c.today > limit:
		return fmt.Sprintf("%d rows are missing and %d were deleted within a day, more than %d", c.unexplained, c.today, limit)
	default:
		return ""
	}
}

// Command sinker keeps PostgreSQL tables equal to the topics; see sinker --help.
package main

import (
	"math"
	"os"
	"runtime/debug"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

func main() {
	// What waits for the database is bounded (S7), the garbage it leaves is not: rather collect early than grow beyond 200 MB. GOMEMLIMIT,
	// where it says something, wins.
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(170 << 20)
	}
	os.Exit(ops.Main("sinker", sinker.Command))
}

// Command producer reads a Harvest account and publishes its changes to Kafka; see producer --help.
package main

import (
	"os"
	"runtime/debug"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
)

func main() {
	// The index, most of the memory, holds no pointers: collecting often costs little. GOGC, where it says something, wins.
	if before := debug.SetGCPercent(50); before != 100 {
		debug.SetGCPercent(before)
	}
	os.Exit(ops.Main("producer", producer.Command))
}

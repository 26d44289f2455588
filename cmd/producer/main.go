// Command producer reads a Harvest account and publishes its changes to Kafka; see producer --help.
package main

import (
	"os"
	"runtime/debug"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // the index, most of the memory, holds no pointers: collecting often costs little
	}
	os.Exit(ops.Main("producer", producer.Command))
}

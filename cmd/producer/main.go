// Command producer reads a Harvest account and publishes its changes to Kafka; see producer --help.
package main

import (
	"os"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
)

func main() { os.Exit(ops.Main("producer", producer.Command)) }

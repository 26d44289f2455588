// Command sinker keeps PostgreSQL tables equal to the topics; see sinker --help.
package main

import (
	"os"

	"harveststream/internal/ops"
	"harveststream/internal/sinker"
)

func main() { os.Exit(ops.Main("sinker", sinker.Command)) }

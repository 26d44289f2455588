// Command quickstart runs the whole system in one process: a Harvest account, a broker, a schema registry, a database, producer and
// sinker. The account is simulated and keeps changing, unless HARVEST_API_KEY names a real one. Nothing needs to be installed or
// configured, and everything that was started ends with it. See quickstart --help.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"harveststream/internal/ops"
)

func main() { os.Exit(ops.Main("quickstart", command)) }

const about = `quickstart shows a Harvest account flow through Kafka topics into PostgreSQL tables, all in this one process.

Account    simulated, of about 20,000 time entries, changing every second (after ten minutes more slowly); with HARVEST_API_KEY and HARVEST_ACCOUNT_ID the real one
Kafka      embedded, in memory, with a schema registry: a real account is read from its anchor date at every start
PostgreSQL DATABASE_URL, else a private server from the programs found on this machine (or in PGBIN), else one that is fetched

The HARVEST_, SINK_, REPLICATION_FILE and LOG_LEVEL settings of producer and sinker hold here too. The simulated account has no request
limit, and is swept every minute. In the database of DATABASE_URL the tables stay, and the next quickstart makes them
anew; a schema that quickstart did not make is never touched. Ctrl-C ends it cleanly with exit code 0.

Exit codes: those of producer and sinker; 65 when --once finds tables that do not become equal to the account.
`

// options are the command line's.
type options struct {
	once    bool
	entries int
	logFile string
}

func command(env ops.Env) *cobra.Command {
	var o options
	var listen string
	root := &cobra.Command{
		Use: "quickstart", Short: "The whole system in one process", Long: about,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), env, o)
		},
	}
	root.PersistentFlags().IntVar(&o.entries, "entries", 20_000, "time entries of the simulated account; the rest of it grows along")
	root.Flags().BoolVar(&o.once, "once", false, "stop when every table equals the account (a real one: is complete up to its first read)")
	root.Flags().StringVar(&o.logFile, "log", "", "file for the logs of producer and sinker; warnings are shown in any case")
	simulator := &cobra.Command{
		Use: "simulator", Short: "Serve the simulated account only, over http",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return serveSimulator(cmd.Context(), env, listen, o.entries)
		},
	}
	simulator.Flags().StringVar(&listen, "listen", "127.0.0.1:8090", "address to listen on")
	root.AddCommand(simulator)
	return root
}

const maxEntries = 2_000_000 // more would not fit into the memory of a usual machine

func (o options) check() error {
	if o.entries < 1 || o.entries > maxEntries {
		return ops.Fail(ops.ExitUsage, fmt.Errorf("--entries %d is not between 1 and %d", o.entries, maxEntries))
	}
	return nil
}

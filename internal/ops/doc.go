// Package ops is the plumbing both programs share: configuration from the environment, exit codes, the command line's
// frame with its signals, logging, the admin HTTP server, and the replication file. It knows neither Kafka nor
// Postgres nor Harvest and imports nothing of this module.
//
// A program's configuration is one struct. Each field names its variable, its default and its meaning:
//
//	Limit int `env:"HARVEST_RATE_LIMIT" envDefault:"90" doc:"requests per 15 s"`
//
// From these tags come the parsed values ([Load]), the help text ([HelpText]) and the README's table ([Markdown]).
package ops

package main

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/joho/godotenv"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/internal/sinker"
	"harveststream/pkg/schema"
)

// given is what decides which parts are real.
type given struct {
	APIKey      ops.Secret `env:"HARVEST_API_KEY"`
	DatabaseURL ops.Secret `env:"DATABASE_URL"`
}

// settings are the two programs' configurations.
type settings struct {
	producer producer.Config
	sinker   sinker.Config
	tables   map[string]pgx.Identifier // of the selected streams
	streams  []*schema.Stream
}

// lively are the settings for a simulated account, which has no request limit: what a poll cannot see is looked for every minute.
var lively = []string{
	"HARVEST_CONTACT=quickstart", "HARVEST_ANCHOR_DATE=all", "HARVEST_RATE_LIMIT=30000", "HARVEST_POLL_INTERVAL=1s", "HARVEST_LOOKBACK=1m",
	"HARVEST_RECENT_SWEEP_INTERVAL=1m", "HARVEST_SWEEP_INTERVAL=1m", "HARVEST_CHILDREN_INTERVAL=1m", "HARVEST_TIMER_RESOLUTION=1m",
}

// calm leaves room for the requests that count a real account's rows.
var calm = []string{"HARVEST_RATE_LIMIT=80"}

// ours are the settings that are not the user's here: they would lead to another broker or registry than the embedded ones.
var ours = []string{
	"KAFKA_TLS", "KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD",
	"KAFKA_SASL_PASSWORD_FILE", "KAFKA_REPLICATION_FACTOR", "SCHEMA_REGISTRY_USERNAME", "SCHEMA_REGISTRY_PASSWORD", "SCHEMA_REGISTRY_PASSWORD_FILE", "ADMIN_ADDR",
}

// load makes both configurations: the user's own settings, above the defaults of this program, below what it starts itself.
func load(env ops.Env, defaults, started []string) (settings, error) {
	var s settings
	environ := slices.Concat(unset(env, defaults), env.Environ, started)
	for _, name := range ours {
		environ = append(environ, name+"=")
	}
	var err error
	if s.producer, err = ops.Load[producer.Config](environ, env.Dotenv); err != nil {
		return s, err
	}
	if s.sinker, err = ops.Load[sinker.Config](environ, env.Dotenv); err != nil {
		return s, err
	}
	return s, s.selectTables()
}

// unset leaves out what the .env file says otherwise; what is wrong with that file ops.Load will tell.
func unset(env ops.Env, defaults []string) []string {
	dotenv := map[string]string{}
	if env.Dotenv != "" {
		if read, err := godotenv.Read(env.Dotenv); err == nil {
			dotenv = read
		}
	}
	return slices.DeleteFunc(slices.Clone(defaults), func(d string) bool {
		name, _, _ := strings.Cut(d, "=")
		return dotenv[name] != ""
	})
}

// selectTables works out which streams are mirrored, and where.
func (s *settings) selectTables() error {
	s.tables = map[string]pgx.Identifier{}
	if s.sinker.Replication == "" {
		var err error
		s.streams, err = schema.Select(s.sinker.Streams)
		for _, st := range s.streams {
			s.tables[st.Name] = pgx.Identifier{s.sinker.Schema, st.Name}
		}
		return err
	}
	var names []string
	for _, st := range schema.All() {
		names = append(names, st.Name)
	}
	file, err := ops.ParseReplication(s.sinker.Replication, names, func(name string) string {
		st, _ := schema.ByName(name)
		return st.Parent
	})
	if err != nil {
		return err
	}
	for _, rule := range file.Streams {
		st, _ := schema.ByName(rule.Name)
		s.streams = append(s.streams, st)
		s.tables[st.Name] = pgx.Identifier{s.sinker.Schema, st.Name}
		if rule.Table != "" {
			s.tables[st.Name] = pgx.Identifier{rule.Schema, rule.Table}
		}
	}
	return nil
}

// namespaces are the database's schemas that will be written to.
func (s *settings) namespaces() []string {
	list := []string{s.sinker.Schema}
	for _, table := range s.tables {
		list = append(list, table[0])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// whole says whether the mirror is of everything in the account, so that the two can be held against each other.
func (s *settings) whole() bool {
	return s.producer.Anchor.Given && s.producer.Anchor.Time.IsZero() && s.producer.Omit == "" && s.producer.Deletes != "off"
}

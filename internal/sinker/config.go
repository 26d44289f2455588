package sinker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/schema"
)

// Target is what the environment says about the tables: all that `sinker ddl` needs.
type Target struct {
	Schema      string   `env:"SINK_SCHEMA" envDefault:"harvest" doc:"PostgreSQL schema of the tables and of the sinker's own ones"`
	DeleteMode  string   `env:"SINK_DELETE_MODE" envDefault:"hard" doc:"hard: rows of deleted objects go; soft: they are marked in _deleted_at"`
	Streams     []string `env:"HARVEST_STREAMS" envDefault:"*" doc:"streams by name and pattern, comma-separated; - before one takes out; a child brings its parent"`
	Replication string   `env:"REPLICATION_FILE" doc:"YAML file that selects streams and names tables; wins over HARVEST_STREAMS"`
}

// Config is what the environment says (design §7).
type Config struct {
	Target
	Kafka       kafka.Config
	DatabaseURL ops.Secret `env:"DATABASE_URL,required" doc:"PostgreSQL to write to: postgres://user:password@host/database"`
	Group       string     `env:"SINK_GROUP" envDefault:"harvest-sinker" doc:"begins the name of the consumer group; the target's own id ends it"`
	AdminAddr   string     `env:"ADMIN_ADDR" envDefault:"127.0.0.1:8081" empty:"off" doc:"where /healthz, /readyz, /metrics and /streams are served"`
	LogLevel    string     `env:"LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	LogFormat   string     `env:"LOG_FORMAT" envDefault:"auto" doc:"text, json, or auto: text on a terminal, JSON elsewhere"`
}

// Deps is what a command gets from its surroundings.
type Deps struct {
	Log    *slog.Logger
	Stdout io.Writer // results
	// Hook is called at the named points of a transaction; an error of it is the process's death there. For tests; nil: none.
	Hook func(point string) error
}

func (d Deps) hook(point string) error {
	if d.Hook == nil {
		return nil
	}
	return d.Hook(point)
}

// Validate returns every problem of the target, each beginning with its variable's name.
func (t Target) Validate() []error {
	var errs []error
	if err := validateName(t.Schema); err != nil {
		errs = append(errs, fmt.Errorf("SINK_SCHEMA: %w", err))
	}
	if t.DeleteMode != "hard" && t.DeleteMode != "soft" {
		errs = append(errs, fmt.Errorf("SINK_DELETE_MODE: %q is neither hard nor soft", t.DeleteMode))
	}
	if _, err := t.tables(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// Validate returns every problem, each beginning with its variable's name. Nothing is connected to.
func (c Config) Validate() []error {
	var errs []error
	if _, err := parseDSN(c.DatabaseURL); err != nil {
		errs = append(errs, fmt.Errorf("DATABASE_URL: %w", err))
	}
	if c.Group == "" || len(c.Group) > 200 {
		errs = append(errs, errors.New("SINK_GROUP: is empty or longer than 200 bytes"))
	}
	if err := ops.CheckAddr("ADMIN_ADDR", c.AdminAddr); err != nil {
		errs = append(errs, err)
	}
	if _, err := ops.NewLogger(io.Discard, c.LogLevel, c.LogFormat); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// validateName refuses names of schemas that PostgreSQL would cut or keeps for itself.
func validateName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > maxName:
		return fmt.Errorf("%q is longer than %d bytes", name, maxName)
	case strings.HasPrefix(name, "pg_") || name == "information_schema":
		return fmt.Errorf("%q is PostgreSQL's own", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == 0xfffd }):
		return fmt.Errorf("%q holds quotes or control characters", name)
	}
	return nil
}

// tables are the selected streams' tables, in catalogue order, named by the replication file where there is one.
func (t Target) tables() ([]*table, error) {
	soft := t.DeleteMode == "soft"
	if t.Replication == "" {
		streams, err := schema.Select(t.Streams)
		if err != nil {
			return nil, fmt.Errorf("HARVEST_STREAMS: %w", err)
		}
		tables := make([]*table, len(streams))
		for i, st := range streams {
			if tables[i], err = newTable(st, t.Schema, "", soft); err != nil {
				return nil, err
			}
		}
		return tables, nil
	}
	var names []string
	for _, st := range schema.All() {
		names = append(names, st.Name)
	}
	file, err := ops.ParseReplication(t.Replication, names, parentOf)
	if err != nil {
		return nil, err
	}
	var tables []*table
	taken := map[string]string{}
	for _, rule := range file.Streams {
		st, _ := schema.ByName(rule.Name)
		namespace := rule.Schema
		if namespace == "" {
			namespace = t.Schema
		}
		tab, err := newTable(st, namespace, rule.Table, soft)
		if err != nil {
			return nil, fmt.Errorf("REPLICATION_FILE: %w", err)
		}
		for _, r := range append(tab.relations(), housekeeping(t.Schema)...) {
			if other := taken[r.ident()]; other != "" && other != rule.Name && !strings.HasPrefix(r.name, "_") {
				return nil, fmt.Errorf("REPLICATION_FILE: streams %s and %s share the table %s", other, rule.Name, r.ident())
			}
			taken[r.ident()] = rule.Name
		}
		tables = append(tables, tab)
	}
	return tables, nil
}

func parentOf(name string) string {
	if st, ok := schema.ByName(name); ok {
		return st.Parent
	}
	return ""
}

// relations are all tables of a target: the sinker's own, then the streams'.
func (t Target) relations(tables []*table) []*relation {
	list := housekeeping(t.Schema)
	for _, tab := range tables {
		list = append(list, tab.relations()...)
	}
	return list
}

// Warnings says what is allowed but seldom meant.
func (c Config) Warnings() []string {
	warnings := c.Kafka.Warnings()
	config, err := parseDSN(c.DatabaseURL)
	if err != nil {
		return warnings
	}
	remote := !strings.HasPrefix(config.Host, "/") && config.Host != "localhost" && config.Host != "127.0.0.1" && config.Host != "::1"
	if remote && (config.TLSConfig == nil || config.TLSConfig.InsecureSkipVerify) {
		warnings = append(warnings, "DATABASE_URL: without sslmode=verify-full the connection to another machine is not authentic")
	}
	return warnings
}

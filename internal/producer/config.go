package producer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"harveststream/internal/kafka"
	"harveststream/internal/ops"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"
)

// Config is the producer's whole configuration (design §7), one environment variable a field.
type Config struct {
	APIKey    ops.Secret `env:"HARVEST_API_KEY,required" doc:"personal access token of an administrator (others see a part of the account)"`
	AccountID int64      `env:"HARVEST_ACCOUNT_ID,required" doc:"number of the account"`
	Contact   string     `env:"HARVEST_CONTACT" doc:"address or link for the User-Agent that Harvest demands"`
	BaseURL   string     `env:"HARVEST_BASE_URL" envDefault:"https://api.harvestapp.com/v2" doc:"where the API is; plain http only to loopback"`
	Anchor    Anchor     `env:"HARVEST_ANCHOR_DATE" doc:"time entries, expenses, invoices and estimates changed since are mirrored: a date (midnight UTC), an RFC 3339 instant, or all; none: one year back, fixed at the first start"`
	Streams   []string   `env:"HARVEST_STREAMS" envDefault:"*" doc:"streams to mirror: names and patterns, comma-separated, - before one takes out"`
	Omit      string     `env:"HARVEST_OMIT" doc:"fields that stay null everywhere: users.cost_rate,*.notes"`

	PollInterval        ops.Intervals `env:"HARVEST_POLL_INTERVAL" envDefault:"15s,time_entries=3s" doc:"how often changes are asked for: a duration, then exceptions by stream"`
	Lookback            time.Duration `env:"HARVEST_LOOKBACK" envDefault:"5m" doc:"how far before the last poll the next one asks again, for rows that become visible late"`
	SweepInterval       time.Duration `env:"HARVEST_SWEEP_INTERVAL" envDefault:"24h" doc:"how often every list is read whole"`
	RecentSweepInterval time.Duration `env:"HARVEST_RECENT_SWEEP_INTERVAL" envDefault:"10m" doc:"how often the last 14 days are read whole"`
	ProbeInterval       time.Duration `env:"HARVEST_PROBE_INTERVAL" envDefault:"1m" doc:"how often the totals of the lists are compared, which finds deletes"`
	ChildrenInterval    time.Duration `env:"HARVEST_CHILDREN_INTERVAL" envDefault:"24h" doc:"how often the children of every parent are read"`
	TimerResolution     time.Duration `env:"HARVEST_TIMER_RESOLUTION" envDefault:"15m" doc:"how often the growing hours of a running timer are published"`
	Deletes             Deletes       `env:"HARVEST_DELETES" envDefault:"auto" doc:"auto (with an administrator's token), on, off"`
	RateLimit           int           `env:"HARVEST_RATE_LIMIT" envDefault:"90" doc:"requests per 15 s, of the account's 100"`
	Concurrency         int           `env:"HARVEST_CONCURRENCY" envDefault:"8" doc:"requests under way at once"`

	Kafka kafka.Config

	ReplicationFile string `env:"REPLICATION_FILE" doc:"YAML file that selects streams, their mode and their tables; wins over HARVEST_STREAMS"`
	AdminAddr       string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:8080" empty:"off" doc:"where /healthz, /readyz, /metrics and /streams are served"`
	LogLevel        string `env:"LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	LogFormat       string `env:"LOG_FORMAT" envDefault:"auto" doc:"text, json, or auto: text on a terminal, JSON elsewhere"`

	omit     schema.Omit
	selected []*schema.Stream
	refresh  map[string]bool // streams in mode full-refresh
}

// Anchor is where the mirror begins (P10).
type Anchor struct {
	Given bool
	Time  time.Time // zero with Given: all
}

// UnmarshalText reads a date, an instant, or all.
func (a *Anchor) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" {
		return nil
	}
	a.Given = true
	if s == "all" {
		return nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t, err = time.Parse(time.RFC3339, s)
	}
	if err != nil {
		return fmt.Errorf("%q is neither a date like 2025-01-31, nor an instant like 2025-01-31T12:00:00Z, nor all", s)
	}
	if t.Year() < 1 || t.After(time.Now()) {
		return fmt.Errorf("%q is in the future or before year 1", s)
	}
	a.Time = t.UTC()
	return nil
}

// Deletes says whether absence is ever taken for deletion (P7).
type Deletes string

const (
	deletesAuto Deletes = "auto"
	deletesOn   Deletes = "on"
	deletesOff  Deletes = "off"
)

// Validate returns every problem of the configuration, each beginning with its variable, before anything is connected to.
func (c *Config) Validate() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.AccountID < 1 {
		bad("HARVEST_ACCOUNT_ID: %d is not an account's number", c.AccountID)
	}
	if err := harvest.CheckBaseURL(c.BaseURL); err != nil {
		bad("HARVEST_BASE_URL: %w", err)
	}
	if strings.ContainsFunc(c.Contact, func(r rune) bool { return r < ' ' || r > '~' }) {
		bad("HARVEST_CONTACT: must be plain ASCII, it goes into a header")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"HARVEST_LOOKBACK", c.Lookback}, {"HARVEST_SWEEP_INTERVAL", c.SweepInterval}, {"HARVEST_RECENT_SWEEP_INTERVAL", c.RecentSweepInterval},
		{"HARVEST_PROBE_INTERVAL", c.ProbeInterval}, {"HARVEST_CHILDREN_INTERVAL", c.ChildrenInterval}, {"HARVEST_TIMER_RESOLUTION", c.TimerResolution}} {
		if d.value <= 0 {
			bad("%s: %s is not above zero", d.name, d.value)
		}
	}
	if c.Lookback > c.SweepInterval {
		bad("HARVEST_LOOKBACK: %s is more than HARVEST_SWEEP_INTERVAL (%s)", c.Lookback, c.SweepInterval)
	}
	if !slices.Contains([]Deletes{deletesAuto, deletesOn, deletesOff}, c.Deletes) {
		bad("HARVEST_DELETES: %q is none of auto, on, off", string(c.Deletes))
	}
	if c.RateLimit < 6 || c.RateLimit > math.MaxInt16 {
		bad("HARVEST_RATE_LIMIT: %d is no number from 6 to %d (requests per 15 s)", c.RateLimit, math.MaxInt16)
	}
	if c.Concurrency < 1 || c.Concurrency > 64 {
		bad("HARVEST_CONCURRENCY: %d is not between 1 and 64", c.Concurrency)
	}
	if err := ops.CheckAddr("ADMIN_ADDR", c.AdminAddr); err != nil {
		errs = append(errs, err)
	}
	if _, err := ops.NewLogger(nil, c.LogLevel, c.LogFormat); err != nil {
		errs = append(errs, err)
	}
	return append(errs, c.resolve()...)
}

// resolve works out what the configuration selects.
func (c *Config) resolve() []error {
	var errs []error
	var err error
	if c.omit, err = schema.ParseOmit(c.Omit); err != nil {
		errs = append(errs, fmt.Errorf("HARVEST_OMIT: %w", err))
	}
	if c.ReplicationFile == "" {
		if c.selected, err = schema.Select(c.Streams); err != nil {
			errs = append(errs, fmt.Errorf("HARVEST_STREAMS: %w", err))
		}
	} else {
		errs = append(errs, c.replication()...)
	}
	for name := range c.PollInterval.Except {
		if _, ok := schema.ByName(name); !ok {
			errs = append(errs, fmt.Errorf("HARVEST_POLL_INTERVAL: there is no stream %q", name))
		}
	}
	return errs
}

func (c *Config) replication() []error {
	var names []string
	for _, s := range schema.All() {
		names = append(names, s.Name)
	}
	file, err := ops.ParseReplication(c.ReplicationFile, names, func(name string) string {
		s, _ := schema.ByName(name)
		return s.Parent
	})
	if err != nil {
		return []error{err}
	}
	c.refresh, c.selected = map[string]bool{}, nil
	for _, rule := range file.Streams {
		s, _ := schema.ByName(rule.Name)
		c.selected = append(c.selected, s)
		c.refresh[rule.Name] = rule.Mode == ops.FullRefresh
	}
	return nil
}

// Warnings says what is allowed but seldom meant.
func (c *Config) Warnings() []string {
	warnings := c.Kafka.Warnings()
	if c.Contact == "" {
		warnings = append(warnings, "HARVEST_CONTACT: empty; Harvest asks every integration for an address or a link, and may refuse those without")
	}
	if c.RateLimit > 100 {
		warnings = append(warnings, fmt.Sprintf("HARVEST_RATE_LIMIT: %d is more than the 100 requests per 15 s Harvest grants an account", c.RateLimit))
	}
	return warnings
}

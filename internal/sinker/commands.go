package sinker

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"harveststream/internal/faultpoint"
	"harveststream/internal/ops"
)

type (
	runCommand    = func(ctx context.Context, cfg Config, deps Deps) error
	runDeadLetter = func(ctx context.Context, cfg Config, deps Deps, id int64) error
)

// commands is the program's command line (design §7).
type commands struct{ env ops.Env }

const about = `sinker keeps a PostgreSQL schema equal to the topics that the producer writes.

Exit codes: 0 done, 64 usage, 65 data (a topic that stops, tables that differ, too many dead letters), 69 unavailable,
70 internal or taken over, 77 permission, 78 configuration.
`

// Command is the program: what its commands are called, what they take and what they print.
func Command(env ops.Env) *cobra.Command {
	c := commands{env}
	root := &cobra.Command{
		Use:   "sinker",
		Short: "Keeps a PostgreSQL schema equal to the topics",
		Long:  about + "\n" + ops.HelpText(ops.Variables[Config]()),
		Args:  cobra.NoArgs,
		RunE:  c.run,
	}
	root.AddCommand(
		&cobra.Command{Use: "run", Short: "Serve until stopped (the default)", RunE: c.run},
		c.drain(), c.check(), c.ddl(),
		&cobra.Command{Use: "status", Short: "Offsets, lag, freshness, dead letters", RunE: c.with(Status)},
		c.deadLetters(), c.rebuild(),
		&cobra.Command{Use: "verify STREAM...", Short: "Compare tables with their topics and change nothing; 65 where they differ", Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				cfg, deps, err := c.load()
				if err != nil {
					return err
				}
				return Verify(cmd.Context(), cfg, deps, args)
			}},
	)
	return root
}

// load reads the configuration and makes the logger.
func (c commands) load() (Config, Deps, error) {
	cfg, err := ops.Load[Config](c.env.Environ, c.env.Dotenv)
	if err != nil {
		return cfg, Deps{}, err
	}
	log, err := c.logger(cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return cfg, Deps{}, err
	}
	for _, name := range ops.Unknown[Config](c.env.Environ, c.env.Dotenv, "SINK_", "KAFKA_", "SCHEMA_REGISTRY_") {
		log.Warn("variable is not known, most likely misspelt", "name", name)
	}
	return cfg, Deps{Log: log, Stdout: c.env.Stdout, Hook: faultpoint.Hook}, nil
}

func (c commands) logger(level, format string) (*slog.Logger, error) {
	log, err := ops.NewLogger(c.env.Stderr, level, format)
	return log, ops.Fail(ops.ExitConfig, err)
}

func (c commands) run(cmd *cobra.Command, _ []string) error { return c.with(Run)(cmd, nil) }

func (c commands) drain() *cobra.Command {
	var until string
	cmd := &cobra.Command{Use: "drain", Short: "Apply what is on the topics now, then exit", RunE: func(cmd *cobra.Command, _ []string) error {
		moment, err := parseMoment(until)
		if err != nil {
			return ops.Fail(ops.ExitUsage, fmt.Errorf("--until: %w", err))
		}
		cfg, deps, err := c.load()
		if err != nil {
			return err
		}
		return Drain(cmd.Context(), cfg, deps, moment)
	}}
	cmd.Flags().StringVar(&until, "until", "", "apply what was on the topics by this moment (RFC 3339, or a date: its midnight UTC); into a SINK_SCHEMA of its own")
	return cmd
}

// parseMoment reads an instant or a day; nothing is the zero time.
func parseMoment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is neither a date nor an instant like 2026-01-31T12:00:00Z", text)
	}
	return t, nil
}

func (c commands) check() *cobra.Command {
	return &cobra.Command{Use: "check", Short: "Look at everything the service needs, item by item, and say how to mend what is wrong", RunE: c.with(Check)}
}

func (c commands) ddl() *cobra.Command {
	var missing bool
	cmd := &cobra.Command{Use: "ddl", Short: "Print the statements that make the tables", RunE: func(cmd *cobra.Command, _ []string) error {
		if missing {
			cfg, deps, err := c.load()
			if err != nil {
				return err
			}
			return MissingDDL(cmd.Context(), cfg, deps)
		}
		target, err := ops.Load[Target](c.env.Environ, c.env.Dotenv)
		if err != nil {
			return err
		}
		return DDL(target, c.env.Stdout)
	}}
	cmd.Flags().BoolVar(&missing, "missing", false, "only what the database of DATABASE_URL lacks")
	return cmd
}

func (c commands) rebuild() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "rebuild STREAM...", Short: "Make tables equal to their topics, read from the start", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, deps, err := c.load()
			if err != nil {
				return err
			}
			if err := ops.Confirm(c.env, fmt.Sprintf("Rebuild %s in schema %s from the topics?", strings.Join(args, ", "), cfg.Schema), yes); err != nil {
				return err
			}
			return Rebuild(cmd.Context(), cfg, deps, args)
		}}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (c commands) deadLetters() *cobra.Command {
	group := &cobra.Command{Use: "dead-letters", Short: "The records that were set aside"}
	one := func(use, short string, run runDeadLetter) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			id := int64(0)
			if len(args) == 1 {
				var err error
				if id, err = strconv.ParseInt(args[0], 10, 64); err != nil || id < 1 {
					return ops.Fail(ops.ExitUsage, fmt.Errorf("%q is no number of a dead letter", args[0]))
				}
			}
			cfg, deps, err := c.load()
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, deps, id)
		}}
	}
	show := one("show ID", "One of them: where it stood, why it was set aside, what is in it", ShowDeadLetter)
	show.Args = cobra.ExactArgs(1)
	group.AddCommand(one("list", "List them, newest first", ListDeadLetters), show,
		one("replay [ID]", "Apply one, or all, again; those that can be applied now leave the list", ReplayDeadLetters))
	return group
}

// with runs a command that takes nothing but the configuration.
func (c commands) with(run runCommand) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		cfg, deps, err := c.load()
		if err != nil {
			return err
		}
		return run(cmd.Context(), cfg, deps)
	}
}

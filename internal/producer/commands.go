package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/schema"

	"github.com/spf13/cobra"
)

const about = `producer reads a Harvest account through its REST API, near real time and within the API's request budget,
and publishes every change as one Avro record on one Kafka topic per stream.

Exit codes: 0 done, 64 usage, 65 data (a stopped sweep, a refused answer), 69 unavailable, 70 internal or taken over,
77 permission (401, a blocked stream), 78 configuration.
`

// Command is the program's command line (design §7).
func Command(env ops.Env) *cobra.Command {
	c := &commands{env: env}
	root := &cobra.Command{
		Use: "producer", Short: "Harvest to Kafka", Long: about + "\n" + ops.HelpText(ops.Variables[Config]()),
		RunE: c.run((*Producer).Run),
	}
	service := &cobra.Command{Use: "run", Short: "Serve until stopped (the default)", RunE: c.run((*Producer).Run)}
	sync := &cobra.Command{Use: "sync", Short: "One complete pass over the selected streams, then exit", RunE: c.run(c.sync)}
	check := &cobra.Command{Use: "check", Short: "Look at everything the service needs, item by item, and say how to mend what is wrong", RunE: c.check}
	discover := &cobra.Command{Use: "discover", Short: "The streams: keys, columns, how each is read, whether this token may", RunE: c.discover}
	discover.Flags().BoolVar(&c.json, "json", false, "as JSON")
	plan := &cobra.Command{Use: "plan", Short: "What this configuration costs: requests, freshness, times of first read and sweeps", RunE: c.plan}
	status := &cobra.Command{Use: "status", Short: "Checkpoints, cursors, freshness, pending work, as the topics tell", RunE: c.status}
	sweep, reset := c.sweepCommand(), c.resetCommand()
	for _, writing := range []*cobra.Command{root, service, sync, sweep, reset} {
		writing.Flags().BoolVar(&c.takeOver, "take-over", false, "become the writer at once, without waiting for another one's sign of life")
		writing.Flags().BoolVar(&c.initialise, "initialise", false, "begin although topics hold data and no checkpoint: read anew, publish only differences")
	}
	root.AddCommand(service, sync, check, discover, plan, status, sweep, reset)
	return root
}

type commands struct {
	env                        ops.Env
	takeOver, initialise, json bool
}

func (c *commands) load() (*Producer, error) {
	cfg, err := ops.Load[Config](c.env.Environ, c.env.Dotenv)
	if err != nil {
		return nil, err
	}
	log, err := ops.NewLogger(c.env.Stderr, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return nil, ops.Fail(ops.ExitConfig, err)
	}
	for _, name := range ops.Unknown[Config](c.env.Environ, c.env.Dotenv, "HARVEST_", "KAFKA_", "SCHEMA_REGISTRY_") {
		log.Warn("variable is not known, most likely misspelt", "name", name)
	}
	p, err := New(cfg, Deps{Log: log, Version: c.env.Version})
	if err != nil {
		return nil, err
	}
	p.TakeOver, p.Initialise = c.takeOver, c.initialise
	return p, nil
}

type runE = func(*cobra.Command, []string) error

func (c *commands) run(do func(*Producer, ctxt) error) runE {
	return func(cmd *cobra.Command, _ []string) error {
		p, err := c.load()
		if err != nil {
			return err
		}
		return do(p, cmd.Context())
	}
}

// sync prints what a pass came to, also where it did not come to a good end.
func (c *commands) sync(p *Producer, ctx ctxt) error {
	return errors.Join(p.Sync(ctx), printStates(c.env.Stdout, p.States()))
}

func printStates(out io.Writer, states []StreamState) error {
	if states == nil {
		return nil // it never began
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "STREAM\tROWS\tPUBLISHED\tCOMPLETE TO\tSTATE")
	for _, s := range states {
		state := "fine"
		switch {
		case s.Blocked != "":
			state = "blocked: " + s.Blocked
		case s.Stopped > 0:
			state = fmt.Sprintf("sweep stopped: %d rows missing", s.Stopped)
		case s.Missed > 0:
			state = fmt.Sprintf("%d rows missing in the latest sweep", s.Missed)
		case s.Reading:
			state = "first read not complete"
		}
		to := ""
		if !s.Cursor.IsZero() {
			to = s.Cursor.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", s.Stream, s.Rows, s.Published, to, state)
	}
	return w.Flush()
}

func (c *commands) sweepCommand() *cobra.Command {
	var allow int
	var dry bool
	cmd := &cobra.Command{Use: "sweep STREAM...", Short: "Read streams whole now, find what is gone", Args: cobra.MinimumNArgs(1)}
	cmd.Flags().IntVar(&allow, "allow-deletes", -1, "answer a stopped sweep: up to so many unexplained rows may be deleted; when more are missing, none is (65)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "count what is missing, delete nothing")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if cmd.Flags().Changed("allow-deletes") && allow < 1 {
			return ops.Fail(ops.ExitUsage, fmt.Errorf("--allow-deletes %d: at least 1 is wanted", allow))
		}
		p, err := c.load()
		if err != nil {
			return err
		}
		err = p.Sweep(cmd.Context(), names, allow, dry)
		touched := slices.DeleteFunc(slices.Clone(p.States()), func(s StreamState) bool {
			return s.Published == 0 && !slices.Contains(names, s.Stream)
		})
		return errors.Join(err, printStates(c.env.Stdout, touched))
	}
	return cmd
}

func (c *commands) resetCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "reset STREAM...", Short: "Read streams from the anchor again; only differences are published", Args: cobra.MinimumNArgs(1)}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		p, err := c.load()
		if err != nil {
			return err
		}
		if err := p.selectedAll(names); err != nil {
			return err
		}
		if err := ops.Confirm(c.env, fmt.Sprintf("Read %s of account %d from the anchor again?", strings.Join(names, ", "), p.cfg.AccountID), yes); err != nil {
			return err
		}
		return errors.Join(p.Reset(cmd.Context(), names), printStates(c.env.Stdout, p.States()))
	}
	return cmd
}

// discovered is what `discover` tells of one stream.
type discovered struct {
	Stream   string   `json:"stream"`
	Topic    string   `json:"topic"`
	Key      []string `json:"key"`
	Read     string   `json:"read"`
	Path     string   `json:"path"`
	Readable string   `json:"readable"`
	Columns  []column `json:"columns"`
}

type column struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Doc  string `json:"doc"`
}

func (c *commands) discover(cmd *cobra.Command, _ []string) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	return p.discover(cmd.Context(), c.env.Stdout, c.json)
}

func (p *Producer) discover(ctx ctxt, out io.Writer, asJSON bool) error {
	readable, err := p.Readable(ctx)
	if err != nil {
		return unread(err)
	}
	var found []discovered
	for _, s := range p.cfg.selected {
		d := discovered{Stream: s.Name, Topic: p.cfg.Kafka.Topic(s.Name), Key: []string{"id", "account_id"}, Read: howRead(s), Path: s.Path, Readable: readable[s.Name]}
		for i := range s.Schema.Fields {
			f := &s.Schema.Fields[i]
			d.Columns = append(d.Columns, column{f.Name, f.Kind.String(), f.Doc})
		}
		found = append(found, d)
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	return printDiscovered(out, found)
}

// unread gives what kept a command that only reads from its answer an exit code (design §7): what refuses nothing does not answer.
func unread(err error) error {
	if ops.ExitCode(err) != ops.ExitInternal {
		return err
	}
	if err = denied(unfit(err)); ops.ExitCode(err) == ops.ExitInternal {
		return ops.Fail(ops.ExitUnavailable, err)
	}
	return err
}

func printDiscovered(out io.Writer, found []discovered) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "STREAM\tKEY\tREAD\tPATH\tREADABLE\tCOLUMNS")
	for _, d := range found {
		fmt.Fprintf(w, "%s\tid, account_id\t%s\t%s\t%s\t%d\n", d.Stream, d.Read, d.Path, d.Readable, len(d.Columns))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, d := range found {
		fmt.Fprintf(out, "\n%s → %s\n", d.Stream, d.Topic)
		for _, c := range d.Columns {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", c.Name, c.Type, c.Doc)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// howRead says how a stream's changes are found.
func howRead(s *schema.Stream) string {
	switch {
	case s.Read == schema.Children:
		return "list per row of " + s.Parent
	case s.Read == schema.Single:
		return "one object"
	case s.Read == schema.Whole:
		return "whole list, compared"
	case s.Dates != "":
		return "updated_since, windows by " + s.Dates
	}
	return "updated_since"
}

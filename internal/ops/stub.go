package ops

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

var errStub = errors.New("not yet")

// Load reads a configuration of type T from environ and, below it, from the file dotenv where there is one ("" for none).
// An empty variable counts as unset, save for fields tagged `empty:"..."` (what empty means, for the help).
// Afterwards Validate() []error of T and of every struct nested in it is called; problems should begin with the
// variable's name. All problems come in one *ConfigError.
func Load[T any](environ []string, dotenv string) (T, error) { var t T; return t, errStub }

// Unknown returns the variables with one of the prefixes that T does not know.
func Unknown[T any](environ []string, dotenv string, prefixes ...string) []string { return nil }

// ConfigError is every problem of a configuration. Exit code 78.
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string { return "" }

// Variable is one environment variable.
type Variable struct {
	Name, Default, Empty, Doc string
	Secret, Required          bool
}

// Variables lists T's variables in the order of its fields.
func Variables[T any]() []Variable { return nil }

// HelpText is the list of variables for --help.
func HelpText(vars []Variable) string { return "" }

// Markdown is the list of variables as a table.
func Markdown(vars []Variable) string { return "" }

// Exit codes (design §7).
const (
	ExitOK          = 0
	ExitUsage       = 64
	ExitData        = 65
	ExitUnavailable = 69
	ExitInternal    = 70
	ExitPermission  = 77
	ExitConfig      = 78
)

// Fail gives err an exit code.
func Fail(code int, err error) error { return err }

// ExitCode is the code of the outermost Fail in err (or of any error with a method ExitCode() int), 0 for nil, else 70.
func ExitCode(err error) int { return ExitInternal }

// Env is what a program gets from its surroundings.
type Env struct {
	Version        string
	Environ        []string
	Dotenv         string // path of the .env file, "" for none
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       bool // a person can be asked
}

// Main runs a program and returns its exit code.
func Main(name string, root func(env Env) *cobra.Command) int { return ExitInternal }

// Execute is Main without the process: for tests. Commands get ctx as cmd.Context().
func Execute(ctx context.Context, env Env, args []string, root func(env Env) *cobra.Command) int {
	return ExitInternal
}

// NewLogger returns a logger; level debug, info, warn, error; format text, json, auto (text on a terminal).
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) { return nil, errStub }

// Confirm asks; without a terminal and without yes it fails with 64.
func Confirm(env Env, question string, yes bool) error { return errStub }

// Admin is the HTTP server for operators.
type Admin struct {
	Healthy, Ready func() error // nil: fine
	Metrics        prometheus.Gatherer
	Streams        func() any // marshalled to JSON at /streams
	Pprof          bool
	Log            *slog.Logger
}

// Serve serves on addr until ctx ends, then returns nil; addr "" serves nothing.
func (a Admin) Serve(ctx context.Context, addr string) error { return errStub }

// Mode is how a stream of the replication file is read.
type Mode string

// Modes.
const (
	Incremental Mode = "incremental"
	FullRefresh Mode = "full-refresh"
)

// Replication is what a replication file asks for.
type Replication struct {
	Streams []StreamRule // in the order of names; parents brought along included
}

// StreamRule is one selected stream.
type StreamRule struct {
	Name          string
	Mode          Mode
	Schema, Table string // of `object`; both "" where the file names none
}

// ParseReplication reads the file. names is the catalogue in order; parent gives a child stream's parent ("" for none).
func ParseReplication(path string, names []string, parent func(string) string) (*Replication, error) {
	return nil, errStub
}

// Intervals is a duration with exceptions: "15s,time_entries=3s".
type Intervals struct {
	Default time.Duration
	Except  map[string]time.Duration
}

// For returns the interval of a stream.
func (i Intervals) For(stream string) time.Duration { return 0 }

// UnmarshalText parses it.
func (i *Intervals) UnmarshalText(text []byte) error { return errStub }

package ops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Env is what a program gets from its surroundings; tests make one up.
type Env struct {
	Version        string
	Environ        []string // as os.Environ
	Dotenv         string   // path of the .env file, "" for none
	Stdin          io.Reader
	Stdout, Stderr io.Writer // results, everything else
	Terminal       bool      // a person sits there and can be asked
}

// Main runs a program and returns its exit code. The first SIGINT, SIGTERM or SIGHUP ends the commands' context, the
// second the process. Commands find the context in cmd.Context(), and return nil after a stop that lost nothing.
func Main(name string, root func(env Env) *cobra.Command) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		cancel(&interrupt{<-signals})
		os.Exit((&interrupt{<-signals}).ExitCode())
	}()
	// A reader of our output that goes away is told by EPIPE, which report keeps quiet about, not by a death in the
	// midst of a transaction.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return Execute(ctx, Env{
		Version: version(), Environ: os.Environ(), Dotenv: ".env",
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: isTerminal(os.Stdin) && isTerminal(os.Stderr),
	}, os.Args[1:], func(env Env) *cobra.Command {
		cmd := root(env)
		cmd.Use = strings.Replace(cmd.Use, cmd.Name(), name, 1)
		return cmd
	})
}

// version is the module's, as the toolchain stamps it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}

// interrupt is the signal that ended a context.
type interrupt struct{ signal os.Signal }

func (i *interrupt) Error() string { return "interrupted: " + i.signal.String() }

// ExitCode is the shells' 128 + signal.
func (i *interrupt) ExitCode() int {
	if number, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return ExitInternal
}

// Execute runs one command line and returns its exit code; it writes the reason of a failure to env.Stderr. What goes
// wrong before the command's own code began is a usage error (64).
func Execute(ctx context.Context, env Env, args []string, root func(env Env) *cobra.Command) int {
	cmd := root(env)
	cmd.Version = env.Version
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.DisableSuggestions = true // several lines, and minutes for a huge argument
	cmd.SetArgs(args)
	cmd.SetIn(env.Stdin)
	cmd.SetOut(env.Stdout)
	cmd.SetErr(env.Stderr)
	began := false
	harden(cmd, &began)
	err := cmd.ExecuteContext(ctx)
	if err != nil && !began {
		err = Fail(ExitUsage, fmt.Errorf("%w (%s --help tells more)", err, cmd.Name()))
	}
	var stopped *interrupt
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &stopped) {
		err = stopped
	}
	return report(env.Stderr, cmd.Name(), err)
}

// harden makes a tree of commands strict: arguments only where a command declares them, a group by itself is a usage
// error. began is set when a command's own code starts.
func harden(cmd *cobra.Command, began *bool) {
	for _, sub := range cmd.Commands() {
		harden(sub, began)
	}
	if cmd.Args == nil && !cmd.HasSubCommands() {
		cmd.Args = cobra.NoArgs
	}
	run := cmd.RunE
	switch {
	case run != nil:
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*began = true
			return run(cmd, args)
		}
	case cmd.Run == nil && cmd.HasParent():
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			var own []string
			for _, sub := range cmd.Commands() {
				own = append(own, sub.Name())
			}
			if len(args) == 0 {
				args = []string{""}
			}
			return fmt.Errorf("unknown command %q for %q, which has %s", args[0], cmd.CommandPath(), strings.Join(own, ", "))
		}
	}
}

// report prints err in one line (a configuration's problems in a line each) and returns its exit code.
func report(w io.Writer, name string, err error) int {
	var path *fs.PathError
	if errors.As(err, &path) && path.Path == os.Stdout.Name() && errors.Is(err, syscall.EPIPE) {
		return ExitOK // whoever read our output has read enough
	}
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(w, "%s: %s\n", name, printable(err))
	return ExitCode(err)
}

const maxLine = 2000 // bytes of an error's line

// printable escapes what would break the line or the terminal, and cuts what no one reads.
func printable(err error) string {
	text := err.Error()
	var config *ConfigError
	multiline := errors.As(err, &config)
	if len(text) > maxLine && !multiline {
		text = text[:maxLine] + "…"
	}
	if !multiline { // lists, as of the addresses that were tried
		text = strings.NewReplacer(":\n\t", ": ", "\n\t", "\n").Replace(text)
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' && multiline:
			b.WriteRune(r)
		case r == '\n':
			b.WriteString("; ")
		case r == '\t':
			b.WriteRune(' ')
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Confirm asks a question on the terminal, unless yes answers it beforehand. Anything but y or yes declines; without
// a terminal there is no one to ask. Both are usage errors (64).
func Confirm(env Env, question string, yes bool) error {
	if yes {
		return nil
	}
	if !env.Terminal {
		return Fail(ExitUsage, errors.New("this needs --yes where no terminal is there to ask"))
	}
	fmt.Fprintf(env.Stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(env.Stdin, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return Fail(ExitUsage, errors.New("not confirmed, nothing was done"))
}

package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"harveststream/internal/ops"
)

// childEnv makes the test binary a program under Main, for the tests of signals.
const childEnv = "OPS_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(ops.Main("thing", program))
	}
	os.Exit(m.Run())
}

// program has a default command, a command that waits, one that fails as told and a group.
func program(env ops.Env) *cobra.Command {
	root := &cobra.Command{Use: "thing", RunE: func(*cobra.Command, []string) error { return nil }}
	var code int
	fail := &cobra.Command{Use: "fail TEXT", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		return ops.Fail(code, errors.New(args[0]))
	}}
	fail.Flags().IntVar(&code, "code", ops.ExitInternal, "exit code")
	wait := &cobra.Command{Use: "wait", RunE: func(cmd *cobra.Command, _ []string) error {
		fmt.Fprintln(env.Stdout, "waiting")
		<-cmd.Context().Done()
		return fmt.Errorf("waiting: %w", cmd.Context().Err())
	}}
	stubborn := &cobra.Command{Use: "stubborn", RunE: func(cmd *cobra.Command, _ []string) error {
		fmt.Fprintln(env.Stdout, "waiting")
		<-cmd.Context().Done()
		fmt.Fprintln(env.Stdout, "cancelled")
		select {}
	}}
	talk := &cobra.Command{Use: "talk", RunE: func(*cobra.Command, []string) error {
		for {
			if _, err := fmt.Fprintln(env.Stdout, "waiting"); err != nil {
				return fmt.Errorf("talking: %w", err)
			}
		}
	}}
	group := &cobra.Command{Use: "group"}
	group.AddCommand(&cobra.Command{Use: "list", RunE: func(*cobra.Command, []string) error { return nil }})
	root.AddCommand(fail, wait, stubborn, talk, group)
	return root
}

func TestExecute(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		code           int
		stdout, stderr string
	}{
		"":                        {code: 0},
		"--version":               {code: 0, stdout: "v1.2.3"},
		"--help":                  {code: 0, stdout: "Usage:"},
		"fail --help":             {code: 0, stdout: "--code"},
		"--bogus":                 {code: 64, stderr: "thing: unknown flag: --bogus (thing --help tells more)"},
		"bogus":                   {code: 64, stderr: `thing: unknown command "bogus"`},
		"wait bogus":              {code: 64, stderr: `thing: unknown command "bogus"`},
		"group":                   {code: 64, stderr: `unknown command "" for "thing group", which has list`},
		"group bogus":             {code: 64, stderr: "bogus"},
		"group list":              {code: 0},
		"fail":                    {code: 64, stderr: "thing: accepts 1 arg(s)"},
		"fail --code":             {code: 64, stderr: "thing: flag needs an argument"},
		"fail --code x y":         {code: 64, stderr: "thing: invalid argument"},
		"fail oops":               {code: 70, stderr: "thing: oops\n"},
		"fail --code 69 away":     {code: 69, stderr: "thing: away\n"},
		"fail a:\n\tb\n\tc":       {code: 70, stderr: "thing: a: b; c\n"},
		"fail a\x1b[31m\nb\u009b": {code: 70, stderr: "thing: a\\u001b[31m; b\\u009b\n"},
	} {
		var stdout, stderr bytes.Buffer
		env := ops.Env{Version: "v1.2.3", Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}
		code := ops.Execute(t.Context(), env, splitArgs(line), program)
		if code != want.code || !strings.Contains(stdout.String(), want.stdout) || !strings.Contains(stderr.String(), want.stderr) {
			t.Errorf("%q: code %d, stdout %q, stderr %q", line, code, stdout.String(), stderr.String())
		}
		if lines := strings.Count(stderr.String(), "\n"); code == 0 && lines != 0 || code != 0 && lines != 1 {
			t.Errorf("%q: %d lines on stderr: %q", line, lines, stderr.String())
		}
	}
}

func splitArgs(line string) []string {
	if line == "" {
		return []string{}
	}
	return strings.Split(line, " ")
}

func TestHugeArgument(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	env := ops.Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &stderr}
	if code := ops.Execute(t.Context(), env, []string{strings.Repeat("\xff", 10<<20)}, program); code != ops.ExitUsage {
		t.Errorf("code %d", code)
	}
	if stderr.Len() > 10_000 {
		t.Errorf("%d bytes on stderr", stderr.Len())
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	inner := ops.Fail(ops.ExitData, errors.New("x"))
	for want, err := range map[int]error{
		ops.ExitOK:          nil,
		ops.ExitInternal:    errors.New("x"),
		ops.ExitData:        fmt.Errorf("wrapped: %w", inner),
		ops.ExitConfig:      errors.Join(errors.New("x"), &ops.ConfigError{}),
		ops.ExitUnavailable: ops.Fail(ops.ExitUnavailable, inner),
	} {
		if got := ops.ExitCode(err); got != want {
			t.Errorf("%v: got %d, want %d", err, got, want)
		}
	}
	if ops.Fail(ops.ExitData, nil) != nil {
		t.Error("no error became one")
	}
}

// child starts this binary as the program above and waits for its first line.
func child(t *testing.T, args ...string) (*exec.Cmd, io.Reader, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	t.Cleanup(func() { _ = reader.Close() })
	expect(t, reader, "waiting\n")
	return cmd, reader, &stderr
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	cmd, _, stderr := child(t, "wait")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 143 || stderr.String() != "thing: interrupted: terminated\n" {
		t.Errorf("once: code %d, stderr %q", code, stderr)
	}
	cmd, stdout, _ := child(t, "stubborn")
	_ = cmd.Process.Signal(os.Interrupt)
	expect(t, stdout, "cancelled\n")
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("twice: code %d", code)
	}
}

func TestClosedPipe(t *testing.T) {
	t.Parallel()
	cmd, stdout, stderr := child(t, "talk")
	_ = stdout.(io.Closer).Close()
	if err := cmd.Wait(); err != nil || stderr.Len() != 0 {
		t.Errorf("%v, stderr %q", err, stderr)
	}
}

func TestBrokenPipeElsewhereIsAnError(t *testing.T) {
	t.Parallel()
	root := func(ops.Env) *cobra.Command {
		return &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error {
			return &fs.PathError{Op: "write", Path: "socket", Err: syscall.EPIPE}
		}}
	}
	if code := ops.Execute(t.Context(), ops.Env{Stdout: io.Discard, Stderr: io.Discard}, nil, root); code != ops.ExitInternal {
		t.Errorf("code %d", code)
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	ask := func(terminal bool, answer string, yes bool) error {
		return ops.Confirm(ops.Env{Stdin: strings.NewReader(answer), Stderr: io.Discard, Terminal: terminal}, "Sure?", yes)
	}
	for _, err := range []error{ask(false, "", true), ask(true, "y\n", false), ask(true, " YES \n", false), ask(true, "y", false)} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, err := range []error{ask(false, "y\n", false), ask(true, "", false), ask(true, "\n", false), ask(true, "yess\n", false)} {
		if ops.ExitCode(err) != ops.ExitUsage {
			t.Errorf("got %v", err)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	secret := ops.Secret(canary)
	holder := struct {
		S ops.Secret
		P *ops.Secret
	}{secret, &secret}
	var log bytes.Buffer
	for _, format := range []string{"text", "json"} {
		logger, err := ops.NewLogger(&log, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		logger.Info("x", "secret", secret, "holder", holder, "pointer", &secret, "forged", "a\nlevel=ERROR \x1b[2J")
	}
	text, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(text) + fmt.Sprint(secret, holder, &secret) +
		fmt.Sprintf("%v %+v %#v %s %q %x %d %10s", holder, holder, holder, secret, secret, secret, secret, secret)
	if strings.Contains(all, canary) || strings.Contains(all, fmt.Sprintf("%x", canary)) {
		t.Errorf("shown in %s", all)
	}
	if strings.Contains(log.String(), "\x1b") || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("control characters in the log: %q", log.String())
	}
}

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger, err := ops.NewLogger(&log, "warn", "auto")
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("unseen")
	logger.Warn("seen", "wait", 90*time.Second)
	if !json.Valid(log.Bytes()) || !strings.Contains(log.String(), `"wait":"1m30s"`) || strings.Contains(log.String(), "unseen") {
		t.Errorf("got %q", log.String())
	}
	for _, bad := range [][2]string{{"loud", "auto"}, {"info", "xml"}, {"", ""}} {
		if _, err := ops.NewLogger(&log, bad[0], bad[1]); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."}))
	admin := ops.Admin{
		Ready:   func() error { return errors.New("still reading") },
		Metrics: registry,
		Streams: func() any { return []string{"time_entries"} },
	}
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/healthz": {200, "ok\n"}, "/readyz": {503, "still reading\n"}, "/metrics": {200, "things_total 0"},
		"/streams": {200, `"time_entries"`}, "/debug/pprof/": {404, ""}, "/": {404, ""},
	} {
		w := httptest.NewRecorder()
		admin.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want.code || !strings.Contains(w.Body.String(), want.body) {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	admin.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/healthz", nil))
	if w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestAdminServes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	logger, _ := ops.NewLogger(t.Output(), "info", "text")
	done := make(chan error, 2)
	go func() { done <- ops.Admin{Log: logger}.Serve(ctx, "127.0.0.1:0") }()
	go func() { done <- ops.Admin{Log: logger}.Serve(ctx, "") }()
	cancel()
	for range 2 {
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("does not end")
		}
	}
	if err := (ops.Admin{Log: logger}).Serve(t.Context(), "256.0.0.1:1"); ops.ExitCode(err) != ops.ExitUnavailable {
		t.Errorf("got %v", err)
	}
	for addr, ok := range map[string]bool{"": true, ":8080": true, "[::1]:80": true, "localhost": false, "a:b": false, "a:99999": false} {
		if err := ops.CheckAddr("ADMIN_ADDR", addr); (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

